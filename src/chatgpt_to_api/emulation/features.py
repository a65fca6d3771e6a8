"""What can be emulated, by name: in settings, in ``x-emulated`` and where upstreams are chosen."""

from __future__ import annotations

from typing import Final, TypeAlias

from chatgpt_to_api.chat.needs import Feature

Emulated: TypeAlias = Feature

TOLD: Final[tuple[Emulated, ...]] = ("tools", "freeform", "json", "stop", "max_tokens", "n")
"""Everything that can be emulated, in the order it is told."""

EMULATED: Final[frozenset[Emulated]] = frozenset(TOLD)
