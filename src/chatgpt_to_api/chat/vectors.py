"""Embeddings, free of any dialect: texts in, vectors out."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.chat.usage import Usage


class VectorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to be embedded by a model. ``size``: how many numbers each vector is to have."""

    model: str
    texts: tuple[str, ...]
    size: int | None = None


class Vectors(msgspec.Struct, frozen=True):
    """A vector for each text, in their order. ``model`` is what answered, "" where nobody says."""

    vectors: list[list[float]]
    usage: Usage | None = None
    model: str = ""
