"""What the dialects that count tokens for their clients have in common."""

from __future__ import annotations

from typing import Any

import msgspec

from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.contract import WholeFacts
from chatgpt_to_api.dialects.faults import nonsense


def facts_of_count(counted: msgspec.json.Decoder[Any], body: bytes) -> WholeFacts:
    """Return what a relayed 2xx reply says: that it is a count, or that it is none."""
    try:
        counted.decode(body)
    except UNREADABLE:
        return WholeFacts(fault=nonsense("The upstream's count of tokens holds no number."))
    return WholeFacts()
