"""The relay lane: reads along a reply of this dialect while its bytes go on as they are.

Every event is decoded up to the first content. After that a read is searched for the few words that
matter, and only an event that holds one of them is decoded. In JSON a quoted word cannot stand
inside a string (its quotes would be escaped), so the search misses nothing.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import LEADING, UNREADABLE, present
from chatgpt_to_api.dialects.contract import Passed, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import anything, nonsense, too_long, truncated
from chatgpt_to_api.dialects.openai.replies import Shape, last_events, shape_of
from chatgpt_to_api.dialects.openai_responses.faults import fault_of_event, no_response
from chatgpt_to_api.dialects.openai_responses.messages import ResponseObject, StreamEvent
from chatgpt_to_api.dialects.openai_responses.usage import read_usage
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseEvent, SseSplitter, read_event, write_event

MAX_READ_WHOLE: Final = 8 * 1024 * 1024
"""Largest reply that is read as one object, bytes; a larger one goes on unread."""

_NOTHING: Final = Passed(b"")
_EVENT: Final = msgspec.json.Decoder(StreamEvent)
_RESPONSE: Final = msgspec.json.Decoder(ResponseObject)
_ENDING: Final = ("response.completed", "response.incomplete")
_FAILING: Final = ("response.failed", "response.cancelled", "error")
_MARK: Final = re.compile(
    rb'"error"|event: ?error|"response\.(?:completed|incomplete|failed|cancelled)"'
    rb"|event: ?response\.(?:completed|incomplete|failed|cancelled)"
)
"""What stands in every event that ends a stream, well or not, and hardly in another."""
_SAYS_NOTHING: Final = frozenset(
    {
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
"""Events that come before anything was generated."""


class ResponseScanner:
    """Passes one relayed stream on and tells what it means.

    A stream is passed on in whole events of at most ``MAX_EVENT`` bytes, its line ends as LF:
    whatever is put after it stands at a border.
    """

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._shape: Shape | None = None
        self._splitter = SseSplitter()
        self._held: list[bytes] = []
        self._held_size = 0
        self._committed = False
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
        if len(block) < 2:  # nothing, or one more line end behind an event that has left
            passed = _NOTHING
        elif self._committed and len(block) <= MAX_EVENT and _is_plain(block):
            passed = Passed(block)
        else:
            passed = self._read(block)
        if self._splitter.overflow and passed.failed is None and not self.done:
            return self._fail(passed.data, too_long(MAX_EVENT), content=passed.content)
        return passed

    def eof(self) -> Passed:
        """The body has ended: well only after the event that ends a response."""
        if self.done or self.fault is not None:
            return _NOTHING
        if self._shape != "stream":
            return self._whole()
        passed = self._read(b"".join(map(write_event, last_events(self._splitter))))
        if self.done or passed.failed is not None:
            return passed
        return self._fail(passed.data, truncated(), content=passed.content)

    # -- a stream ----------------------------------------------------------------------------

    def _read(self, block: bytes) -> Passed:
        """Read whole events: each one up to the first content, then those that hold a mark."""
        content = False
        at = 0
        while at < len(block):
            if self._committed and len(block) - at <= MAX_EVENT:
                mark = _MARK.search(block, at)
                if mark is None:
                    break
                border = block.rfind(b"\n\n", at, mark.start())
                at = at if border < 0 else border + 2
            end = block.find(b"\n\n", at) + 2
            if end - at > MAX_EVENT + 1:
                return self._fail(block[:at], too_long(MAX_EVENT), content=content)
            event = read_event(block[at:end].split(b"\n"))
            if event is not None and event.data:
                fault = self._event(event)
                if fault is not None:
                    return self._fail(block[:at], fault, content=content)
                content = content or self._committed
                if self.done:
                    return Passed(block[:end], content=content)
            at = end
        return Passed(block, content=content)

    def _event(self, event: SseEvent) -> UpstreamFault | None:
        """Take one event; return what is wrong where it tells of a failure."""
        if event.data.strip() == b"[DONE]":
            return None
        try:
            said = _EVENT.decode(event.data)
        except msgspec.ValidationError:
            # JSON, but none we know: a client may know it. Anything but an object says nothing.
            if event.name == b"error":
                return fault_of_event(anything(event.data))
            self._committed = self._committed or event.data.lstrip()[:1] == b"{"
            return None
        except UNREADABLE:
            if self._committed:
                return None
            words = event.data[:200].decode("utf-8", "replace")
            return nonsense("The upstream sent an event that is not JSON.", words)
        kind = said.type or event.name.decode("ascii", "replace")
        if kind in _FAILING or (present(said.error) and not kind.startswith("response.")):
            return self._failure(said, event)
        if kind in _ENDING:
            self._note(said.response)
            self.done = self._committed = True
        elif kind == "response.created":
            self._note(said.response)
        elif kind.startswith("response.") and kind not in _SAYS_NOTHING:
            self._committed = True
        return None

    def _note(self, raw: Raw) -> None:
        response = _response(raw)
        self.model = response.model or self.model
        self.usage = read_usage(response.usage) or self.usage

    def _failure(self, said: StreamEvent, event: SseEvent) -> UpstreamFault:
        response = _response(said.response)
        self.usage = read_usage(response.usage) or self.usage
        if present(response.error):
            return fault_of_event({"error": anything(bytes(response.error))})
        return fault_of_event(anything(event.data))

    def _fail(self, data: bytes, fault: UpstreamFault, *, content: bool = False) -> Passed:
        self.fault = fault
        self._held.clear()
        # What holds no content yet is not passed on: the question may be asked again.
        return Passed(data if self._committed else b"", content=content, failed=fault.error)

    # -- a whole reply where a stream was asked for ------------------------------------------

    def _hold(self, data: bytes) -> Passed:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > MAX_READ_WHOLE:
            return self._fail(b"", too_long(MAX_READ_WHOLE))
        return _NOTHING

    def _whole(self) -> Passed:
        """Hand a whole response on as the only event that counts, its end."""
        body = b"".join(self._held)
        self._held.clear()
        facts = read_whole(self._head, body)
        if facts.fault is not None:
            return self._fail(b"", facts.fault)
        self.done = self._committed = True
        self.usage = facts.usage
        self.model = facts.model
        return Passed(as_stream(body), content=True)


def read_whole(head: ReplyHead, body: bytes) -> WholeFacts:
    """Return what the body of a 2xx reply says; failed responses come with that status too."""
    if len(body) > MAX_READ_WHOLE:
        return WholeFacts()
    try:
        response = _RESPONSE.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except UNREADABLE:
        return WholeFacts(fault=no_response(head, body))
    if present(response.error):
        return WholeFacts(fault=fault_of_event({"error": anything(bytes(response.error))}))
    if response.output is None:
        return WholeFacts(fault=no_response(head, body))
    return WholeFacts(read_usage(response.usage), response.model or "")


def as_stream(body: bytes) -> bytes:
    """Return a whole response as a stream: each item as it is complete, then the response."""
    # In JSON a line can end between values only, so nothing changes but white space.
    line = body.removeprefix(b"\xef\xbb\xbf").strip().replace(b"\n", b" ").replace(b"\r", b" ")
    response = _RESPONSE.decode(line)
    whole = Raw(line)
    ends = "response.incomplete" if response.status == "incomplete" else "response.completed"
    events: list[tuple[str, dict[str, object]]] = [("response.created", {"response": whole})]
    for index, item in enumerate(response.output or ()):
        events.append(("response.output_item.added", {"output_index": index, "item": item}))
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    events.append((ends, {"response": whole}))
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (kind.encode(), msgspec.json.encode({"type": kind, "sequence_number": n, **fields}))
        for n, (kind, fields) in enumerate(events)
    )


def _is_plain(block: bytes) -> bool:
    """Whether a read says nothing but that the answer goes on."""
    return not (
        b'"error"' in block
        or b"response.completed" in block
        or b"response.incomplete" in block
        or b"response.failed" in block
        or b"response.cancelled" in block
        or b"event: error" in block
        or b"event:error" in block
    )


def _response(raw: Raw) -> ResponseObject:
    try:
        return _RESPONSE.decode(raw) if present(raw) else ResponseObject()
    except UNREADABLE:
        return ResponseObject()
