"""What a request needs of whoever answers it, as far as not every upstream can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

Need: TypeAlias = Literal["tools", "json", "images", "audio", "files"]


Feature: TypeAlias = Literal["tools", "freeform", "json", "stop", "max_tokens", "n"]
"""What a request may ask for that the gateway can do in place of an upstream that cannot.

``freeform``: tools that take plain text, where an upstream's functions take only JSON."""


class Needs(msgspec.Struct, frozen=True):
    """Each need with the path of the field that has it (``messages[2].content[0]``).

    ``tokens`` is about how long the prompt is; an estimate on the low side, since a request that
    would fit must not be turned away.
    """

    fields: Mapping[Need, str] = {}
    tokens: int = 0


BYTES_PER_TOKEN: Final = 5
"""Of text in UTF-8: a little more than ordinary prose has, so that prompts are not overrated."""
