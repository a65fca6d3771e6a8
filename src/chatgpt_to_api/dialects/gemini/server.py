"""One server of the dialect: URL, credential, headers. The key never stands in a URL.

Source: https://ai.google.dev/api#auth
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from chatgpt_to_api.wire.http import FixedHeaders, Header, Headers, HttpRequest, split_url
from chatgpt_to_api.wire.secret import Access

KEY_HEADER: Final = b"x-goog-api-key"

_JSON: Final = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
_STREAM: Final = ((b"content-type", b"application/json"), (b"accept", b"text/event-stream"))
_MOST_KNOWN: Final = 1000
_WHOLE_NAMES: Final = ("models/", "tunedModels/", "publishers/", "endpoints/")
"""What a model's name begins with that says its own collection."""


class GeminiServer:
    """A server at ``base_url``, which ends in ``/v1beta`` or the like. Raises ValueError."""

    def __init__(self, base_url: str) -> None:
        self._origin, path = split_url(base_url)
        path, _, query = path.partition("?")
        self._path = path.rstrip("/").encode()
        self._query = query.encode()
        self._for: dict[tuple[int, bool], tuple[Access, FixedHeaders]] = {}

    def ask(
        self, model: str, method: str, body: bytes, access: Access, *, sse: bool = False
    ) -> HttpRequest:
        """Return the call of a model's ``method``; ``sse``: its reply is to be such a stream."""
        path = f"/{quote(whole_name(model), safe='/-._~@')}:{method}".encode()
        target = self._target(path, b"alt=sse" if sse else b"")
        return HttpRequest(b"POST", self._origin, target, self._headers(access, sse), body)

    def get(self, path: bytes, query: bytes, access: Access) -> HttpRequest:
        """Return the call that asks for JSON at ``path``."""
        headers: Headers = (*_key(access), *_JSON[1:])
        return HttpRequest(b"GET", self._origin, self._target(path, query), headers)

    def _target(self, path: bytes, query: bytes) -> bytes:
        query = b"&".join(filter(None, (self._query, query)))
        return self._path + path + (b"?" + query if query else b"")

    def _headers(self, access: Access, sse: bool) -> FixedHeaders:
        """Return the headers of a credential's calls: made once, they are the same for each."""
        known = self._for.get((id(access), sse))
        if known is None or known[0] is not access:
            if len(self._for) >= _MOST_KNOWN:
                self._for.clear()
            headers = FixedHeaders((*_key(access), *(_STREAM if sse else _JSON)))
            known = self._for[id(access), sse] = (access, headers)
        return known[1]


def whole_name(model: str) -> str:
    """Return a model's name with its collection, which is ``models`` unless it says another."""
    return model if model.startswith(_WHOLE_NAMES) else f"models/{model}"


def _key(access: Access) -> tuple[Header, ...]:
    if access.token is None:
        return ()
    return ((KEY_HEADER, access.token.reveal().encode()),)
