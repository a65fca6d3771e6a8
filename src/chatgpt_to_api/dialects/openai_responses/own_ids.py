"""Ids that only this gateway gives, and items on their way to a server that knows none of them.

Ids tell of what they belong to: a response's items carry its id, so one of them is found by its id
alone. Our ids have a form that no other server's have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.openai_responses.messages import AnyItem

_OURS: Final = re.compile(r"(?:resp|conv)_[0-9a-f]{32}")
_ITEM_OF: Final = re.compile(r"[a-z]{2,4}_([0-9a-f]{32})i?[0-9]{4,8}")
_MAY_BE: Final = re.compile(rb'"id"\s*:\s*"[a-z]{2,4}_[0-9a-f]{32}i?[0-9]{4,8}"')
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)


def is_ours(id: str) -> bool:
    """Whether a response or conversation can only have been made here."""
    return _OURS.fullmatch(id) is not None


def response_of(item: str) -> str | None:
    """Return the response whose item an id names, None for an id that tells of none."""
    found = _ITEM_OF.fullmatch(item)
    return None if found is None else f"resp_{found[1]}"


def without_own_ids(items: Sequence[Raw]) -> list[Raw] | None:
    """Return items without the ids that were given here; None where none has such an id.

    Servers look an id up where they keep items, refuse one they do not find, and refuse a sealed
    thought whose id is not the one it was sealed with. None of them needs an id: what answers a
    call names the call's. Whatever has another id keeps its bytes.
    """
    changed = False
    kept = []
    for raw in items:
        item = raw
        if _MAY_BE.search(raw) is not None and _has_own_id(raw):
            fields = _RAW_OBJECT.decode(raw)
            del fields["id"]
            item = Raw(msgspec.json.encode(fields))
            changed = True
        kept.append(item)
    return kept if changed else None


def _has_own_id(raw: Raw) -> bool:
    """Whether an item has an id of ours beside what it is; a reference is nothing but its id."""
    try:
        item = _ANY_ITEM.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False  # for its reader to tell
    refers = item.type == "item_reference" or (item.type is None and item.role is None)
    return not refers and item.id is not None and response_of(item.id) is not None
