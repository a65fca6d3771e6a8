"""Token counts of one reply, in disjoint buckets, with where they come from."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

UsageSource: TypeAlias = Literal["reported", "counted", "partial", "unknown"]


class TokenKinds(msgspec.Struct, frozen=True):
    """How tokens divide by what they stand for."""

    text: int | None = None
    audio: int | None = None
    image: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one reply. None is "not known"; zero is a value.

    ``input`` excludes what was read from or written to the vendor's prompt cache, so
    ``input + cache_read + cache_write`` is the whole prompt. ``reasoning`` is inside ``output``.
    ``source``: reported by the upstream, counted by us, partial (the reply was cut), unknown.
    Of a predicted output's tokens some were ``accepted_prediction``, the rest
    ``rejected_prediction``; ``prompt_kinds`` divides the whole prompt, ``output_kinds`` the output.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    source: UsageSource = "unknown"
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    prompt_kinds: TokenKinds = TokenKinds()
    output_kinds: TokenKinds = TokenKinds()

    @property
    def prompt(self) -> int | None:
        """The whole prompt's tokens, as OpenAI counts ``prompt_tokens``."""
        if self.input is None:
            return None
        return self.input + (self.cache_read or 0) + (self.cache_write or 0)

    @property
    def total(self) -> int | None:
        """Prompt and output together; None unless both are known."""
        prompt = self.prompt
        return None if prompt is None or self.output is None else prompt + self.output
