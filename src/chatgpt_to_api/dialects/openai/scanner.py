"""The relay lane: reads along a streamed reply of this dialect while its bytes go on as they are.

Only the first events are decoded, up to the first content. After that a read is searched for the
few words that matter, and only an event that holds one of them is decoded. In JSON a quoted key
cannot stand inside a string (its quotes would be escaped), so the search finds nothing but keys.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import LEADING, UNREADABLE, present
from chatgpt_to_api.dialects.contract import Passed, UpstreamFault
from chatgpt_to_api.dialects.faults import (
    anything,
    complaint,
    fault_of_event,
    nonsense,
    too_long,
    truncated,
)
from chatgpt_to_api.dialects.openai.messages import MarkedChunk, SpokenChoice, SpokenChunk
from chatgpt_to_api.dialects.openai.replies import (
    DONE,
    TERMINAL,
    Shape,
    last_events,
    no_completion,
    shape_of,
)
from chatgpt_to_api.dialects.openai.usage import read_usage
from chatgpt_to_api.dialects.openai.whole import MAX_READ_WHOLE, as_stream, read_whole
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseEvent, SseSplitter, read_event, write_event

_NOTHING: Final = Passed(b"")
_SPOKEN: Final = msgspec.json.Decoder(SpokenChunk)
_MARKED: Final = msgspec.json.Decoder(MarkedChunk)
_DONE_LINE: Final = re.compile(rb"(?:^|\n)data: ?\[DONE\][ \t]*\n")
_NULL: Final = re.compile(rb"\s*:\s*null")
_ERROR: Final = re.compile(rb'"error"\s*:\s*(?!null)\S')
_REASON: Final = re.compile(rb'\s*:\s*"[^"]')
_TEXT: Final = re.compile(rb'(data: ?\{[^\n]*?"content": ?")[^"\\\n]*("[^\n]*\n\n)')
"""An event with a text, in what stands before and after that."""

_LITTLE: Final = 2048
"""Up to how many bytes a read is likely to be one event or two."""

_TRIES: Final = 4
"""How often a stream is asked whether its events are alike; some put random words into each."""


class ReplyScanner:
    """Passes one relayed stream on and tells what it means.

    A stream is passed on in whole events of at most ``MAX_EVENT`` bytes, its line ends as LF:
    whatever is put after it stands at a border. With ``hide_usage`` the event that brings usage and
    nothing else is left out. A server that answers whole all the same is held (up to
    ``MAX_READ_WHOLE``) until its reply can be handed on as a stream.
    """

    def __init__(self, head: ReplyHead, *, hide_usage: bool) -> None:
        self._head = head
        self._hide_usage = hide_usage
        self._shape: Shape | None = None
        self._splitter = SseSplitter()
        self._held: list[bytes] = []
        self._held_size = 0
        self._committed = False
        self._finished = False
        self._before = self._after = b""  # what stands around the text in the events
        self._tries = _TRIES
        self.usage: Usage | None = None
        self.model: str = ""
        self.fault: UpstreamFault | None = None
        self.done: bool = False

    def feed(self, data: bytes) -> Passed:
        """Take the next bytes; return those that may go on, and what they mean."""
        if self.done or self.fault is not None:
            return _NOTHING
        if self._shape is None:
            data = data.lstrip(LEADING)
            self._shape = shape_of(self._head, data)
        if self._shape != "stream":
            return self._hold(data)
        block = self._splitter.whole(data)
        if not self._splitter.overflow and len(block) <= MAX_EVENT:
            if len(block) < 2:  # nothing, or one more line end behind an event that has left
                return _NOTHING
            if self._committed and len(block) <= _LITTLE and self._only_goes_on(block):
                return Passed(block)
            return self._read(block)
        passed = self._read(_without_giant(block))
        if self.done or passed.failed is not None:
            return passed
        if self._splitter.overflow or _without_giant(block) != block:
            return self._fail(passed.data, too_long(MAX_EVENT), content=passed.content)
        return passed

    def eof(self) -> Passed:
        """The body has ended: well only after ``[DONE]`` or a finish reason."""
        if self.done or self.fault is not None:
            return Passed(b"")
        if self._shape != "stream":
            return self._whole()
        passed = self._read(b"".join(map(write_event, last_events(self._splitter))))
        if self.done or passed.failed is not None:
            return passed
        if not self._committed:
            return self._fail(b"", nonsense("The upstream's stream ended without an answer."))
        if not self._finished:
            return self._fail(passed.data, truncated(), content=passed.content)
        self.done = True
        return Passed(passed.data + TERMINAL, content=passed.content)

    # -- a stream ----------------------------------------------------------------------------

    def _only_goes_on(self, block: bytes) -> bool:
        """Whether a read of an event or two says nothing but that the text goes on."""
        before, after = self._before, self._after
        if before and block.startswith(before) and block.endswith(after):
            # One of the events before but for its text, if that ends where it seems to.
            start, end = len(before), len(block) - len(after)
            if block.find(b'"', start) == end and block.find(b"\n", start) == len(block) - 2:
                return True
        if not _is_plain(block):
            return False
        if self._tries:
            self._tries -= 1
            alike = _TEXT.fullmatch(block)
            if alike is not None:
                self._before, self._after = alike.groups()
        return True

    def _read(self, block: bytes) -> Passed:
        """Read whole events."""
        content = False
        if not self._committed:
            failed = self._until_content(block)
            if failed is not None:
                return self._fail(b"", failed)
            content = self._committed
            if not content:
                return Passed(self._look_for_usage(block))
        broken = self._error(block)
        if broken is not None:
            at, fault = broken
            self._look_for_usage(block[:at])
            return self._fail(block[:at], fault, content=content)
        reason = block.rfind(b'"finish_reason"')
        if reason >= 0:
            self._finished = _REASON.match(block, reason + 15) is not None
        block = self._up_to_done(block)
        return Passed(self._look_for_usage(block), content=content)

    def _until_content(self, block: bytes) -> UpstreamFault | None:
        """Decode events until one holds content; return what is wrong where one fails instead."""
        at = 0
        while at < len(block):
            end = _event_end(block, at)
            event = _event(block, at, end)
            if event is not None and event.data:
                fault = self._first(event)
                if fault is not None or self._committed:
                    return fault
            at = end
        return None

    def _first(self, event: SseEvent) -> UpstreamFault | None:
        if event.data.strip() == DONE:
            return nonsense("The upstream's stream ended without an answer.")
        if event.name == b"error":
            return fault_of_event(anything(event.data))
        try:
            chunk = _SPOKEN.decode(event.data)
        except msgspec.ValidationError:
            # JSON, but none we know: a client may know it. Anything but an object says nothing.
            self._committed = event.data.lstrip()[:1] == b"{"
            return None
        except UNREADABLE:
            said = event.data[:200].decode("utf-8", "replace")
            return nonsense("The upstream sent an event that is not JSON.", said)
        if present(chunk.error):
            return complaint(chunk.error)
        self.model = self.model or chunk.model or ""
        for choice in chunk.choices or ():
            if _says_something(choice):
                self._committed = True
                break
        return None

    def _error(self, block: bytes) -> tuple[int, UpstreamFault] | None:
        """Return where the event of an error begins, and what it means."""
        at = block.rfind(b'"error"')
        if at < 0 or (_NULL.match(block, at + 7) and not _ERROR.search(block)):
            return None
        for found in _ERROR.finditer(block):
            start, chunk = _event_around(block, found.start())
            if chunk is None:
                continue
            for error in (chunk.error, *(choice.error for choice in chunk.choices or ())):
                if present(error):
                    return start, complaint(error)
        return None

    def _up_to_done(self, block: bytes) -> bytes:
        """Notice the stream's end; nothing after it goes on."""
        if block.endswith(b"\n" + TERMINAL) or block == TERMINAL:
            self.done = True
        elif self._finished or b"[DONE]" in block[-64:]:
            found = _DONE_LINE.search(block)
            if found is not None:
                self.done = True
                return block[: _event_end(block, found.end() - 1)]
        return block

    def _look_for_usage(self, block: bytes) -> bytes:
        """Read the last usage; return the block without it where the client is not to see it."""
        at = block.rfind(b'"prompt_tokens"')
        while at >= 0:
            start, chunk = _event_around(block, at)
            if chunk is not None:
                choices = chunk.choices or ()
                for raw in (chunk.usage, *(choice.usage for choice in choices)):
                    usage = read_usage(raw)
                    if usage is not None:
                        self.usage = usage
                        if self._hide_usage and not choices:
                            return block[:start] + block[_event_end(block, at) :].lstrip(b"\n")
                        return block
            at = block.rfind(b'"prompt_tokens"', 0, start)
        return block

    def _fail(self, data: bytes, fault: UpstreamFault, *, content: bool = False) -> Passed:
        self.fault = fault
        self._held.clear()
        return Passed(data, content=content, failed=fault.error)

    # -- a whole reply where a stream was asked for ------------------------------------------

    def _hold(self, data: bytes) -> Passed:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > MAX_READ_WHOLE:
            return self._fail(b"", too_long(MAX_READ_WHOLE))
        return _NOTHING

    def _whole(self) -> Passed:
        body = b"".join(self._held)
        self._held.clear()
        facts = read_whole(self._head, body)
        if facts.fault is not None:
            return self._fail(b"", facts.fault)
        try:
            stream = as_stream(body, hide_usage=self._hide_usage)
        except UNREADABLE:
            return self._fail(b"", no_completion(self._head, body))
        self.done = True
        self.usage = facts.usage
        self.model = facts.model
        return Passed(stream, content=True)


def _is_plain(block: bytes) -> bool:
    """Whether a read says nothing but that the text goes on."""
    if b'"error"' in block or b'"prompt_tokens"' in block or b"[DONE]" in block:
        return False
    reasons = block.count(b'"finish_reason"')
    return not reasons or reasons == block.count(b'"finish_reason":null') + block.count(
        b'"finish_reason": null'
    )


def _says_something(choice: SpokenChoice) -> bool:
    """Whether anything was generated: text, thought, call, a refusal, or the end of nothing."""
    if choice.finish_reason or choice.text:
        return True
    delta: dict[str, Any] = choice.delta or choice.message or {}
    for key, value in delta.items():  # noqa: SIM110  # a generator costs more than the rest
        if key != "role" and value not in (None, "", [], {}):
            return True
    return False


def _event(block: bytes, start: int, end: int) -> SseEvent | None:
    """Return the event whose lines, the blank one included, stand there; None without data."""
    return read_event(block[start:end].rstrip(b"\n").split(b"\n"))


def _event_end(block: bytes, at: int) -> int:
    """Return where the event that ``at`` stands in ends, its blank line included."""
    end = block.find(b"\n\n", at)
    return len(block) if end < 0 else end + 2


def _event_around(block: bytes, at: int) -> tuple[int, MarkedChunk | None]:
    """Return where the event that ``at`` stands in begins, and the event if it is a chunk."""
    start = block.rfind(b"\n\n", 0, at)
    start = 0 if start < 0 else start + 2
    event = _event(block, start, _event_end(block, at))
    if event is None:
        return start, None
    try:
        return start, _MARKED.decode(event.data)
    except UNREADABLE:
        return start, None


def _without_giant(block: bytes) -> bytes:
    """Return the events before the first one that is too long."""
    at = 0
    while at < len(block):
        end = _event_end(block, at)
        if end - at > MAX_EVENT + 1:
            return block[:at]
        at = end
    return block
