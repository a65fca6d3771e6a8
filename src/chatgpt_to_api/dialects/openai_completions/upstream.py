"""Backend side of legacy completions: one OpenAI-compatible server that has them."""

from __future__ import annotations

from chatgpt_to_api.dialects.contract import UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import fault_of_reply
from chatgpt_to_api.dialects.openai.scanner import ReplyScanner
from chatgpt_to_api.dialects.openai.server import OpenAIServer
from chatgpt_to_api.dialects.openai.whole import read_whole
from chatgpt_to_api.dialects.openai_completions.messages import DIALECT
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access


class CompletionUpstream:
    """An OpenAI-compatible server at ``base_url``."""

    dialect = DIALECT

    def __init__(self, base_url: str) -> None:
        self._server = OpenAIServer(base_url)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.post(b"/completions", body, access, stream=stream)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> ReplyScanner:
        """Return a reader for a relayed 2xx stream."""
        return ReplyScanner(head, hide_usage=hide_usage)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)
