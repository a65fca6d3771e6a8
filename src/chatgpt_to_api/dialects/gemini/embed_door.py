"""Client side of embeddings, by either method."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, ReplyEncoder, Stamp
from chatgpt_to_api.dialects.embedding import TextsAsked
from chatgpt_to_api.dialects.gemini.embed_messages import (
    BATCH,
    EMBED,
    BatchEmbedContentsRequest,
    BatchEmbedContentsResponse,
    ContentEmbedding,
    EmbedContentRequest,
    EmbedContentResponse,
    EmbeddingUsage,
)
from chatgpt_to_api.dialects.gemini.error_reply import error_reply
from chatgpt_to_api.dialects.gemini.messages import Content, Part
from chatgpt_to_api.dialects.gemini.paths import place_of
from chatgpt_to_api.dialects.gemini.server import whole_name
from chatgpt_to_api.dialects.gemini.spelling import spelled
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.wire.http import HttpReply, RequestHead

_HEADERS: Final = ((b"content-type", b"application/json; charset=UTF-8"),)
_EXAMPLE: Final = '{"content": {"parts": [{"text": "Hello"}]}}'
_BATCH_EXAMPLE: Final = (
    '{"requests": [{"model": "models/m", "content": {"parts": [{"text": "Hello"}]}}]}'
)
_REQUEST: Final = msgspec.json.Decoder(EmbedContentRequest)
_BATCH: Final = msgspec.json.Decoder(BatchEmbedContentsRequest)
_PART: Final = msgspec.json.Decoder(Part)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])


class EmbedAsked(TextsAsked):
    """One request of either method, decoded and checked."""

    has_tokens = False

    def __init__(
        self, model: str, body: bytes, requests: list[EmbedContentRequest], *, batch: bool
    ) -> None:
        self.model = model
        self.batch = batch
        self.requests = requests
        self._body = body

    @property
    def untranslated(self) -> tuple[str, ...]:
        """What only the vendor's own models could heed."""
        names = {"taskType": "task_type", "title": "title"}
        return tuple(
            name for name, own in names.items() if any(getattr(r, own) for r in self.requests)
        )

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # it has no stream
        """Return the client's own JSON; wherever it names the model, that has to be the path's."""
        if all(request.model in (None, whole_name(model)) for request in self.requests):
            return self._body
        named = Raw(msgspec.json.encode(whole_name(model)))
        fields = _RAW_OBJECT.decode(self._body)
        if not self.batch:
            return msgspec.json.encode(fields | {"model": named})
        inner = [request | {"model": named} for request in _RAW_OBJECTS.decode(fields["requests"])]
        return msgspec.json.encode(fields | {"requests": inner})

    def read_tokens(self, decode: object) -> None:
        """There are none in this dialect."""
        raise AssertionError(f"no token ids to be read with {decode}")

    def vectors(self) -> VectorRequest:
        """Return the request in canonical form. Raises InvalidRequest."""
        sizes = {request.output_dimensionality for request in self.requests}
        if len(sizes) > 1:
            raise invalid(
                "requests", "expected one outputDimensionality for all where this model answers"
            )
        texts = tuple(
            _text(request.content, f"requests[{place}].content" if self.batch else "content")
            for place, request in enumerate(self.requests)
        )
        return VectorRequest(model=self.model, texts=texts, size=sizes.pop())

    def answered(self, vectors: Vectors, stamp: Stamp) -> HttpReply:  # noqa: ARG002  # it tells no time
        """Return the whole reply."""
        usage = None
        if vectors.usage is not None and vectors.usage.prompt is not None:
            usage = EmbeddingUsage(vectors.usage.prompt)
        found = [ContentEmbedding(vector) for vector in vectors.vectors]
        reply: EmbedContentResponse | BatchEmbedContentsResponse = (
            BatchEmbedContentsResponse(found, usage)
            if self.batch
            else EmbedContentResponse(found[0], usage)
        )
        return HttpReply(200, _HEADERS, msgspec.json.encode(reply))


class EmbedDoor:
    """The door of one of the two methods, which is also its ``dialect``."""

    endpoint = "embeddings"

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self._batch = dialect == BATCH

    def ask(self, head: RequestHead, body: bytes) -> EmbedAsked:
        """Decode and check a request. Raises InvalidRequest naming the field."""
        body = without_mark(body)
        put_right = spelled(body)
        if self._batch:
            requests = decode_body(put_right, _BATCH, _BATCH_EXAMPLE).requests
        else:
            requests = [decode_body(put_right, _REQUEST, _EXAMPLE)]
        if not requests:
            raise invalid("requests", "expected at least one, got an empty array")
        for place, request in enumerate(requests):
            where = f"requests[{place}]." if self._batch else ""
            if not request.content.parts:
                raise invalid(f"{where}content.parts", "expected at least one, got none")
            size = request.output_dimensionality
            if size is not None and size < 1:
                raise invalid(f"{where}outputDimensionality", f"expected at least 1, got {size}")
        model = place_of(head).model
        if not model:
            raise InvalidRequest(
                "The path names no model: it is /v1beta/models/{model}:embedContent.",
                param="model",
                code="missing_required_parameter",
            )
        return EmbedAsked(model, body, requests, batch=self._batch)

    def reply(self, asked: Asked, stamp: Stamp) -> ReplyEncoder:
        """There is nothing to encode: a reply comes whole, by :meth:`EmbedAsked.answered`."""
        raise AssertionError(f"no stream of {asked.model} at {stamp.created}")

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)


EMBED_DOOR: Final = EmbedDoor(EMBED)
BATCH_DOOR: Final = EmbedDoor(BATCH)


def _text(content: Content, param: str) -> str:
    """Return the text of a content, which is all that other vendors' models can embed."""
    texts = []
    for place, raw in enumerate(content.parts or ()):
        part = decoded(raw, _PART, f"{param}.parts[{place}]")
        if part.text is None or present(_RAW_OBJECT.decode(raw).get("inlineData", Raw())):
            raise invalid(f"{param}.parts[{place}]", "expected text: this model embeds no other")
        texts.append(part.text)
    return "\n".join(texts)
