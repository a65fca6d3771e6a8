"""Which candidates can answer a request at all, and the error that says why none can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from chatgpt_to_api.chat.needs import Need, Needs
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.upstreams import Candidate

CANNOT: Final[Mapping[Need, str]] = {
    "tools": "cannot call tools",
    "json": "cannot be held to JSON",
    "images": "cannot see images",
    "audio": "cannot hear audio",
    "files": "cannot read files",
}

UNSUPPORTED: Final = "unsupported_parameter"
"""Code of the error for what an upstream cannot be asked."""


def lack(candidate: Candidate, needs: Needs) -> tuple[str, str] | None:
    """Why a candidate cannot answer: in words, and by which field. None if it can."""
    for need, field in needs.fields.items():
        if candidate.upstream.can(need) == "absent":
            return CANNOT[need], field
    context = candidate.context
    if context is not None and needs.tokens > context:
        return f"context of {context} tokens, about {needs.tokens} asked", "messages"
    return None


def able(candidates: Sequence[Candidate], needs: Needs) -> Sequence[Candidate]:
    """Return the candidates that can answer, in their order. Raises InvalidRequest if none can."""
    lacks = [lack(candidate, needs) for candidate in candidates]
    if not any(lacks):
        return candidates
    left = [c for c, lacking in zip(candidates, lacks, strict=True) if lacking is None]
    if left:
        return left
    found = [lacking for lacking in lacks if lacking is not None]
    # An upstream may stand in the list with several models: each reason is said once.
    reasons = dict.fromkeys(
        f"upstream {candidate.upstream.name}: {words}"
        for candidate, (words, _) in zip(candidates, found, strict=True)
    )
    long = all(field == "messages" for _, field in found)
    field = found[0][1]
    demands = "This request is too long" if long else f"What '{field}' asks for cannot be done"
    raise InvalidRequest(
        f"{demands} with this model: {'; '.join(reasons)}.",
        param=field,
        code="context_length_exceeded" if long else UNSUPPORTED,
    )
