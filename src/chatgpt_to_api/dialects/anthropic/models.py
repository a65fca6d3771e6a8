"""What the vendor's models take, told by their names: one more parameter is a 400.

A name that is none of the vendor's is taken for a server that knows what the API first had.
Source: https://platform.claude.com/docs/en/about-claude/models/overview and the guides to thinking,
effort and mid-conversation system messages there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

Thinks: TypeAlias = Literal["never", "budget", "either", "adaptive"]

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)*(\d+)(?:[-.](\d{1,2}))?(?!\d)")

_UNKNOWN_LIMIT: Final = 8192
_LIMIT: Final = 32_000
"""Longest answer, tokens, that every model since 3.7 gives; many give more."""


class Model(msgspec.Struct, frozen=True):
    """What one model takes.

    ``thinks``: never, with a budget of tokens, as much as it sees fit (``adaptive``), or either.
    ``longest`` is the longest answer to ask for, tokens, when nobody says how long it may be.
    """

    longest: int = _UNKNOWN_LIMIT
    thinks: Thinks = "budget"
    sampling: bool = True
    both_sampling: bool = True
    system_in_place: bool = False
    extra_effort: bool = False
    always_thinks: bool = False


@lru_cache(maxsize=1024)
def model_of(name: str) -> Model:
    """Return what the model with that name takes."""
    found = _VERSION.search(name)
    if found is None:
        return Model()
    version = int(found[1]), int(found[2] or 0)
    if version < (3, 7):
        return Model(longest=8192 if version >= (3, 5) else 4096, thinks="never")
    thinks: Thinks = "budget"
    if version >= (4, 7):
        thinks = "adaptive"
    elif version >= (4, 6):
        thinks = "either"
    return Model(
        longest=_LIMIT,
        thinks=thinks,
        sampling=version < (4, 7),
        both_sampling=version < (4, 1),
        system_in_place=version >= (4, 8),
        extra_effort=version >= (4, 7),
        always_thinks=version >= (5, 0),
    )
