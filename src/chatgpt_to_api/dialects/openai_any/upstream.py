"""Backend side of every other endpoint: what of a request and a reply goes through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import fault_of_reply
from chatgpt_to_api.dialects.openai.server import OpenAIServer
from chatgpt_to_api.wire.http import Header, Headers, HttpRequest, ReplyHead, RequestHead, header
from chatgpt_to_api.wire.secret import Access

_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that belong to one connection."""

_KEPT_BACK: Final = _HOP | {
    b"accept-encoding",  # what comes is passed on as it is, so it has to come plain
    b"content-length",
    b"expect",
    b"host",
    # Who the caller is, and which account pays, is the gateway's business.
    b"api-key",
    b"authorization",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    b"x-admin-authorization",
    b"x-api-key",
    b"x-authorization",
    b"x-goog-api-key",
    # Where the caller is, or which page it shows, is nobody's.
    b"forwarded",
    b"origin",
    b"referer",
    b"via",
    b"x-real-ip",
    b"x-request-id",
}
_KEPT_BACK_BEGINNINGS: Final = (b"cf-", b"sec-", b"x-forwarded-")

_NOT_OURS: Final = _HOP | {
    b"alt-svc",
    b"nel",
    b"report-to",
    b"set-cookie",  # the gateway's session with the upstream, not the caller's
    b"strict-transport-security",
    b"www-authenticate",
}
"""Headers of a reply that speak of the upstream's host, or to the gateway."""


class AnyUpstream:
    """An OpenAI-kind server at ``base_url``, as every other endpoint of it is called."""

    def __init__(self, base_url: str) -> None:
        self._server = OpenAIServer(base_url)

    def request(self, head: RequestHead, target: bytes, access: Access, body: bytes) -> HttpRequest:
        """Return the call that carries a client's request on, with our credential for its own."""
        path, _, _ = target.partition(b"?")
        if not path.startswith(b"/v1/"):  # the prefix was spelled in some other way
            path = quote(head.path, safe="/:@!$&'()*+,;=~-._").encode()
        path = path.removeprefix(b"/v1")
        query = _without_key(head.query)
        if query:
            path += b"?" + query
        headers = list(_through(head.headers, _KEPT_BACK))
        return self._server.call(head.method.encode(), path, headers, access, body)

    def reply_headers(self, head: ReplyHead) -> Headers:
        """Return what of a reply's headers is for the client."""
        return [
            field
            for field in _through(head.headers, _NOT_OURS)
            if not field[0].startswith(b"access-control-")
        ]

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a reply with an error status means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now, at_own_path=False)


def _without_key(query: bytes) -> bytes:
    """Return a query without ``key``, where clients of one dialect show who they are."""
    if b"key=" not in query:
        return query
    return b"&".join(one for one in query.split(b"&") if not one.startswith(b"key="))


def _through(headers: Headers, kept_back: frozenset[bytes]) -> Iterable[Header]:
    """Give the headers that are for the other side; ``connection`` may name more that are not."""
    named = {
        name.strip().lower()
        for name in (header(headers, b"connection") or b"").split(b",")
        if name.strip()
    }
    for name, value in headers:
        if name in kept_back or name in named:
            continue
        if kept_back is _KEPT_BACK and name.startswith(_KEPT_BACK_BEGINNINGS):
            continue
        yield name, value
