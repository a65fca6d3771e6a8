"""Both sides of ``POST …/{model}:countTokens``: how long a prompt is, before it is asked.

Source: https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from typing import Final

import msgspec

DIALECT: Final = "gemini_count"
METHOD: Final = "countTokens"


class Counted(msgspec.Struct, rename="camel"):
    """The reply."""

    total_tokens: int
