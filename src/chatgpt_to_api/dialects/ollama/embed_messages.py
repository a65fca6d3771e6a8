"""The JSON of embeddings: ``/api/embed``, and ``/api/embeddings`` of the time before it.

Source: https://docs.ollama.com/api/embed
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

EMBED: Final = "ollama_embed"
OLDER: Final = "ollama_embeddings"
"""What the two paths are called among dialects."""

PATHS: Final = {EMBED: b"/embed", OLDER: b"/embeddings"}


class OllamaEmbedRequest(msgspec.Struct):
    """``POST /api/embed``."""

    model: str
    input: str | list[str]
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: str | float | None = None
    options: dict[str, Any] | None = None


class OllamaEmbeddingsRequest(msgspec.Struct):
    """``POST /api/embeddings``: one text, and no counts in the reply."""

    model: str
    prompt: str
    keep_alive: str | float | None = None
    options: dict[str, Any] | None = None


class EmbedReply(msgspec.Struct):
    """A reply to the first path, as far as the gateway looks into it."""

    embeddings: list[list[float]] | None = None
    model: str | None = None
    prompt_eval_count: int | None = None
    error: Raw = NO_RAW


class OlderReply(msgspec.Struct):
    """A reply to the older path."""

    embedding: list[float] | None = None
    error: Raw = NO_RAW
