"""Backend side of counting tokens: one server of this dialect."""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.dialects.anthropic.count import DIALECT, Counted
from chatgpt_to_api.dialects.anthropic.faults import fault_of
from chatgpt_to_api.dialects.anthropic.scanner import MessageScanner
from chatgpt_to_api.dialects.anthropic.upstream import (
    AnthropicServer,
    forwarded,
    forwarded_query,
)
from chatgpt_to_api.dialects.contract import UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.counting import facts_of_count
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_COUNTED: Final = msgspec.json.Decoder(Counted)


class CountUpstream:
    """The counting endpoint of a server of this dialect."""

    dialect = DIALECT

    def __init__(self, base_url: str) -> None:
        self._server = AnthropicServer(base_url)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,  # noqa: ARG002  # a number is never streamed
        head: RequestHead,
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON, with its betas."""
        headers = (*forwarded(head), (b"accept", b"application/json"))
        query = forwarded_query(head)
        return self._server.post(b"/messages/count_tokens", body, access, *headers, query=query)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:  # noqa: ARG002  # the contract's
        """Return what a relayed 2xx reply says: that it is a count, or that it is none."""
        return facts_of_count(_COUNTED, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> MessageScanner:  # noqa: ARG002  # the contract's
        """Return a reader for a stream, which a count never is: it would find no message."""
        return MessageScanner(head)
