"""Client side of embeddings, by either path."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.bodies import decode_body, without_mark
from chatgpt_to_api.dialects.contract import (
    Asked,
    ReplyEncoder,
    Stamp,
)
from chatgpt_to_api.dialects.embedding import TextsAsked
from chatgpt_to_api.dialects.ollama.embed_messages import (
    EMBED,
    OLDER,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
)
from chatgpt_to_api.dialects.ollama.errors import error_reply
from chatgpt_to_api.dialects.ollama.messages import bare
from chatgpt_to_api.dialects.ollama.rewriting import renamed
from chatgpt_to_api.dialects.problems import invalid
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import HttpReply, RequestHead

_HEADERS: Final = ((b"content-type", b"application/json; charset=utf-8"),)
_REQUEST: Final = msgspec.json.Decoder(OllamaEmbedRequest)
_OLDER_REQUEST: Final = msgspec.json.Decoder(OllamaEmbeddingsRequest)


class EmbedAsked(TextsAsked):
    """One request of either path, decoded and checked."""

    has_tokens = False

    def __init__(self, body: bytes, asked: OllamaEmbedRequest | OllamaEmbeddingsRequest) -> None:
        self._body = body
        self.asked = asked
        self.model: str = bare(asked.model)

    @property
    def untranslated(self) -> tuple[str, ...]:
        """What only the model's own server could heed."""
        names = ("truncate", "keep_alive", "options")
        return tuple(name for name in names if getattr(self.asked, name, None))

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # it has no stream
        """Return the client's own JSON, for the upstream's name of the model."""
        return self._body if model == self.model else renamed(self._body, model)

    def read_tokens(self, decode: object) -> None:
        """There are none in this dialect."""
        raise AssertionError(f"no token ids to be read with {decode}")

    def vectors(self) -> VectorRequest:
        """Return the request in canonical form."""
        asked = self.asked
        if isinstance(asked, OllamaEmbeddingsRequest):
            return VectorRequest(model=self.model, texts=(asked.prompt,))
        texts = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input)
        return VectorRequest(model=self.model, texts=texts, size=asked.dimensions)

    def answered(self, vectors: Vectors, stamp: Stamp) -> HttpReply:
        """Return the whole reply."""
        if isinstance(self.asked, OllamaEmbeddingsRequest):
            return HttpReply(200, _HEADERS, msgspec.json.encode({"embedding": vectors.vectors[0]}))
        reply: dict[str, Any] = {
            "model": self.asked.model,
            "embeddings": vectors.vectors,
            "total_duration": max(1, int(stamp.elapsed() * 1_000_000_000)),
            "load_duration": 0,
        }
        if vectors.usage is not None and vectors.usage.prompt is not None:
            reply["prompt_eval_count"] = vectors.usage.prompt
        return HttpReply(200, _HEADERS, msgspec.json.encode(reply))


class _Door:
    endpoint = "embeddings"

    def reply(self, asked: Asked, stamp: Stamp) -> ReplyEncoder:
        """There is nothing to encode: a reply comes whole, by :meth:`EmbedAsked.answered`."""
        raise AssertionError(f"no stream of {asked.model} at {stamp.created}")

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)


class EmbedDoor(_Door):
    """The door of ``POST /api/embed``."""

    dialect = EMBED

    def ask(self, head: RequestHead, body: bytes) -> EmbedAsked:  # noqa: ARG002  # all is in the body
        """Decode and check a request. Raises InvalidRequest naming the field."""
        body = without_mark(body)
        asked = decode_body(body, _REQUEST, '{"model": "nomic-embed-text", "input": "Hello"}')
        _check_model(asked.model)
        if not asked.input:
            raise invalid("input", "expected a text or texts, got nothing")
        if asked.dimensions is not None and asked.dimensions < 1:
            raise invalid("dimensions", f"expected at least 1, got {asked.dimensions}")
        return EmbedAsked(body, asked)


class OlderDoor(_Door):
    """The door of ``POST /api/embeddings``."""

    dialect = OLDER

    def ask(self, head: RequestHead, body: bytes) -> EmbedAsked:  # noqa: ARG002  # all is in the body
        """Decode and check a request. Raises InvalidRequest naming the field."""
        body = without_mark(body)
        example = '{"model": "nomic-embed-text", "prompt": "Hello"}'
        asked = decode_body(body, _OLDER_REQUEST, example)
        _check_model(asked.model)
        if not asked.prompt:
            raise invalid("prompt", "expected a text, got nothing")
        return EmbedAsked(body, asked)


EMBED_DOOR: Final = EmbedDoor()
OLDER_DOOR: Final = OlderDoor()


def _check_model(model: str) -> None:
    if not model:
        raise invalid("model", "expected a model's name, got an empty string")
