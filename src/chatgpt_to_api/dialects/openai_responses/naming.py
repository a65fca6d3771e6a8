"""Names of tools: one flat name for a tool of a namespace.

Other dialects know no namespaces, and take names of at most 64 letters, digits, ``_`` and ``-``.
"""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.chat.fitting import cleaned

MOST: Final = 64
"""Longest name of a tool, characters, as the vendor has it."""


def flat_name(namespace: str | None, name: str) -> str:
    """Return the one name that stands for ``name`` in ``namespace`` (None: in none).

    It depends on nothing else, so it is the same on every turn.
    """
    return cleaned(name if not namespace else f"{namespace}__{name}", MOST)
