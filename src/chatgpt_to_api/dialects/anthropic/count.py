"""Both sides of ``POST /v1/messages/count_tokens``: how long a prompt is, before it is asked.

Source: https://platform.claude.com/docs/en/api/messages-count-tokens
"""

from __future__ import annotations

from typing import Final

import msgspec

DIALECT: Final = "anthropic_count"


class Counted(msgspec.Struct):
    """The reply."""

    input_tokens: int
