"""Backend side of embeddings: a server's ``/api/embed``, and the older path where it is relayed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import (
    Scanner,
    UpstreamFault,
    WholeFacts,
)
from chatgpt_to_api.dialects.faults import complaint, nonsense
from chatgpt_to_api.dialects.ollama.embed_messages import (
    EMBED,
    PATHS,
    EmbedReply,
    OlderReply,
)
from chatgpt_to_api.dialects.ollama.faults import fault_of_reply
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream_reply import no_reply
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_NO_VECTORS: Final = "The upstream answered with something that is no list of embeddings."
_REPLY: Final = msgspec.json.Decoder(EmbedReply)
_OLDER_REPLY: Final = msgspec.json.Decoder(OlderReply)


class EmbedUpstream:
    """The embeddings of a server, for requests of other dialects."""

    def __init__(self, server: OllamaServer) -> None:
        self._server = server

    def ask_vectors(self, request: VectorRequest, model: str, access: Access) -> HttpRequest:
        """Return the call that asks for the vectors of texts."""
        body: dict[str, Any] = {"model": model, "input": list(request.texts)}
        if request.size is not None:
            body["dimensions"] = request.size
        return self._server.post(PATHS[EMBED], msgspec.json.encode(body), access)

    def read_vectors(self, head: ReplyHead, body: bytes) -> Vectors | UpstreamFault:
        """Return the vectors of a 2xx reply."""
        try:
            reply = _REPLY.decode(body)
        except UNREADABLE:
            return no_reply(head, body)
        if present(reply.error):
            return complaint(reply.error)
        if not reply.embeddings:
            return nonsense(_NO_VECTORS)
        count = reply.prompt_eval_count
        usage = None if count is None else Usage(input=count, source="reported")
        return Vectors(reply.embeddings, usage, reply.model or "")

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)


class EmbedRelay(EmbedUpstream):
    """One of the two paths of a server, for requests that are passed on as they are."""

    def __init__(self, server: OllamaServer, dialect: str) -> None:
        super().__init__(server)
        self.dialect = dialect

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,  # noqa: ARG002  # there are none
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.post(PATHS[self.dialect], body, access)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply says."""
        if self.dialect == EMBED:
            found = self.read_vectors(head, body)
            if isinstance(found, UpstreamFault):
                return WholeFacts(fault=found)
            return WholeFacts(found.usage, found.model)
        try:
            reply = _OLDER_REPLY.decode(body)
        except UNREADABLE:
            return WholeFacts(fault=no_reply(head, body))
        if present(reply.error):
            return WholeFacts(fault=complaint(reply.error))
        return WholeFacts(fault=None if reply.embedding else nonsense(_NO_VECTORS))

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> Scanner:
        """There are no streams."""
        raise AssertionError(f"embeddings are never streamed: {head.status}, {hide_usage}")
