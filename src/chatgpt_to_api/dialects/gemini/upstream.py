"""Backend side of Gemini: one server that speaks this dialect."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import Ids, ListedModel, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.gemini.faults import fault_of_reply
from chatgpt_to_api.dialects.gemini.messages import DIALECT
from chatgpt_to_api.dialects.gemini.model_list import LONGEST_PAGE, read_models
from chatgpt_to_api.dialects.gemini.paths import GENERATE, STREAM, place_of
from chatgpt_to_api.dialects.gemini.scanner import GenerateScanner, read_whole
from chatgpt_to_api.dialects.gemini.server import GeminiServer
from chatgpt_to_api.dialects.gemini.upstream_reply import GenerateReplyDecoder
from chatgpt_to_api.dialects.gemini.upstream_request import check, request_object, unheard
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access


class GeminiUpstream:
    """A server at ``base_url``, which ends in ``/v1beta`` or the like. Raises ValueError."""

    dialect = DIALECT

    def __init__(self, base_url: str) -> None:
        self._server = GeminiServer(base_url)

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name what this dialect cannot say. Raises InvalidRequest for what changes the meaning."""
        check(request)
        return unheard(request)

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:  # noqa: ARG002  # the contract's; this dialect puts no ids on the wire
        """Return the call that asks ``request`` of ``model``."""
        body = msgspec.json.encode(request_object(request, model))
        method = STREAM if request.stream else GENERATE
        return self._server.ask(model, method, body, access, sse=request.stream)

    def decoder(self, request: ChatRequest, head: ReplyHead) -> GenerateReplyDecoder:
        """Return a decoder for a 2xx reply, be it a stream, one object or an error."""
        return GenerateReplyDecoder(request, head)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)

    def forward(
        self, body: bytes, access: Access, *, model: str, stream: bool, head: RequestHead
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON, its stream framed as the client asks.

        Of the client's query only that goes on: it may hold a key.
        """
        sse = stream and place_of(head).framing == "sse"
        return self._server.ask(model, STREAM if stream else GENERATE, body, access, sse=sse)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> GenerateScanner:  # noqa: ARG002  # clients of this dialect always see it
        """Return a reader for a relayed 2xx stream."""
        return GenerateScanner(head)

    def models_request(self, access: Access) -> HttpRequest:
        """Return the call that lists the server's models."""
        return self._server.get(b"/models", b"pageSize=%d" % LONGEST_PAGE, access)

    def read_models(self, body: bytes) -> list[ListedModel]:
        """Return the models of such a list. Raises ValueError for what is none."""
        return read_models(body)

    def model_request(self, model: ListedModel, access: Access) -> None:
        """Return None: a list says all there is to say."""

    def read_model(self, model: ListedModel, body: bytes) -> ListedModel:
        """Nothing more is ever asked."""
        raise ValueError(f"{model.id}: {len(body)} bytes that nobody asked for")
