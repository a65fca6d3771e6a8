"""Backend side, the reply's calls: they leave while they are written, one after the other.

What a call's ``done`` says counts, and servers have sent pieces that were garbled or came twice. So
only pieces that can still become an object of arguments leave; the others wait for the whole, which
then says how it goes on. A whole that takes back what has left fails the reply, for a client may be
running it: from then on this upstream's calls wait until they are whole.

Text of a custom tool waits as well: nothing tells a good piece of it from a bad one.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.faults import nonsense
from chatgpt_to_api.dialects.openai_responses.messages import OutputItem
from chatgpt_to_api.dialects.openai_responses.naming import flat_name
from chatgpt_to_api.dialects.reply_reading import Broken
from chatgpt_to_api.wire.json_prefix import ObjectPrefix

CALLS: Final = ("function_call", "custom_tool_call", "tool_search_call")
"""Types of items that are calls."""

_STRING: Final = msgspec.json.Decoder(str)

_CONTRADICTED: Final = (
    "The upstream ended a tool call with other arguments than it had sent of it; "
    "do not run that call."
)


class Trust:
    """Whether what an upstream writes of a call may leave before the call is whole."""

    __slots__ = ("good",)

    def __init__(self) -> None:
        self.good = True


class Item:
    """What is known of one item of the output."""

    __slots__ = (
        "begun",
        "done",
        "first",
        "kind",
        "looked_at",
        "pieces",
        "prefix",
        "said",
        "sent",
        "told",
        "written",
    )

    def __init__(self, kind: str, first: OutputItem) -> None:
        self.kind = kind
        self.first = first
        """The item as it began: of a call, what is called."""
        self.done = False
        self.said: set[tuple[str, int]] = set()
        """What has come in pieces: of what kind, and the part's number."""
        self.told: Literal["", "summary", "reasoning"] = ""
        """In which of two forms a thought is told: what came first."""
        self.begun = -1  # the part that is open
        self.pieces: list[str] = []  # of a call's arguments
        self.looked_at = 0  # how many of them
        self.sent: list[str] = []  # those that left before the call was whole
        self.prefix = ObjectPrefix()
        self.written: str | None = None  # all of a call's arguments

    def is_same(self, item: OutputItem) -> bool:
        """Whether an item that stands in its place is this one; a place may be given twice."""
        mine, its = self.first.id, item.id
        if self.first.call_id and item.call_id:
            return not self.is_another_call(item)
        return not (mine and its) or mine == its

    def is_another_call(self, item: OutputItem) -> bool:
        """Whether an item is another call than this one."""
        mine, its = self.first.call_id, item.call_id
        return bool(mine and its) and mine != its


class Calls:
    """The calls of one reply. At most one is ``open``: begun for the client, and not yet whole."""

    def __init__(self, tracker: BlockTracker, names: ToolNames, trust: Trust) -> None:
        self._tracker = tracker
        self._names = names
        self._trust = trust
        self.open: Item | None = None
        self.made = False
        """Whether a call was made."""

    def begin(self, item: Item) -> list[ChatEvent]:
        """Open a call whose name and id are known, unless another one is open."""
        first = item.first
        if (
            self.open is not None
            or item.done
            or item.kind != "function_call"
            or not (first.name and first.call_id and self._trust.good)
            or self._tracker.finished
        ):
            return []
        self.open, self.made = item, True
        return self._tracker.tool_call(first.call_id, self._name(first))

    def piece(self, item: Item, text: str) -> list[ChatEvent]:
        """Take a piece of a call; what of it can leave does."""
        item.pieces.append(text)
        return self.written_on(item)

    def written_on(self, item: Item) -> list[ChatEvent]:
        """Let leave what has come of a call, where it is the one that is open or can be opened."""
        events = self.begin(item)
        if self.open is not item:
            return events
        for piece in item.pieces[item.looked_at :]:
            if item.prefix.feed(piece):
                item.sent.append(piece)
                events += self._tracker.arguments(piece)
        item.looked_at = len(item.pieces)
        return events

    def settled(self) -> bool:
        """Whether all of the open call has come, though its item has not been ended."""
        call = self.open
        return call is not None and (call.written is not None or call.prefix.whole)

    def whole(self, known: Item, item: OutputItem) -> list[ChatEvent]:
        """A call is complete as ``item`` has it. Raises Broken."""
        written = item.input if item.type == "custom_tool_call" else _arguments(item.arguments)
        return self._complete(known, item, written or known.written or "".join(known.pieces))

    def as_far_as_it_came(self, known: Item) -> list[ChatEvent]:
        """End a call that the server has not ended. Raises Broken."""
        first = known.first
        begun = first.input if first.type == "custom_tool_call" else _arguments(first.arguments)
        known.done = True
        return self._complete(known, first, known.written or "".join(known.pieces) or begun or "")

    def _complete(self, known: Item, item: OutputItem, written: str) -> list[ChatEvent]:
        tracker = self._tracker
        if self.open is known:
            self.open = None
            rest = self._rest(known, item, written)
            return [*tracker.arguments(rest), *tracker.end_block()]
        self.made = True
        first = known.first
        call_id = item.call_id or first.call_id or item.id or first.id or ""
        freeform = item.type == "custom_tool_call"
        name = "tool_search" if item.type == "tool_search_call" else self._name(item)
        events = tracker.tool_call(call_id, name, freeform=freeform)
        return [*events, *tracker.arguments(written), *tracker.end_block()]

    def _rest(self, known: Item, item: OutputItem, written: str) -> str:
        """Return what has not left of an open call that is complete now."""
        sent = "".join(known.sent)
        same_name = not item.name or self._name(item) == self._name(known.first)
        if same_name and written.startswith(sent):
            return written[len(sent) :]
        if same_name and known.prefix.whole and _json(sent) == _json(written):
            return ""  # in another layout
        self._trust.good = False
        raise Broken(nonsense(_CONTRADICTED))

    def _name(self, item: OutputItem) -> str:
        name = item.name or ""
        name = flat_name(item.namespace, name) if item.namespace else name
        return self._names.own.get(name, name)


def _arguments(raw: Raw) -> str:
    """Return a call's arguments: text, or the object itself, as of a search and of some servers."""
    if not present(raw):
        return ""
    try:
        return _STRING.decode(raw)
    except UNREADABLE:
        return bytes(raw).decode()


def _json(text: str) -> Any:
    """Return what a text means as JSON; itself where it is none."""
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text
