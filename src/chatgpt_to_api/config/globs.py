"""Model names and globs as the configuration has them: what fits, and what is no glob at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

LONGEST_GLOB: Final = 256
"""Most characters of a model name or glob."""

_MAGIC: Final = frozenset("*?[")


def is_glob(pattern: str) -> bool:
    """Whether it may stand for more than one name."""
    return not _MAGIC.isdisjoint(pattern)


def check_glob(pattern: str) -> str:
    """Return a name or glob. Raises ValueError for what could only be a slip of the pen.

    ``fnmatch`` takes an unclosed bracket for itself and an empty range for nothing; both would make
    a rule that silently never holds.
    """
    if not pattern.strip():
        raise ValueError("expected a model name or glob")
    if len(pattern) > LONGEST_GLOB:
        raise ValueError(f"expected a model name or glob of at most {LONGEST_GLOB} characters")
    place = 0
    while (place := pattern.find("[", place)) >= 0:
        inside = place + (2 if pattern[place + 1 : place + 2] == "!" else 1)
        end = pattern.find("]", inside + 1)  # a bracket right at the beginning is a character
        if end < 0:
            raise ValueError(
                f"expected a glob; in {pattern!r:.80} the [ is never closed "
                "(the character itself is written [[])"
            )
        for low, high in re.findall(r"(?s)(.)-(.)", pattern[inside:end]):
            if low > high:
                raise ValueError(
                    f"expected a glob; in {pattern!r:.80} no character is {low}-{high}"
                )
        place = end + 1
    return pattern


def compile_globs(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches a name that any of the patterns stands for; case counts."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")
