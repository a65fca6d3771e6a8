"""Backend side of embeddings: the two methods of a server of this dialect."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.contract import Scanner, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import nonsense
from chatgpt_to_api.dialects.gemini.embed_messages import (
    BATCH,
    EMBED,
    METHODS,
    BatchEmbedContentsResponse,
    EmbedContentResponse,
    EmbeddingUsage,
)
from chatgpt_to_api.dialects.gemini.faults import fault_of_reply
from chatgpt_to_api.dialects.gemini.server import GeminiServer, whole_name
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_NO_VECTORS: Final = "The upstream answered with something that is no list of embeddings."
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_REPLY: Final = msgspec.json.Decoder(EmbedContentResponse)
_BATCH_REPLY: Final = msgspec.json.Decoder(BatchEmbedContentsResponse)


class EmbedUpstream:
    """The embeddings of a server, for requests of other dialects: asked for as a batch."""

    def __init__(self, base_url: str) -> None:
        self._server = GeminiServer(base_url)

    def ask_vectors(self, request: VectorRequest, model: str, access: Access) -> HttpRequest:
        """Return the call that asks for the vectors of texts."""
        size: dict[str, Any] = (
            {} if request.size is None else {"outputDimensionality": request.size}
        )
        name = whole_name(model)
        asked = [
            {"model": name, "content": {"parts": [{"text": text}]}, **size}
            for text in request.texts
        ]
        body = msgspec.json.encode({"requests": asked})
        return self._server.ask(model, METHODS[BATCH], body, access)

    def read_vectors(self, head: ReplyHead, body: bytes) -> Vectors | UpstreamFault:  # noqa: ARG002  # the contract's
        """Return the vectors of a 2xx reply, in the order of their texts."""
        try:
            reply = _BATCH_REPLY.decode(body)
        except _UNREADABLE:
            return nonsense(_NO_VECTORS)
        found = [embedding.values for embedding in reply.embeddings or ()]
        if not found or not all(found):
            return nonsense(_NO_VECTORS)
        return Vectors(found, _usage(reply.usage_metadata))

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)


class EmbedRelay(EmbedUpstream):
    """One of the two methods, for requests that are passed on as they are."""

    def __init__(self, base_url: str, dialect: str) -> None:
        super().__init__(base_url)
        self.dialect = dialect

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,
        stream: bool,  # noqa: ARG002  # there are none
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.ask(model, METHODS[self.dialect], body, access)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply says."""
        if self.dialect != EMBED:
            found = self.read_vectors(head, body)
            if isinstance(found, UpstreamFault):
                return WholeFacts(fault=found)
            return WholeFacts(found.usage)
        try:
            reply = _REPLY.decode(body)
        except _UNREADABLE:
            return WholeFacts(fault=nonsense(_NO_VECTORS))
        if reply.embedding is None or not reply.embedding.values:
            return WholeFacts(fault=nonsense(_NO_VECTORS))
        return WholeFacts(_usage(reply.usage_metadata))

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> Scanner:
        """There are no streams."""
        raise AssertionError(f"embeddings are never streamed: {head.status}, {hide_usage}")


def _usage(told: EmbeddingUsage | None) -> Usage | None:
    if told is None or told.prompt_token_count is None:
        return None
    return Usage(input=told.prompt_token_count, source="reported")
