"""A whole reply in one read: nobody waits for what stood in between, so only its end is told.

A v1 reply that has come whole is one message which was opened, written and finished. It amounts to
one snapshot of that message as it ended. Any other reply, and any part of one, is read event by
event; the tests hold both equal.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.conversation.lanes import bare_lane
from chatgpt_to_api.dialects.conversation.reading import Flags
from chatgpt_to_api.dialects.conversation.usual import Shown, patched, read_operation

DONE: Final = b"data: [DONE]\n\n"
_LONGEST: Final = 256 * 1024
_OPENING: Final = re.compile(
    rb'(?:event: delta_encoding\ndata: "v1"\n\n)?'
    rb"event: delta\ndata: (\{[^\n]*)\n\n"
    rb"(event: delta\ndata: (\{[^\n]*))\n\n"
)
_ENDING: Final = re.compile(
    rb"event: delta\ndata: (\{[^\n]*)\n\n(?:data: (\{[^\n]*)\n\n)?data: \[DONE\]\n\n"
)


class Burst(NamedTuple):
    """The message that was written, as it ended."""

    flags: Flags
    text: str
    conversation_id: str


class _Complete(msgspec.Struct):
    type: Literal["message_stream_complete"]
    conversation_id: str
    message: UnsetType = UNSET
    v: UnsetType = UNSET
    p: UnsetType = UNSET


_COMPLETE: Final = msgspec.json.Decoder(_Complete).decode


def read_burst(block: bytes) -> Burst | None:
    """Read a whole v1 reply of one message of the usual kind; None for anything else."""
    if len(block) > _LONGEST or not block.endswith(DONE):
        return None
    begun = _OPENING.match(block)
    if begun is None:
        return None
    opened, first = read_operation(begun[1]), read_operation(begun[3])
    if opened is None or first is None or not isinstance(opened.v, Shown) or not opened.opens:
        return None
    flags, conversation_id = opened.v.flags, opened.v.conversation_id
    if flags is None or not conversation_id or not isinstance(first.v, str):
        return None
    if first.kind(None) != "append" or first.c is not UNSET:
        return None
    more, at = bare_lane(begun[2]).run(block, begun.end())
    ended = _ENDING.fullmatch(block, at)
    if ended is None or not _is_complete(ended[2], conversation_id):
        return None
    last = read_operation(ended[1])
    if last is None or last.kind(None) != "patch" or last.c is not UNSET:
        return None
    change = patched(flags, last.v) if isinstance(last.v, list) else None
    if change is None or change[0].end_turn is not True:
        return None
    return Burst(change[0], opened.v.text + first.v + more + change[1], conversation_id)


def _is_complete(event: bytes | None, conversation_id: str) -> bool:
    """Whether nothing, or nothing but that the stream is complete, was said at the end."""
    if event is None:
        return True
    try:
        return _COMPLETE(event).conversation_id == conversation_id
    except UNREADABLE:
        return False
