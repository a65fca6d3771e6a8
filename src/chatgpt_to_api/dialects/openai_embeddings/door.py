"""Client side of embeddings: a request's decode and checks; the reply is the upstream's own."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.bodies import decode_body, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.embedding import TextsAsked
from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.dialects.openai.requests import rewritten
from chatgpt_to_api.dialects.openai.whole_only import NO_ENCODER, NoEncoder
from chatgpt_to_api.dialects.openai_embeddings.messages import DIALECT, EmbeddingsRequest, Input
from chatgpt_to_api.dialects.problems import invalid
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.wire.http import HttpReply, RequestHead

_EXAMPLE: Final = '{"model": "text-embedding-3-small", "input": "Hello"}'
_FORMATS: Final = ("float", "base64")
_REQUEST: Final = msgspec.json.Decoder(EmbeddingsRequest)


class EmbeddingsAsked(TextsAsked):
    """One embeddings request, decoded and checked."""

    untranslated = ()

    def __init__(self, body: bytes, asked: EmbeddingsRequest) -> None:
        self._body = body
        self.asked = asked
        self.model: str = asked.model
        self._texts: tuple[str, ...] | None = None

    @property
    def has_tokens(self) -> bool:
        """Whether a text is given as token ids."""
        given = self.asked.input
        return not isinstance(given, str) and not isinstance(given[0], str)

    def read_tokens(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Read token ids as text. Raises InvalidRequest for ids that stand for none."""
        texts = []
        for index, ids in enumerate(_token_lists(self.asked.input)):
            try:
                texts.append(decode(ids))
            except ValueError as error:
                raise invalid(f"input[{index}]", str(error)) from None
        self._texts = tuple(texts)

    def vectors(self) -> VectorRequest:
        """Return the request in canonical form. Raises InvalidRequest."""
        texts = self._texts
        if texts is None:
            if self.has_tokens:
                raise InvalidRequest(
                    f"The upstream of {self.model!r} takes texts, no token ids, and whose ids "
                    "these are is not known.",
                    param="input",
                    code="unsupported_parameter",
                )
            given = self.asked.input
            texts = (given,) if isinstance(given, str) else tuple(map(str, given))
        return VectorRequest(model=self.model, texts=texts, size=self.asked.dimensions)

    def answered(self, vectors: Vectors, stamp: Stamp) -> HttpReply:  # noqa: ARG002  # it has no date
        """Return the whole reply."""
        usage = vectors.usage
        prompt = None if usage is None else usage.prompt
        shown = as_base64 if self.asked.encoding_format == "base64" else list
        reply = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": shown(vector)}
                for index, vector in enumerate(vectors.vectors)
            ],
            "model": vectors.model or self.model,
            "usage": {"prompt_tokens": prompt or 0, "total_tokens": prompt or 0},
        }
        headers = [(b"content-type", b"application/json")]
        return HttpReply(200, headers, msgspec.json.encode(reply))

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # it has no stream
        """Return the client's own JSON, for the upstream's name of the model."""
        if model == self.model:
            return self._body
        return rewritten(self._body, model, ask_usage=False)


class EmbeddingsDoor:
    """The door of ``POST /v1/embeddings``."""

    dialect = DIALECT
    endpoint = "embeddings"

    def ask(self, head: RequestHead, body: bytes) -> EmbeddingsAsked:  # noqa: ARG002  # all is in the body
        """Decode and check a request. Raises InvalidRequest naming the field."""
        body = without_mark(body)
        asked = decode_body(body, _REQUEST, _EXAMPLE)
        if not asked.model:
            raise invalid("model", "expected a model's name, got an empty string")
        _check_input(asked.input)
        if asked.encoding_format is not None and asked.encoding_format not in _FORMATS:
            expected = " or ".join(_FORMATS)
            raise invalid(
                "encoding_format", f"expected {expected}, got {asked.encoding_format!r:.60}"
            )
        if asked.dimensions is not None and asked.dimensions < 1:
            raise invalid(
                "dimensions", f"expected an integer of at least 1, got {asked.dimensions}"
            )
        return EmbeddingsAsked(body, asked)

    def reply(self, asked: Asked, stamp: Stamp) -> NoEncoder:  # noqa: ARG002  # nothing is made here
        """Return the encoder of a reply that is never made here."""
        return NO_ENCODER

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in OpenAI's shape."""
        return error_reply(error)


def as_base64(vector: list[float]) -> str:
    """Return a vector as the base64 of little-endian 32-bit floats, as the vendor packs it."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _token_lists(given: Input) -> list[list[int]]:
    """Return the token ids of each text."""
    if isinstance(given, str) or isinstance(given[0], str):
        return []
    if isinstance(given[0], int):
        return [cast("list[int]", given)]
    return cast("list[list[int]]", given)


def _check_input(given: Input) -> None:
    """See to it that there is something in it, and that it is of one kind."""
    if not given:
        what = "string" if isinstance(given, str) else "array"
        raise invalid("input", f"expected a text, texts or token ids, got an empty {what}")
    if isinstance(given, str):
        return
    kind = type(given[0])
    for index, item in enumerate(given):
        where = f"input[{index}]"
        if type(item) is not kind:
            raise invalid(
                where, f"expected {_NAMES[kind]} like the first, got {_NAMES[type(item)]}"
            )
        if isinstance(item, int):
            if item < 0:
                raise invalid(where, f"expected a token id, got {item}")
        elif not item:
            raise invalid(where, f"expected a text or token ids, got an empty {_NAMES[kind]}")
        elif isinstance(item, list) and min(item) < 0:
            place = next(place for place, token in enumerate(item) if token < 0)
            raise invalid(f"{where}[{place}]", f"expected a token id, got {item[place]}")


_NAMES: Final = {str: "string", int: "integer", list: "array"}


DOOR: Final = EmbeddingsDoor()
