"""Backend side of embeddings: one OpenAI-compatible server that has them."""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.dialects.bodies import present
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
    EmbeddingsReply,
    EmbeddingsRequest,
)
from chatgpt_to_api.errors import InvalidRequest, UpstreamRejected
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

_REPLY: Final = msgspec.json.Decoder(EmbeddingsReply)
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
        stream: bool,
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON. Raises InvalidRequest."""
        if self._own_size is not None:
            asked = _REQUEST.decode(body).dimensions
            if asked is not None and asked != self._own_size:
                raise InvalidRequest(
                    f"This model's vectors have {self._own_size} numbers and cannot be shortened; "
                    "leave 'dimensions' out.",
                    param="dimensions",
                    code="unsupported_parameter",
                )
        return self._server.post(b"/embeddings", body, access, stream=stream)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a 2xx reply says."""
        try:
            reply = _REPLY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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


_NO_VECTORS: Final = "The upstream answered with something that is no list of embeddings."
