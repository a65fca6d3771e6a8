"""The dialect's JSON as typed structs.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "openai_embeddings"

Input: TypeAlias = str | list[str | int | list[int]]
"""A text, texts, the token ids of a text, or those of several."""


class EmbeddingsRequest(msgspec.Struct):
    """``POST /v1/embeddings``."""

    model: str
    input: Input
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class Embedding(msgspec.Struct):
    """One vector of a reply: its numbers, or the base64 of little-endian 32-bit floats."""

    embedding: str | list[float]
    index: int = 0


class EmbeddingsReply(msgspec.Struct):
    """A reply, as far as the gateway looks into it."""

    data: Raw = NO_RAW
    usage: Raw = NO_RAW
    error: Raw = NO_RAW
    model: str | None = None
