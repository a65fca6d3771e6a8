"""Backend side of embeddings: one OpenAI-compatible server that has them."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import Scanner, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import (
    challenge_page,
    complaint,
    fault_of_reply,
    nonsense,
)
from chatgpt_to_api.dialects.openai.server import OpenAIServer
from chatgpt_to_api.dialects.openai.usage import read_usage
from chatgpt_to_api.dialects.openai_embeddings.messages import (
    DIALECT,
    Embedding,
    EmbeddingsReply,
    EmbeddingsRequest,
)
from chatgpt_to_api.errors import InvalidRequest, UpstreamRejected
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_REPLY: Final = msgspec.json.Decoder(EmbeddingsReply)
_DATA: Final = msgspec.json.Decoder(list[Embedding])
_REQUEST: Final = msgspec.json.Decoder(EmbeddingsRequest)
_TOO_LARGE: Final = "too large to process"
"""What llama.cpp says, with status 500, of an input that is longer than its batch."""


class EmbeddingsUpstream:
    """An OpenAI-compatible server at ``base_url``.

    ``own_size``: the length of its model's vectors, where the server takes no ``dimensions`` and
    would pass over them without a word. Cutting such vectors here would not do: only models that
    were trained for it keep their meaning in the first numbers.
    """

    dialect = DIALECT

    def __init__(self, base_url: str, *, own_size: int | None = None) -> None:
        self._server = OpenAIServer(base_url)
        self._own_size = own_size

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,  # noqa: ARG002  # there are none
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON. Raises InvalidRequest."""
        size = None if self._own_size is None else _REQUEST.decode(body).dimensions
        return self._call(body, size, access)

    def _call(self, body: bytes, size: int | None, access: Access) -> HttpRequest:
        if self._own_size is not None and size is not None and size != self._own_size:
            raise InvalidRequest(
                f"This model's vectors have {self._own_size} numbers and cannot be shortened; "
                "leave 'dimensions' out.",
                param="dimensions",
                code="unsupported_parameter",
            )
        return self._server.post(b"/embeddings", body, access, stream=False)

    def ask_vectors(self, request: VectorRequest, model: str, access: Access) -> HttpRequest:
        """Return the call that asks for the vectors of texts. Raises InvalidRequest."""
        body: dict[str, Any] = {"model": model, "input": list(request.texts)}
        if request.size is not None:
            body["dimensions"] = request.size
        return self._call(msgspec.json.encode(body), request.size, access)

    def read_vectors(self, head: ReplyHead, body: bytes) -> Vectors | UpstreamFault:
        """Return the vectors of a 2xx reply, in the order of their texts."""
        facts = self.facts(head, body)
        if facts.fault is not None:
            return facts.fault
        try:
            data = _DATA.decode(_REPLY.decode(body).data)
            vectors = [_vector(item.embedding) for item in sorted(data, key=_place)]
        except (msgspec.DecodeError, ValueError):
            return nonsense(_NO_VECTORS)
        return Vectors(vectors, facts.usage, facts.model)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a 2xx reply says."""
        try:
            reply = _REPLY.decode(body)
        except UNREADABLE:
            said = read_error_body(head.content_type, body[: 64 * 1024])
            fault = challenge_page(said) if said.is_html else nonsense(_NO_VECTORS, said.message)
            return WholeFacts(fault=fault)
        if present(reply.error):
            return WholeFacts(fault=complaint(reply.error))
        if not present(reply.data) or bytes(reply.data) == b"[]":
            return WholeFacts(fault=nonsense(_NO_VECTORS))
        return WholeFacts(read_usage(reply.usage), reply.model or "")

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> Scanner:  # noqa: ARG002  # never used
        """There are no streams."""
        raise AssertionError("embeddings are never streamed")

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        if head.status == 500:
            said = read_error_body(head.content_type, body).message
            if _TOO_LARGE in said:
                return UpstreamFault(
                    error=UpstreamRejected(
                        "The input is too long for this model.",
                        status=400,
                        code="context_length_exceeded",
                        param="input",
                        said=said,
                    ),
                    reason="input too long",
                )
        return fault_of_reply(head, body, now)


def _place(item: Embedding) -> int:
    return item.index


def _vector(embedding: str | list[float]) -> list[float]:
    """Return a vector's numbers, packed or not. Raises ValueError."""
    if isinstance(embedding, list):
        return embedding
    packed = b64decode(embedding, validate=True)
    try:
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except struct.error as error:
        raise ValueError(str(error)) from None


_NO_VECTORS: Final = "The upstream answered with something that is no list of embeddings."
