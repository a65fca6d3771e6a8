"""The relay lane: reads along a streamed reply of this dialect while its bytes go on as they are.

Chunks are few and large here, so each is decoded, as far as the gateway needs it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import LEADING, NO_RAW, UNREADABLE, present
from chatgpt_to_api.dialects.contract import Passed, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import anything, nonsense, too_long, truncated
from chatgpt_to_api.dialects.gemini.faults import fault_of_error, no_answer, no_reply
from chatgpt_to_api.dialects.gemini.framing import Shape, shape_of
from chatgpt_to_api.dialects.gemini.usage import read_usage
from chatgpt_to_api.dialects.reply_reading import MAX_WHOLE
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.json_array import MAX_ITEM, ArraySplitter
from chatgpt_to_api.wire.sse import MAX_EVENT, SseSplitter, read_event, write_event


class _Content(msgspec.Struct, gc=False):
    parts: list[Raw] | None = None


class _Scanned(msgspec.Struct, rename="camel", gc=False):
    content: _Content | None = None
    index: int = 0
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, rename="camel", gc=False):
    block_reason: str | None = None


class _Chunk(msgspec.Struct, rename="camel", gc=False):
    candidates: list[_Scanned] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Raw = NO_RAW
    model_version: str | None = None
    error: Raw = NO_RAW


_NOTHING: Final = Passed(b"")
_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_SEEN: Final = (b'{"text":""}', b'{"text": ""}')
"""A part that says nothing, as the last one often does."""


def read_whole(head: ReplyHead, body: bytes) -> WholeFacts:
    """Return what the body of a 2xx reply says; errors come with that status too."""
    try:
        chunk = _CHUNK.decode(body.lstrip(LEADING))
    except UNREADABLE:
        return WholeFacts(fault=no_reply(head, body))
    if present(chunk.error):
        return WholeFacts(fault=fault_of_error(chunk.error))
    blocked = chunk.prompt_feedback is not None and bool(chunk.prompt_feedback.block_reason)
    if not chunk.candidates and not blocked:
        return WholeFacts(fault=no_reply(head, body))
    if not blocked and not any(map(_answers, chunk.candidates or ())):
        return WholeFacts(fault=no_answer("STOP", ""))
    return WholeFacts(read_usage(chunk.usage_metadata), chunk.model_version or "")


def _answers(candidate: _Scanned) -> bool:
    """Whether anything was said; why there is no answer is an answer too."""
    if candidate.finish_reason not in (None, "STOP"):
        return True
    parts = candidate.content.parts if candidate.content is not None else None
    return any(bytes(part) not in _SEEN for part in parts or ())


class GenerateScanner:
    """Passes one relayed stream on and tells what it means.

    A stream of events is passed on in whole events, its line ends as LF; an array in whole items.
    What is put after it stands at a border. An answer of the wrong framing is a failure: the client
    could not read it.
    """

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._shape: Shape | None = None
        self._splitter = SseSplitter()
        self._array = ArraySplitter()
        self._passed_items = False
        self._held: list[bytes] = []
        self._size = 0
        self._said = False
        self._blocked = False
        self._ended: dict[int, bool] = {}  # by candidate
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
        match self._shape:
            case "events":
                return self._read_events(data)
            case "array":
                return self._read_items(data)
        self._held.append(data)
        self._size += len(data)
        if self._size > MAX_WHOLE:
            return self._fail(b"", too_long(MAX_WHOLE))
        return _NOTHING

    def eof(self) -> Passed:
        """The body has ended: well only where every candidate has."""
        if self.done or self.fault is not None:
            return _NOTHING
        rest = b""
        if self._shape == "events":
            events = self._splitter.eof()
            cut = self._splitter.cut
            if cut is not None and isinstance(anything(cut.data), dict):
                events.append(cut)
            for event in events:
                fault = self._chunk(event.data)
                if fault is not None:
                    return self._fail(rest, fault)
                rest += write_event(event)
        elif self._shape != "array":
            body = b"".join(self._held)
            fault = read_whole(self._head, body).fault
            return self._fail(
                b"", fault or nonsense("The upstream answered whole where a stream was asked for.")
            )
        fault = self._wrong_end()
        if fault is not None:
            return self._fail(rest, fault)
        self.done = True
        if self._shape == "array":  # only its bracket is missing
            rest = b"]" if self._passed_items else b"[]"
        return Passed(rest, content=True)

    # -- chunks ------------------------------------------------------------------------------

    def _read_events(self, data: bytes) -> Passed:
        block = self._splitter.whole(data)
        content, at = self._said, 0
        while at < len(block):
            end = block.find(b"\n\n", at)
            end = len(block) if end < 0 else end + 2
            if end - at > MAX_EVENT + 1:
                return self._fail(block[:at], too_long(MAX_EVENT), content=self._said)
            event = read_event(block[at:end].split(b"\n"))
            if event is not None and event.data:
                fault = self._chunk(event.data)
                if fault is not None:
                    return self._fail(block[:at], fault, content=self._said)
            at = end
        if self._splitter.overflow:
            return self._fail(block, too_long(MAX_EVENT), content=self._said)
        return Passed(block, content=self._said and not content) if len(block) > 1 else _NOTHING

    def _read_items(self, data: bytes) -> Passed:
        before, out = self._said, b""
        for item in self._array.feed(data):
            fault = self._chunk(item)
            if fault is not None:
                return self._fail(out, fault, content=self._said)
            out += (b",\r\n" if self._passed_items else b"[") + item
            self._passed_items = True
        if self._array.broken:
            said = "The upstream sent an array of something that is no chunk."
            return self._fail(out, nonsense(said), content=self._said)
        if self._array.overflow:
            return self._fail(out, too_long(MAX_ITEM), content=self._said)
        if self._array.done:
            fault = self._wrong_end()
            if fault is not None:
                return self._fail(out, fault, content=self._said)
            self.done = True
            out += b"]"
        return Passed(out, content=self._said and not before)

    def _chunk(self, payload: bytes) -> UpstreamFault | None:
        """Read a chunk; return what is wrong where it is an error."""
        try:
            chunk = _CHUNK.decode(payload)
        except msgspec.ValidationError:
            return None  # JSON, but none we know: a client may know it
        except UNREADABLE:
            said = payload[:200].decode("utf-8", "replace")
            return nonsense("The upstream sent an event that is not JSON.", said)
        if present(chunk.error):
            return fault_of_error(chunk.error)
        self.model = self.model or chunk.model_version or ""
        if present(chunk.usage_metadata):
            self.usage = read_usage(chunk.usage_metadata) or self.usage
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._blocked = self._said = True
        for candidate in chunk.candidates or ():
            self._said = self._said or _answers(candidate)
            ended = self._ended.get(candidate.index, False) or bool(candidate.finish_reason)
            self._ended[candidate.index] = ended
        return None

    def _wrong_end(self) -> UpstreamFault | None:
        if self._blocked:
            return None
        if not self._ended:
            return nonsense("The upstream's stream ended without an answer.")
        if not all(self._ended.values()):
            return truncated()
        return None if self._said else no_answer("STOP", "")

    def _fail(self, data: bytes, fault: UpstreamFault, *, content: bool = False) -> Passed:
        self.fault = fault
        self._held.clear()
        return Passed(data, content=content, failed=fault.error)
