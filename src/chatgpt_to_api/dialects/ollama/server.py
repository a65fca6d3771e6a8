"""One Ollama server, as all its paths are called: URL, optional key, headers."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.wire.http import Header, HttpRequest, split_url
from chatgpt_to_api.wire.secret import Access

_JSON: Final = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/x-ndjson, application/json"),
)


class OllamaServer:
    """A server at ``base_url``, such as ``http://127.0.0.1:11434``, with or without ``/api``.

    Raises ValueError for a bad URL.
    """

    def __init__(self, base_url: str) -> None:
        self._origin, path = split_url(base_url)
        path, question, query = path.partition("?")
        self._path = path.rstrip("/").removesuffix("/api").encode() + b"/api"
        self._query = (question + query).encode()

    def post(self, path: bytes, body: bytes, access: Access) -> HttpRequest:
        """Return the call that posts JSON to ``path`` behind ``/api``."""
        headers = (*_authorization(access), *_JSON)
        return HttpRequest(b"POST", self._origin, self._target(path), headers, body)

    def get(self, path: bytes, access: Access) -> HttpRequest:
        """Return the call that asks for JSON at ``path`` behind ``/api``."""
        headers = (*_authorization(access), (b"accept", b"application/json"))
        return HttpRequest(b"GET", self._origin, self._target(path), headers)

    def _target(self, path: bytes) -> bytes:
        return self._path + path + self._query


def _authorization(access: Access) -> tuple[Header, ...]:
    """Return the header that shows a key; a server of one's own wants none."""
    if access.token is None:
        return ()
    return ((b"authorization", b"Bearer " + access.token.reveal().encode()),)
