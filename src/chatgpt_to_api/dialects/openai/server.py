"""One server of OpenAI's kind, as its other endpoints are called: URL, credential, headers."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.wire.http import Header, Headers, HttpRequest, split_url
from chatgpt_to_api.wire.secret import Access

_JSON: Final = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
_STREAM: Final = ((b"content-type", b"application/json"), (b"accept", b"text/event-stream"))


class OpenAIServer:
    """A server at ``base_url``, which ends in ``/v1`` or the like. Raises ValueError for a bad one.

    Clients know its paths as ``/v1/…``; what follows that stands behind the base URL's own path.
    """

    def __init__(self, base_url: str) -> None:
        self._origin, path = split_url(base_url)
        self._path = path.rstrip("/").encode()

    def post(self, path: bytes, body: bytes, access: Access, *, stream: bool) -> HttpRequest:
        """Return the call that posts JSON to ``path``."""
        return self.call(b"POST", path, _STREAM if stream else _JSON, access, body)

    def call(
        self, method: bytes, path: bytes, headers: Headers, access: Access, body: bytes = b""
    ) -> HttpRequest:
        """Return any call; ``path`` begins with a slash and may have a query."""
        return HttpRequest(
            method, self._origin, self._path + path, (*authorization(access), *headers), body
        )


def authorization(access: Access) -> tuple[Header, ...]:
    """Return the header that shows a credential, none for a server without keys."""
    if access.token is None:
        return ()
    return ((b"authorization", b"Bearer " + access.token.reveal().encode()),)
