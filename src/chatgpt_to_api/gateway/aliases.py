"""Second names of models, for clients that show only names of one vendor's kind.

Claude Code lists what a gateway offers, but passes over every id that does not begin with
``claude`` or ``anthropic``. A model is shown to it under a name of that kind, which leads back.
Source: https://code.claude.com/docs/en/llm-gateway-protocol
"""

from __future__ import annotations

from typing import Final

import msgspec

PREFIX: Final = "claude/"
"""Stands before a name to make it an alias; no vendor has models of its own there."""

_SHOWN: Final = ("claude", "anthropic")


class Aliases(msgspec.Struct, frozen=True):
    """The rule, in force or not."""

    in_force: bool = True

    def shown(self, model: str) -> str:
        """Return the name by which such clients are shown a model."""
        if not self.in_force or model.lower().startswith(_SHOWN):
            return model
        return PREFIX + model

    def meant(self, name: str) -> str:
        """Return the model that an alias stands for; any other name as it is."""
        if self.in_force and name.startswith(PREFIX):
            return name.removeprefix(PREFIX) or name
        return name
