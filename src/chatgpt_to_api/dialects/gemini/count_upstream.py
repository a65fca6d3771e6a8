"""Backend side of counting tokens: one server of this dialect."""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.dialects.contract import UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.counting import facts_of_count
from chatgpt_to_api.dialects.gemini.count import DIALECT, METHOD, Counted
from chatgpt_to_api.dialects.gemini.faults import fault_of_reply
from chatgpt_to_api.dialects.gemini.scanner import GenerateScanner
from chatgpt_to_api.dialects.gemini.server import GeminiServer
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_COUNTED: Final = msgspec.json.Decoder(Counted)


class CountUpstream:
    """The counting method of a server of this dialect."""

    dialect = DIALECT

    def __init__(self, base_url: str) -> None:
        self._server = GeminiServer(base_url)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,
        stream: bool,  # noqa: ARG002  # a number is never streamed
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.ask(model, METHOD, body, access)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:  # noqa: ARG002  # the contract's
        """Return what a relayed 2xx reply says: that it is a count, or that it is none."""
        return facts_of_count(_COUNTED, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> GenerateScanner:  # noqa: ARG002  # the contract's
        """Return a reader for a stream, which a count never is."""
        return GenerateScanner(head)
