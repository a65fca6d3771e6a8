"""Token counts, both ways between the dialect's ``usage`` and the canonical buckets."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_responses.messages import (
    InputDetails,
    OutputDetails,
    UsageObject,
)

_USAGE: Final = msgspec.json.Decoder(UsageObject)


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Return ``usage`` in full, None unless prompt and answer were both counted.

    Cached and reasoning tokens that nobody counted are shown as 0: the dialect has these fields
    always and as numbers, and a client that reads it strictly takes a reply without them for cut.
    """
    if usage is None or usage.total is None:
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.total,
    }


def read_usage(raw: Raw) -> Usage | None:
    """Read a reply's ``usage``; None where it is absent, null, or says nothing that can be read.

    ``input_tokens`` include the cached ones. A server that counts them apart shows more of them
    than input; its input is then the fresh part, and nothing is clamped.
    """
    if not present(raw):
        return None
    try:
        usage = _USAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    details = usage.input_tokens_details or InputDetails()
    cached = (details.cached_tokens or 0) + (details.cache_write_tokens or 0)
    fresh = usage.input_tokens
    if fresh is not None and fresh >= cached:
        fresh -= cached
    return Usage(
        input=fresh,
        output=usage.output_tokens,
        cache_read=details.cached_tokens,
        cache_write=details.cache_write_tokens,
        reasoning=(usage.output_tokens_details or OutputDetails()).reasoning_tokens,
        source="reported",
    )
