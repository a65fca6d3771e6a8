"""The decoder of a conversation backend's reply: from its bytes, cut anywhere, to its end.

Runs of events that differ in their text alone go through a fast lane, every other event to the
reader that knows what it means (``event_reader.py``); the tests hold both roads equal.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.conversation import faults
from chatgpt_to_api.dialects.conversation.bodies import (
    SPACE,
    PlainBody,
    compressed,
    is_plain_body,
    moved_to_websocket,
)
from chatgpt_to_api.dialects.conversation.burst import read_burst
from chatgpt_to_api.dialects.conversation.event_reader import SERVER_ERROR, EventReader
from chatgpt_to_api.errors import ReplyTooLong
from chatgpt_to_api.wire.http import ReplyHead, header
from chatgpt_to_api.wire.sse import MAX_EVENT, SseSplitter, read_event

_DELTA: Final = b"event: delta\ndata: "
_ANNOUNCED: Final = b'event: delta_encoding\ndata: "v1"'
_GLIMPSE: Final = 400


class ConversationDecoder(EventReader):
    """Decodes one reply. What it found out about the conversation stays readable after it.

    Feed it to the end of the body, or until it is ``done``; a connection that breaks is an end too.
    """

    __slots__ = ("_body", "_head", "_sniffed", "_splitter")

    def __init__(self, request: ChatRequest, head: ReplyHead) -> None:
        super().__init__(request)
        self._head = head
        self._splitter = SseSplitter()
        self._body: PlainBody | None = None
        self._sniffed = False
        encoding = header(head.headers, b"content-encoding")
        if encoding and encoding.strip().lower() not in (b"identity", b""):
            self._fail(compressed())

    # -- what was found out ------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """The model that answers, "" where the backend does not say."""
        last = self._turn.last
        return last.flags.model if last is not None else self._turn.model

    @property
    def message_id(self) -> str:
        """The id of the answering message: what a follow-up hangs under. "" where it has none."""
        last = self._turn.last
        return last.flags.id if last is not None else ""

    @property
    def finish_type(self) -> str | None:
        """The backend's own word for why the answer ended, if it said one."""
        last = self._turn.last
        return last.flags.finish if last is not None else None

    @property
    def text(self) -> str:
        """The whole visible answer as the backend last had it."""
        return self._turn.text

    @property
    def revised(self) -> str | None:
        """The whole visible text, where it differs from the joined deltas."""
        return self._turn.text + self._turn.beside if self._turn.revised else None

    @property
    def kept_at(self) -> Branch | None:
        """The answer's place in the backend's conversation, once the backend has named that."""
        if not self.conversation_id:
            return None
        return Branch(self.conversation_id, self.message_id)

    def follow_up(self) -> ChatRequest | None:
        """The request that continues an answer which ran into the backend's length limit."""
        if not self._held_back:
            return None
        continuation = self._turn.continuation(self.conversation_id, self.message_id)
        return msgspec.structs.replace(self._request, continuation=continuation)

    def conclude(self) -> list[ChatEvent]:
        """The end that was held back, once no follow-up is made."""
        if not self._held_back:
            return []
        self._held_back = False
        return self._turn.finish("length")

    # -- bytes -------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[ChatEvent]:
        """Take the next bytes, cut anywhere."""
        if self.done:
            return self._taken()
        try:
            if self._sniffed or self._sniff(data):
                if self._body is not None:
                    self._body.feed(data)
                else:
                    self._stream(data)
        except ReplyTooLong as error:
            self._fail(faults.too_long(error))
        return self._taken()

    def eof(self) -> list[ChatEvent]:
        """The body has ended, well or not: the answer is good if it is whole."""
        if not self.done:
            try:
                if self._body is not None:
                    self._whole_body(self._body.read())
                else:
                    self._last_events()
            except ReplyTooLong as error:
                self._fail(faults.too_long(error))
        if not self.done:
            self._end_of_body()
        return self._taken()

    def _taken(self) -> list[ChatEvent]:
        events = self._turn.take()
        if self._ending:
            events += self._ending
            self._ending = []
        return events

    def _sniff(self, data: bytes) -> bool:
        """Tell by its first byte whether the body is an event stream: its type is often wrong."""
        first = data.lstrip(SPACE)[:1]
        if not first:
            self._splitter.whole(data)  # it knows what a byte order mark and blank lines are
            return False
        self._sniffed = True
        if is_plain_body(first):
            self._body = PlainBody(self._head.content_type)
        return True

    def _stream(self, data: bytes) -> None:
        if self._glimpse is not None and len(self._glimpse) < _GLIMPSE:
            self._glimpse += data[:_GLIMPSE]
        block = self._splitter.whole(data)
        if block and not (self._glimpse is not None and self._burst(block)):
            self._events(block)
        if self._splitter.overflow and not self.done:
            raise ReplyTooLong(limit=MAX_EVENT)

    def _burst(self, block: bytes) -> bool:
        """Take a whole reply at once; False where the first whole events are no such thing."""
        burst = read_burst(block)
        if burst is None:
            return False
        self._glimpse = None
        if not self._foreign(burst.conversation_id):
            self._turn.see(burst.flags.id, burst.flags, burst.text)
        if not self.done:
            self._ended()
        return True

    def _events(self, block: bytes) -> None:
        """Read whole events: runs in the fast lane, the others one by one."""
        at, size = 0, len(block)
        begins, find = block.startswith, block.find
        bounded = size <= MAX_EVENT  # no event in it is too long
        while at < size and not self.done:
            entered = self._lane
            if entered is not None and bounded:
                text, stop = entered.lane.run(block, at)
                if stop > at:
                    self._ran(entered, text)
                    at = stop
                    continue
            if begins(b"data: ", at):
                name, start = b"", at + 6
            elif begins(_DELTA, at):
                name, start = b"delta", at + len(_DELTA)
            else:
                name, start = b"", -1
            if start > 0 and bounded:
                end = find(b"\n", start)
                if block[end + 1] == 10:  # an event of one line of data: nearly every one
                    self._dispatch(name, block[start:end], block[at:end])
                    at = end + 2
                    continue
            end = find(b"\n\n", at)
            if end < 0:
                break  # blank lines only
            if end > at:
                if end - at >= MAX_EVENT:
                    raise ReplyTooLong(limit=MAX_EVENT)
                self._event(block[at:end])
                at = end + 2
            else:
                at += 1

    def _event(self, raw: bytes) -> None:
        """Read one event of any form from its lines."""
        if raw == _ANNOUNCED:
            return
        lines = raw.split(b"\n")
        if SERVER_ERROR in lines:
            self._server_error()
            return
        event = read_event(lines)
        if event is not None:
            self._dispatch(event.name, event.data, raw if len(lines) == 1 else None)

    def _last_events(self) -> None:
        """Read what stands at the end of the body without a blank line after it."""
        for event in self._splitter.eof():
            self._dispatch(event.name, event.data, None)
        cut = self._splitter.cut
        if cut is not None:
            self._dispatch(cut.name, cut.data, None)

    def _whole_body(self, found: dict[str, Any] | UpstreamFault) -> None:
        """A reply that is no event stream has come whole."""
        if isinstance(found, UpstreamFault):
            self._fail(found)
            return
        self._snapshot(found, found["message"], None)
        if not self.done:
            self._ended()

    def _end_of_body(self) -> None:
        """The body ended without a word that the reply is complete."""
        self._turn.close()
        if self._complete or self._turn.over or self._blocked:
            self._ended()
        elif self._handed_off:
            self._fail(moved_to_websocket())
        else:
            self._fail(
                faults.broken(
                    "The conversation backend broke off before its answer was complete.",
                    "upstream_truncated",
                    self._glimpsed(),
                )
            )
