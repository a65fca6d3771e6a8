"""Token counts, both ways between ``usageMetadata`` and the canonical buckets.

The vendor's ``promptTokenCount`` includes the cached tokens; what the model's own tools read
(``toolUsePromptTokenCount``) and what it thought (``thoughtsTokenCount``) come beside the others.
Source: https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import TokenKinds, Usage
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.gemini.messages import ModalityCount, UsageMetadata

_USAGE: Final = msgspec.json.Decoder(UsageMetadata)


def usage_metadata(usage: Usage | None) -> dict[str, Any] | None:
    """Return ``usage`` as the dialect words it, None where nothing of it is known.

    What is not known is left out, as the vendor does; zero is a value.
    """
    if usage is None:
        return None
    shown = output = usage.output
    if output is not None and usage.reasoning is not None:
        shown = output - usage.reasoning
    counts = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": shown,
        "totalTokenCount": usage.total,
        "cachedContentTokenCount": usage.cache_read,
        "thoughtsTokenCount": usage.reasoning,
        "promptTokensDetails": _modalities(usage.prompt_kinds),
        "candidatesTokensDetails": _modalities(usage.output_kinds),
    }
    return {name: count for name, count in counts.items() if count is not None} or None


def read_usage(raw: Raw) -> Usage | None:
    """Read a reply's ``usageMetadata``; None where it says nothing that can be read.

    A server that counts cached tokens apart shows more of them than prompt tokens; its prompt is
    then the fresh part, and nothing is clamped.
    """
    if not present(raw):
        return None
    try:
        said = _USAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if said.prompt_token_count is None and said.candidates_token_count is None:
        return None
    cached, fresh = said.cached_content_token_count, said.prompt_token_count
    if fresh is not None:
        if fresh >= (cached or 0):
            fresh -= cached or 0
        fresh += said.tool_use_prompt_token_count or 0
    thought, output = said.thoughts_token_count, said.candidates_token_count
    if thought is not None:
        output = (output or 0) + thought
    return Usage(
        input=fresh,
        output=output,
        cache_read=cached,
        reasoning=thought,
        source="reported",
        prompt_kinds=_kinds(said.prompt_tokens_details or ()),
        output_kinds=_kinds(said.candidates_tokens_details or ()),
    )


def _kinds(counts: Iterable[ModalityCount]) -> TokenKinds:
    found = {count.modality: count.token_count for count in counts}
    return TokenKinds(found.get("TEXT"), found.get("AUDIO"), found.get("IMAGE"))


def _modalities(kinds: TokenKinds) -> list[dict[str, Any]] | None:
    counts = (("TEXT", kinds.text), ("AUDIO", kinds.audio), ("IMAGE", kinds.image))
    return [{"modality": m, "tokenCount": c} for m, c in counts if c is not None] or None
