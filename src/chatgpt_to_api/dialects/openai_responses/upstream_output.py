"""Backend side, the reply's output: items and their pieces → blocks of the canonical reply.

What is streamed leaves at once. Only one call can be open, and nothing else beside it: while it is
written, pieces of further calls are kept for their turn, and so is every other event.
Whatever never came in pieces is read from the whole item, and an item that never came at all from
the response that ends the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    ChatEvent,
    Citation,
    FinishReason,
    LogprobsReported,
    TokenLogprob,
)
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    Likely,
    OutputItem,
    OutputPart,
    StreamEvent,
    TextDelta,
    TextPart,
    UrlCitation,
)
from chatgpt_to_api.dialects.openai_responses.upstream_calls import (
    CALLS,
    Calls,
    Item,
    Trust,
)

_ITEM: Final = msgspec.json.Decoder(OutputItem)
_PART: Final = msgspec.json.Decoder(OutputPart)
_PARTS: Final = msgspec.json.Decoder(list[OutputPart])
_THOUGHTS: Final = msgspec.json.Decoder(list[TextPart])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
_CITATION: Final = msgspec.json.Decoder(UrlCitation)
_LOGPROBS: Final = msgspec.json.Decoder(list[Likely])

_BETWEEN: Final = "\n\n"
"""What stands between a thought's paragraphs."""


class Output:
    """The items of one reply, in whatever order and completeness their events come.

    Every method that takes something raises Broken where a call's end takes it back.
    """

    def __init__(self, names: ToolNames, trust: Trust) -> None:
        self._items: list[Item] = []
        self._known: dict[int | str, Item] = {}
        self._said = 0  # characters of the whole text
        self._part_at = 0  # where the open part of it begins
        self.tracker = BlockTracker()
        self._calls = Calls(self.tracker, names, trust)
        self._waiting: list[StreamEvent] = []  # until the open call is whole
        self._resuming = False

    # -- events ------------------------------------------------------------------------------

    def text(self, text: str, first: TextDelta) -> list[ChatEvent]:
        """Take pieces of text and nothing else, all in the place of the ``first``."""
        if self._calls.open is not None:
            event = StreamEvent(
                type="output_text.delta",
                delta=text,
                item_id=first.item_id,
                output_index=first.output_index,
                content_index=first.content_index,
            )
            events: list[ChatEvent] = []
            self.take(event, events)
            return events
        item = self._known.get(first.output_index)
        if item is None or item.done:
            item = self._about(first, "message")
        return self._words(item, "text", first.content_index, text)

    def take(self, event: StreamEvent, events: list[ChatEvent]) -> None:
        """Take an event about an item."""
        kind = event.type.removeprefix("response.")
        if self._calls.open is not None and self._has_to_wait(kind, event, events):
            self._waiting.append(event)
            return
        match kind:
            case "output_text.delta":
                item = self._about(event, "message")
                events += self._words(item, "text", event.content_index or 0, event.delta or "")
                self._report_logprobs(item, event.content_index or 0, event.logprobs, events)
            case "output_text.done":
                item, index = self._about(event, "message"), event.content_index or 0
                if ("text", index) not in item.said:
                    events += self._words(item, "text", index, event.text or "")
                if ("logprobs", index) not in item.said:
                    self._report_logprobs(item, index, event.logprobs, events)
            case "refusal.delta":
                item = self._about(event, "message")
                events += self._words(item, "refusal", event.content_index or 0, event.delta or "")
            case "refusal.done":
                item, index = self._about(event, "message"), event.content_index or 0
                if ("refusal", index) not in item.said:
                    events += self._words(item, "refusal", index, event.refusal or "")
            case "output_text.annotation.added":
                item, index = self._about(event, "message"), event.content_index or 0
                item.said.add(("annotations", index))
                self._annotate([event.annotation], events)
            case "content_part.done":
                if present(event.part):
                    item = self._about(event, "message")
                    self._part(item, event.content_index or 0, event.part, events)
            case "reasoning_summary_text.delta" | "reasoning_summary_text.done":
                self._think(event, "summary", event.summary_index or 0, events)
            case "reasoning_text.delta" | "reasoning_text.done":
                self._think(event, "reasoning", event.content_index or 0, events)
            case "function_call_arguments.delta":
                item = self._about(event, "function_call")
                events += self._calls.piece(item, event.delta or "")
            case "custom_tool_call_input.delta":
                self._about(event, "custom_tool_call").pieces.append(event.delta or "")
            case "function_call_arguments.done":
                self._about(event, "function_call").written = event.arguments
            case "custom_tool_call_input.done":
                self._about(event, "custom_tool_call").written = event.input
            case "output_item.added":
                self._added(event, events)
            case "output_item.done":
                self._whole(event.item, event.output_index, events)
            case _:
                pass  # progress of a hosted tool, the beginning of a part, or what nobody knows

    def _has_to_wait(self, kind: str, event: StreamEvent, events: list[ChatEvent]) -> bool:
        """Whether an event is neither a call's piece nor about the open call.

        Where all of that call has come, it is ended instead: servers leave out what ends items.
        """
        call = self._calls.open
        if kind.startswith(("function_call_arguments.", "custom_tool_call_input.")):
            return False
        if kind.startswith("output_item."):
            item = _kind(event.item)
            known = self._find(event.output_index, item)
            if kind == "output_item.added" and (known is not call or not _differs(call, item)):
                return False
            if known is call and not _differs(call, item):
                return False
            if known is call and call is not None:  # another one in its place
                self._end_call(call, None, events)
                return False
        if not self._calls.settled() or call is None:
            return True
        self._end_call(call, None, events)
        return self._calls.open is not None

    def _end_call(self, call: Item, item: OutputItem | None, events: list[ChatEvent]) -> None:
        """End a call, as ``item`` has it or as far as it came; then comes what waited for that."""
        if item is None:
            events += self._calls.as_far_as_it_came(call)
        else:
            events += self._calls.whole(call, item)
        if self._resuming:
            return
        self._resuming = True  # none is opened before all that waited has come
        waited, self._waiting = self._waiting, []
        for event in waited:
            self.take(event, events)
        self._resuming = False
        for other in self._items:
            if other.pieces and not other.done:
                events += self._calls.written_on(other)

    def _added(self, event: StreamEvent, events: list[ChatEvent]) -> None:
        try:
            item = _ITEM.decode(event.item)
        except UNREADABLE:
            return
        known = self._find(event.output_index, item)
        if known is None or (known.done and not known.is_same(item)):
            known = self._new(item.type, event.output_index, item)
        elif known is self._calls.open:
            return  # it has begun, as it was named first
        elif not known.done:
            known.first = item
        if known.pieces:
            events += self._calls.written_on(known)
        elif self.tracker.open_kind is None:  # words that are under way may go on before it
            events += self._calls.begin(known)

    def _about(self, event: StreamEvent | TextDelta, kind: str) -> Item:
        """Return the item an event speaks of; servers leave out what names it, or its beginning."""
        for key in (event.output_index, event.item_id):
            item = None if key is None else self._known.get(key)
            if item is not None and not item.done:
                return item
        if event.output_index is None and event.item_id is None:
            for item in reversed(self._items):
                if item.kind == kind and not item.done:
                    return item
        return self._new(kind, event.output_index, OutputItem(id=event.item_id))

    def _new(self, kind: str, output_index: int | None, item: OutputItem | None) -> Item:
        found = item or OutputItem()
        new = Item(kind, found)
        self._items.append(new)
        for key in (output_index, found.id):
            if key is not None:
                self._known[key] = new
        return new

    def _find(self, output_index: int | None, item: OutputItem) -> Item | None:
        """Return what is known of an item: by its place, its own id, or the id of its call."""
        at = None if output_index is None else self._known.get(output_index)
        if at is not None and at.kind == item.type:
            return at
        by_id = self._known.get(item.id) if item.id else None
        if by_id is not None:
            return by_id
        if not item.call_id:
            return None
        return next((i for i in self._items if i.first.call_id == item.call_id), None)

    # -- words and thoughts ------------------------------------------------------------------

    def _words(
        self, item: Item, kind: Literal["text", "refusal"], index: int, text: str
    ) -> list[ChatEvent]:
        if not text:
            return []
        events: list[ChatEvent] = []
        if (kind, index) not in item.said or item.begun != index:
            events += self.tracker.end_block()
            item.said.add((kind, index))
            item.begun = index
            self._part_at = self._said
        if kind == "refusal":
            return events + self.tracker.refusal(text)
        self._said += len(text)
        return events + self.tracker.text(text)

    def _think(
        self,
        event: StreamEvent,
        form: Literal["summary", "reasoning"],
        index: int,
        events: list[ChatEvent],
    ) -> None:
        item = self._about(event, "reasoning")
        done = event.type.endswith(".done")
        if done and (form, index) in item.said:
            return
        events += self._thought(item, form, index, (event.text if done else event.delta) or "")

    def _thought(
        self, item: Item, form: Literal["summary", "reasoning"], index: int, text: str
    ) -> list[ChatEvent]:
        item.told = item.told or form
        if not text or item.told != form:
            return []
        between = ""
        if item.begun < 0:
            events = self.tracker.end_block()
        else:
            events = []
            between = _BETWEEN if item.begun != index else ""
        item.begun = index
        item.said.add((form, index))
        return events + self.tracker.reasoning(between + text)

    # -- whole items -------------------------------------------------------------------------

    def _whole(self, raw: Raw, output_index: int | None, events: list[ChatEvent]) -> None:
        """Take an item that is complete: what has not come of it yet comes now."""
        try:
            item = _ITEM.decode(raw)
        except UNREADABLE:
            return
        known = self._find(output_index, item)
        if known is not None and known.done and known.is_same(item):
            return
        if known is None or known.done:
            known = self._new(item.type, output_index, item)
        known.done = True
        if known.first.id is None:
            known.first = item
        if item.type == "message":
            self._message(known, item, events)
        elif item.type == "reasoning":
            self._reasoning(known, item, events)
        elif item.type in CALLS and (item.call_id or item.type != "tool_search_call"):
            self._end_call(known, item, events)
        elif item.type:
            events += self.tracker.foreign(Opaque(DIALECT, bytes(raw).decode()))

    def _message(self, known: Item, item: OutputItem, events: list[ChatEvent]) -> None:
        parts = _list(item.content)
        for index, part in enumerate(parts):
            self._part(known, index, part, events)
        if self.tracker.open_kind in ("text", "refusal"):
            events += self.tracker.end_block()

    def _part(self, known: Item, index: int, raw: Raw, events: list[ChatEvent]) -> None:
        try:
            part = _PART.decode(raw)
        except UNREADABLE:
            return
        if part.refusal is not None:
            if ("refusal", index) not in known.said:
                events += self._words(known, "refusal", index, part.refusal)
            return
        if ("text", index) not in known.said:
            events += self._words(known, "text", index, part.text or "")
        if ("logprobs", index) not in known.said:
            self._report_logprobs(known, index, part.logprobs, events)
        if ("annotations", index) not in known.said:
            known.said.add(("annotations", index))
            self._annotate(_list(part.annotations), events)

    def _reasoning(self, known: Item, item: OutputItem, events: list[ChatEvent]) -> None:
        forms: Sequence[tuple[Literal["summary", "reasoning"], Raw]] = (
            ("summary", item.summary),
            ("reasoning", item.content),
        )
        for form, raw in forms:
            for index, thought in enumerate(_thoughts(raw)):
                if (form, index) not in known.said:
                    events += self._thought(known, form, index, thought.text)
        if item.encrypted_content:
            if known.begun < 0:
                events += self.tracker.end_block()
            events += self.tracker.reasoning("", Opaque(DIALECT, item.encrypted_content))
        if self.tracker.open_kind == "reasoning":
            events += self.tracker.end_block()

    # -- the end -----------------------------------------------------------------------------

    def end(
        self, output: Sequence[Raw] | None, reason: FinishReason, events: list[ChatEvent]
    ) -> None:
        """The response is over: take of its whole output what never came, and finish.

        A call that nobody ended is one all the same, as far as it was written.
        """
        items = [(index, raw, _kind(raw)) for index, raw in enumerate(output or ())]
        self._end_open(items, events)
        for index, raw, item in items:
            known = self._find(index, item)
            if known is None:
                came = not self._is_missing(item.type, [i for _, _, i in items])
            else:
                came = known.done and not known.is_another_call(item)
            if not came:
                self._whole(raw, index, events)
        for open_item in self._items:
            if not open_item.done and open_item.kind in CALLS and open_item.first.name:
                self._end_call(open_item, None, events)
        if self._calls.made and reason == "stop":
            reason = "tool_calls"
        events += self.tracker.finish(reason)

    def _end_open(
        self, items: Sequence[tuple[int, Raw, OutputItem]], events: list[ChatEvent]
    ) -> None:
        """End the calls that are open one after the other, and take what waits for them."""
        while (call := self._calls.open) is not None:
            for index, raw, item in items:
                if self._find(index, item) is call and not _differs(call, item):
                    self._whole(raw, index, events)
                    break
            if self._calls.open is call:
                self._end_call(call, None, events)

    def _is_missing(self, kind: str, output: Sequence[OutputItem]) -> bool:
        """Whether fewer items of a kind came than there are: ids and places are not to be trusted.

        Some servers make up other ids for each event; taking such an item again would repeat it.
        """
        came = sum(1 for item in self._items if item.kind == kind)
        return came < sum(1 for item in output if item.type == kind)

    # -- what belongs to a text --------------------------------------------------------------

    def _report_logprobs(self, item: Item, index: int, raw: Raw, events: list[ChatEvent]) -> None:
        if not present(raw) or self.tracker.finished:
            return
        try:
            found = _likely(_LOGPROBS.decode(raw))
        except UNREADABLE:
            return
        if found:
            item.said.add(("logprobs", index))
            events.append(LogprobsReported(found))

    def _annotate(self, notes: Sequence[Raw], events: list[ChatEvent]) -> None:
        for note in notes:
            if not present(note):
                continue
            opaque = Opaque(DIALECT, bytes(note).decode())
            try:
                page = _CITATION.decode(note)
            except UNREADABLE:
                events.append(Annotated(opaque))
                continue
            start, end = (
                None if at is None else self._part_at + at
                for at in (page.start_index, page.end_index)
            )
            events.append(Annotated(Citation(page.url, page.title, start, end)))


def _differs(call: Item | None, item: OutputItem) -> bool:
    """Whether an item in a call's place is another call: neither of the two ids agrees."""
    if call is None or not call.is_another_call(item):
        return False
    return not (call.first.id and call.first.id == item.id)


def _kind(raw: Raw) -> OutputItem:
    try:
        return _ITEM.decode(raw)
    except UNREADABLE:
        return OutputItem()


def _list(raw: Raw) -> list[Raw]:
    try:
        return _RAW_LIST.decode(raw) if present(raw) else []
    except UNREADABLE:
        return []


def _thoughts(raw: Raw) -> list[TextPart]:
    try:
        return _THOUGHTS.decode(raw) if present(raw) else []
    except UNREADABLE:
        return []


def _likely(tokens: list[Likely] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            token.token,
            token.logprob,
            None if token.bytes is None else tuple(token.bytes),
            _likely(token.top_logprobs),
        )
        for token in tokens or ()
    )
