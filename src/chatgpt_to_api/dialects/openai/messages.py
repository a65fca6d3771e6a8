"""The JSON that replies of OpenAI's endpoints share: usage, and what relayed ones are read for."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW


class SpokenChoice(msgspec.Struct, gc=False):
    """A choice of a relayed chunk, as far as it tells whether anything was generated."""

    delta: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None


class SpokenChunk(msgspec.Struct, gc=False):
    """The first chunks of a relayed stream, read for their first content."""

    choices: list[SpokenChoice] | None = None
    error: Raw = NO_RAW
    model: str | None = None


class MarkedChoice(msgspec.Struct, gc=False):
    """What a relayed chunk may say of a choice beside its content."""

    usage: Raw = NO_RAW
    error: Raw = NO_RAW


class MarkedChunk(msgspec.Struct, gc=False):
    """A relayed chunk that was seen to hold usage or an error."""

    choices: list[MarkedChoice] | None = None
    usage: Raw = NO_RAW
    error: Raw = NO_RAW


class PromptDetails(msgspec.Struct, gc=False):
    """How the prompt's tokens divide."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """How the answer's tokens divide."""

    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class UsageObject(msgspec.Struct, gc=False):
    """``usage``. ``prompt_cache_hit_tokens`` is one vendor's name for the cached part."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class WholeReply(msgspec.Struct, gc=False):
    """A whole relayed reply, as far as the gateway looks into it."""

    choices: Raw = NO_RAW
    usage: UsageObject | None = None
    model: str | None = None


class LooseReply(msgspec.Struct, gc=False):
    """The same of a server that is loose about types."""

    choices: Raw = NO_RAW
    usage: Raw = NO_RAW
    model: Raw = NO_RAW
