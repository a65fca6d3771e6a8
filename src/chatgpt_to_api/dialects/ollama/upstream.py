"""Backend side: one Ollama server.

Source: https://docs.ollama.com/api
"""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import Ids, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.ollama.faults import fault_of_reply
from chatgpt_to_api.dialects.ollama.messages import DIALECT, GENERATE
from chatgpt_to_api.dialects.ollama.scanner import ReplyScanner, read_whole
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream_reply import OllamaReplyDecoder
from chatgpt_to_api.dialects.ollama.upstream_request import ignored_names, request_object
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

PATHS: Final = {DIALECT: b"/chat", GENERATE: b"/generate"}


class OllamaRelay:
    """One path of a server, for requests that are passed on as they are."""

    def __init__(self, server: OllamaServer, dialect: str) -> None:
        self.dialect = dialect
        self._server = server
        self._path = PATHS[dialect]

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,  # noqa: ARG002  # so does this
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.post(self._path, body, access)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> ReplyScanner:  # noqa: ARG002  # its clients always see it
        """Return a reader for a relayed 2xx stream."""
        return ReplyScanner(head)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)


class OllamaUpstream:
    """The chats of a server."""

    dialect = DIALECT

    def __init__(self, server: OllamaServer) -> None:
        self._server = server

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name what has no place here. Raises InvalidRequest for what an answer depends on."""
        return ignored_names(request)

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:  # noqa: ARG002  # the contract's; this dialect puts no ids on the wire
        """Return the call that asks ``request`` of ``model``."""
        body = msgspec.json.encode(request_object(request, model))
        return self._server.post(PATHS[DIALECT], body, access)

    def decoder(self, request: ChatRequest, head: ReplyHead) -> OllamaReplyDecoder:  # noqa: ARG002  # a reply tells its own shape
        """Return a decoder for a 2xx reply, be it a stream, one object or an error."""
        return OllamaReplyDecoder(head)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)
