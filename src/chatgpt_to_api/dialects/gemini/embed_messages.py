"""The JSON of embeddings: of one content, and of several at once.

Source: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.dialects.gemini import paths
from chatgpt_to_api.dialects.gemini.messages import Content

EMBED: Final = "gemini_embed"
BATCH: Final = "gemini_embed_batch"
"""What the two methods are called among dialects."""

METHODS: Final = {EMBED: paths.EMBED, BATCH: paths.EMBED_BATCH}


class EmbedContentRequest(msgspec.Struct, rename="camel"):
    """``POST …/{model}:embedContent``, and one request of a batch."""

    content: Content
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(msgspec.Struct):
    """``POST …/{model}:batchEmbedContents``."""

    requests: list[EmbedContentRequest]


class ContentEmbedding(msgspec.Struct):
    """One vector."""

    values: list[float] = []


class EmbeddingUsage(msgspec.Struct, rename="camel"):
    """What was read; many servers do not say."""

    prompt_token_count: int | None = None


class EmbedContentResponse(msgspec.Struct, rename="camel", omit_defaults=True):
    """The reply to one content."""

    embedding: ContentEmbedding | None = None
    usage_metadata: EmbeddingUsage | None = None


class BatchEmbedContentsResponse(msgspec.Struct, rename="camel", omit_defaults=True):
    """The reply to a batch, in the order of its requests."""

    embeddings: list[ContentEmbedding] | None = None
    usage_metadata: EmbeddingUsage | None = None
