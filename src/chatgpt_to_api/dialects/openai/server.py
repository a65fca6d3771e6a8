"""One server of OpenAI's kind, as all its endpoints are called: URL, credential, headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chatgpt_to_api.wire.http import FixedHeaders, Header, Headers, HttpRequest, split_url
from chatgpt_to_api.wire.secret import Access

_JSON: Final = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
_MOST_KNOWN: Final = 1000
_STREAM: Final = ((b"content-type", b"application/json"), (b"accept", b"text/event-stream"))


class OpenAIServer:
    """A server at ``base_url``, which ends in ``/v1`` or the like. Raises ValueError for a bad one.

    Clients know its paths as ``/v1/…``; what follows that stands behind the base URL's own path.
    """

    def __init__(
        self,
        base_url: str,
        more: Callable[[Access], Headers] = lambda access: (),  # noqa: ARG005  # none
    ) -> None:
        """``more`` are the headers that calls with a credential have besides the usual ones."""
        self._origin, path = split_url(base_url)
        path, _, query = path.partition("?")
        self._path = path.rstrip("/").encode()
        self._query = query.encode()
        self._more = more
        self._for: dict[tuple[int, bool], tuple[Access, FixedHeaders]] = {}

    def target(self, path: bytes) -> bytes:
        """Return what ``path``, which begins with a slash and may have a query, is called there."""
        if not self._query:
            return self._path + path
        path, _, query = path.partition(b"?")
        return b"%b%b?%b" % (self._path, path, b"&".join(filter(None, (self._query, query))))

    def post(self, path: bytes, body: bytes, access: Access, *, stream: bool) -> HttpRequest:
        """Return the call that posts JSON to ``path``."""
        return self.post_at(self.target(path), body, access, stream=stream)

    def post_at(self, target: bytes, body: bytes, access: Access, *, stream: bool) -> HttpRequest:
        """Return the call that posts JSON to a target that was made before."""
        known = self._for.get((id(access), stream))
        if known is None or known[0] is not access:
            known = self._remember(access, stream)
        return HttpRequest(b"POST", self._origin, target, known[1], body)

    def get(self, path: bytes, access: Access) -> HttpRequest:
        """Return the call that asks for JSON at ``path``."""
        return self.call(b"GET", path, _JSON[1:], access)

    def call(
        self, method: bytes, path: bytes, headers: Headers, access: Access, body: bytes = b""
    ) -> HttpRequest:
        """Return any call; ``path`` begins with a slash and may have a query."""
        return HttpRequest(
            method,
            self._origin,
            self.target(path),
            (*_authorization(access), *self._more(access), *headers),
            body,
        )

    def _remember(self, access: Access, stream: bool) -> tuple[Access, FixedHeaders]:
        """Make the headers of a credential's calls once; they are the same for each."""
        if len(self._for) >= _MOST_KNOWN:
            self._for.clear()
        usual = _STREAM if stream else _JSON
        headers = FixedHeaders((*_authorization(access), *self._more(access), *usual))
        known = self._for[id(access), stream] = (access, headers)
        return known


def _authorization(access: Access) -> tuple[Header, ...]:
    """Return the header that shows a credential, none for a server without keys."""
    if access.token is None:
        return ()
    return ((b"authorization", b"Bearer " + access.token.reveal().encode()),)
