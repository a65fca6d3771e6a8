"""Relay lane: reads along a stream of this dialect's events and passes its bytes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.faults import fault_of_error
from chatgpt_to_api.dialects.anthropic.messages import Event, Message
from chatgpt_to_api.dialects.anthropic.upstream_reply import no_message
from chatgpt_to_api.dialects.anthropic.usage import read_usage
from chatgpt_to_api.dialects.bodies import LEADING, UNREADABLE
from chatgpt_to_api.dialects.contract import Passed, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import anything, nonsense, too_long, truncated
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseSplitter, read_event, write_event

_EVENT: Final = msgspec.json.Decoder(Event)
_MESSAGE: Final = msgspec.json.Decoder(Message)
_NOTHING: Final = Passed(b"")
_MARKS: Final = (b"message_", b"error")
"""What stands in every event that says more than that a block goes on."""


class MessageScanner:
    """Passes whole events on; reads only those that begin or end the message, and errors."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._splitter = SseSplitter()
        self._whole: bool | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._begun = False
        self._said = False
        self.usage: Usage | None = None
        self.model: str = ""
        self.fault: UpstreamFault | None = None
        self.done: bool = False

    def feed(self, data: bytes) -> Passed:
        """Take the next bytes of the reply."""
        if self.done or self.fault is not None:
            return _NOTHING
        if self._whole is None:
            data = data.lstrip(LEADING)
            if not data:
                return _NOTHING
            self._whole = data[:1] not in b":deir"
        if self._whole:
            self._held.append(data)
            self._size += len(data)
            return self._fail(b"", too_long(MAX_EVENT)) if self._size > MAX_EVENT else _NOTHING
        block = self._splitter.whole(data)
        if self._splitter.overflow:
            return self._fail(block, too_long(MAX_EVENT))
        return self._block(block) if block else _NOTHING

    def eof(self) -> Passed:
        """The body has ended; without ``message_stop`` that is a failure."""
        if self.done or self.fault is not None:
            return _NOTHING
        if self._whole is not False:
            # A stream was asked for; what came whole is an error, or no answer at all.
            return self._fail(b"", no_message(self._head, b"".join(self._held)))
        rest = b"".join(map(write_event, self._splitter.eof()))
        if rest:
            passed = self._block(rest)
            if self.done or self.fault is not None:
                return passed
            return self._fail(passed.data, truncated())
        if not self._begun:
            return self._fail(b"", nonsense("The upstream's stream ended without an answer."))
        return self._fail(b"", truncated())

    def _block(self, block: bytes) -> Passed:
        """Pass whole events on, those before an error too."""
        if self._said and not any(mark in block for mark in _MARKS):
            return Passed(block, content=True)
        content = False
        at = 0
        for end in _ends(block):
            piece = block[at:end]
            fault = self._event(piece)
            if fault is not None:
                self.fault = fault
                passed = block[:at] if self._said else b""
                return Passed(passed, content=content, failed=fault.error)
            content = self._said
            at = end
            if self.done:
                return Passed(block[:at], content=content)
        return Passed(block, content=content)

    def _event(self, piece: bytes) -> UpstreamFault | None:
        event = read_event(piece.split(b"\n"))
        if event is None:
            return None
        if event.name == b"error":
            return fault_of_error(anything(event.data))
        try:
            read = _EVENT.decode(event.data)
        except UNREADABLE:
            return None  # the client's own reader is the judge of it
        match read.type:
            case "error":
                return fault_of_error(anything(event.data))
            case "message_start":
                self._begun = True
                self._start(bytes(read.message))
            case "content_block_delta":
                self._said = True
            case "message_delta":
                self.usage = read_usage(read.usage, self.usage)
            case "message_stop":
                self.done = self._said = True
            case _:
                pass
        return None

    def _start(self, message: bytes) -> None:
        try:
            begun = _MESSAGE.decode(message)
        except UNREADABLE:
            return
        self.model = begun.model or ""
        self.usage = read_usage(begun.usage)

    def _fail(self, data: bytes, fault: UpstreamFault) -> Passed:
        self.fault = fault
        self._held.clear()
        return Passed(data, failed=fault.error)


def read_whole(head: ReplyHead, body: bytes) -> WholeFacts:
    """Return what a relayed 2xx reply that came whole says."""
    try:
        message = _MESSAGE.decode(body)
    except UNREADABLE:
        return WholeFacts(fault=no_message(head, body))
    if message.content is None:
        return WholeFacts(fault=no_message(head, body))
    return WholeFacts(read_usage(message.usage), message.model or "")


def _ends(block: bytes) -> Iterator[int]:
    """Give where each event of whole ones ends, its blank line included."""
    at = 0
    while at < len(block):
        end = block.find(b"\n\n", at)
        at = len(block) if end < 0 else end + 2
        yield at
