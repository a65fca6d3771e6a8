"""The dialect's JSON as typed structs.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "openai_completions"

Prompt: TypeAlias = str | list[str | int | list[int]]
"""A text, texts, the token ids of a text, or those of several."""


class StreamOptions(msgspec.Struct):
    """What a streaming client wants besides the text."""

    include_usage: bool | None = None


class CompletionRequest(msgspec.Struct):
    """``POST /v1/completions``."""

    model: str
    prompt: Prompt
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: int | None = None
    logit_bias: Raw = NO_RAW
    user: str | None = None
