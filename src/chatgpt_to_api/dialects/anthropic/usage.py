"""Token counts, both ways between the dialect's ``usage`` and the canonical buckets.

``input_tokens`` leaves out what was read from the cache or written to it, as the buckets do.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.messages import UsageObject
from chatgpt_to_api.dialects.bodies import present

_USAGE: Final = msgspec.json.Decoder(UsageObject)


def usage_object(usage: Usage | None) -> dict[str, Any]:
    """Return ``usage``; what is not known is null, but for the two counts that clients add up."""
    usage = usage or Usage()
    shown: dict[str, Any] = {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return shown


def read_usage(raw: Raw, earlier: Usage | None = None) -> Usage | None:
    """Read a ``usage``: what it says replaces what was said ``earlier``, nulls replace nothing."""
    if not present(raw):
        return earlier
    try:
        given = _USAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return earlier
    before = earlier or Usage()
    details = given.output_tokens_details
    thinking = details.thinking_tokens if details is not None else None
    usage = Usage(
        input=_later(given.input_tokens, before.input),
        output=_later(given.output_tokens, before.output),
        cache_read=_later(given.cache_read_input_tokens, before.cache_read),
        cache_write=_later(given.cache_creation_input_tokens, before.cache_write),
        reasoning=_later(thinking, before.reasoning),
        source="reported",
    )
    return earlier if usage == Usage(source="reported") else usage


def _later(count: int | None, before: int | None) -> int | None:
    return before if count is None else count
