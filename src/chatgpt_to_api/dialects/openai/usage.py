"""Token counts, both ways between the dialect's ``usage`` and the canonical buckets."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import TokenKinds, Usage
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai.messages import CompletionDetails, PromptDetails, UsageObject

_USAGE: Final = msgspec.json.Decoder(UsageObject)
_NO_PROMPT_DETAILS: Final = PromptDetails()
_NO_COMPLETION_DETAILS: Final = CompletionDetails()


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Return ``usage`` in full, None unless prompt and answer were both counted.

    The dialect has no word for half of it: null is no number there, and zero would be a lie.
    """
    if usage is None:
        return None
    prompt, output = usage.prompt, usage.output
    if prompt is None or output is None:
        return None
    # What was counted here has no details; asking for each of them costs more than the rest.
    plain = usage == Usage(input=prompt, output=output, source=usage.source)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {} if plain else _prompt_details(usage),
        "completion_tokens_details": {} if plain else _completion_details(usage),
    }


def _prompt_details(usage: Usage) -> dict[str, int]:
    return _known(
        cached_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        text_tokens=usage.prompt_kinds.text,
        audio_tokens=usage.prompt_kinds.audio,
        image_tokens=usage.prompt_kinds.image,
    )


def _completion_details(usage: Usage) -> dict[str, int]:
    return _known(
        reasoning_tokens=usage.reasoning,
        accepted_prediction_tokens=usage.accepted_prediction,
        rejected_prediction_tokens=usage.rejected_prediction,
        text_tokens=usage.output_kinds.text,
        audio_tokens=usage.output_kinds.audio,
        image_tokens=usage.output_kinds.image,
    )


def _known(**counts: int | None) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def read_usage(raw: Raw) -> Usage | None:
    """Read a reply's ``usage``; None where it is absent, null, or says nothing that can be read."""
    if not present(raw):
        return None
    try:
        usage = _USAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return usage_of(usage)


def usage_of(usage: UsageObject) -> Usage | None:
    """Return a reply's ``usage`` in the canonical buckets, None where it says nothing.

    The vendor's ``prompt_tokens`` include the cached ones. A server that counts them apart shows
    more cached than prompt tokens; its prompt is then the fresh part, and nothing is clamped.
    """
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    if usage.prompt_tokens_details is None and usage.completion_tokens_details is None:
        read = usage.prompt_cache_hit_tokens
        if read is None:  # most servers say no more than this
            return Usage(
                input=usage.prompt_tokens, output=usage.completion_tokens, source="reported"
            )
    details = usage.prompt_tokens_details or _NO_PROMPT_DETAILS
    read = details.cached_tokens
    if read is None:
        read = usage.prompt_cache_hit_tokens
    write = details.cache_write_tokens
    if write is None:
        write = details.cache_creation_tokens
    fresh = usage.prompt_tokens
    if fresh is not None and fresh >= (read or 0) + (write or 0):
        fresh -= (read or 0) + (write or 0)
    output = usage.completion_tokens_details or _NO_COMPLETION_DETAILS
    return Usage(
        input=fresh,
        output=usage.completion_tokens,
        cache_read=read,
        cache_write=write,
        reasoning=output.reasoning_tokens,
        source="reported",
        accepted_prediction=output.accepted_prediction_tokens,
        rejected_prediction=output.rejected_prediction_tokens,
        prompt_kinds=_kinds(details),
        output_kinds=_kinds(output),
    )


def _kinds(details: PromptDetails | CompletionDetails) -> TokenKinds:
    return TokenKinds(details.text_tokens, details.audio_tokens, details.image_tokens)
