"""Names of tools: one flat name for a tool of a namespace, and back.

Other dialects know no namespaces, and take names of at most 64 letters, digits, ``_`` and ``-``.
A flat name depends on nothing but the two it stands for, so it is the same on every turn.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MOST: Final = 64
"""Longest name of a tool, characters, as the vendor has it."""

_DIGEST: Final = 8
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")


def flat_name(namespace: str | None, name: str) -> str:
    """Return the one name that stands for ``name`` in ``namespace`` (None: in none).

    A name that is too long, or has other characters, is shortened and told apart by a digest.
    """
    joined = name if not namespace else f"{namespace}__{name}"
    fit = _UNFIT.sub("_", joined)
    if fit == joined and len(fit) <= MOST:
        return fit
    digest = hashlib.blake2b(joined.encode(), digest_size=_DIGEST // 2).hexdigest()
    return f"{fit[: MOST - _DIGEST - 1]}_{digest}"
