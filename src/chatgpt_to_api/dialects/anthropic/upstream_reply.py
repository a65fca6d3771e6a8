"""Backend side, the reply: a stream of events, or one whole message → canonical events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    ChatEvent,
    Citation,
    FinishReason,
    ReplyNoted,
    Started,
    UsageReported,
)
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.faults import fault_of_error
from chatgpt_to_api.dialects.anthropic.messages import (
    DIALECT,
    Block,
    Delta,
    Event,
    LeanEvent,
    Message,
    WebPage,
)
from chatgpt_to_api.dialects.anthropic.seals import data_seal, signature_seal
from chatgpt_to_api.dialects.anthropic.usage import read_usage
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import (
    anything,
    challenge_page,
    nonsense,
    too_long,
    truncated,
)
from chatgpt_to_api.dialects.reply_reading import Broken, ReplyReader
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseEvent, SseSplitter

_EVENT: Final = msgspec.json.Decoder(Event)
_LEAN: Final = msgspec.json.Decoder(LeanEvent)
_BLOCK: Final = msgspec.json.Decoder(Block)
_MESSAGE: Final = msgspec.json.Decoder(Message)
_PAGE: Final = msgspec.json.Decoder(WebPage)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_MISSES: Final = 3
"""How many reads may fail to be plain text before the lean road is left for good."""

_REASONS: Final[Mapping[str, FinishReason]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
}
_OWN_OF_A_CALL: Final = frozenset({"type", "id", "name", "input"})


class MessageDecoder(ReplyReader):
    """Decodes one reply. ``fault`` says what a failure means; ``done`` that the end was seen."""

    def __init__(self, head: ReplyHead, names: ToolNames) -> None:
        super().__init__()
        self._head = head
        self._splitter = SseSplitter(alias=b"content_block_delta")
        self._reply = _ReplyState(names)
        self._misses = 0

    # -- a stream ----------------------------------------------------------------------------

    def _is_stream(self, data: bytes) -> bool:
        return data[:1] in b":deir"  # data, event, id, retry, or a comment

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        for found in self._splitter.runs(data):
            if not isinstance(found, bytes):
                self._event(found, events)
            elif not self._lean(found, events):
                for line in found.split(b"\n"):
                    self._payload(line, events)
        if self._splitter.overflow and not self.done:
            raise Broken(too_long(MAX_EVENT))

    def _close(self, events: list[ChatEvent]) -> None:
        """The stream is good after ``message_stop``, or with a reason for the end."""
        for event in self._splitter.eof():
            self._event(event, events)
        if not self.done:
            if not self._reply.begun:
                raise Broken(nonsense("The upstream's stream ended without an answer."))
            if not self._reply.has_reason:
                raise Broken(truncated())
            self._end(events)

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> bool:
        """Read pieces of the open text; false, with nothing taken, if one is anything else."""
        index = self._reply.open_text
        if index is None or self._misses >= _MISSES or self.done:
            return False
        try:
            lean = _LEAN.decode_lines(lines)
        except UNREADABLE:
            self._misses += 1
            return False
        if {event.index for event in lean} != {index}:
            return False
        events += self._reply.tracker.text("".join([event.delta.text for event in lean]))
        return True

    def _event(self, event: SseEvent, events: list[ChatEvent]) -> None:
        if event.name == b"error" and not self.done:
            raise Broken(fault_of_error(anything(event.data)))
        self._payload(event.data, events)

    def _payload(self, payload: bytes, events: list[ChatEvent]) -> None:
        if self.done or not payload:
            return
        try:
            event = _EVENT.decode(payload)
        except msgspec.ValidationError as error:
            if payload.strip() == b"[DONE]":  # some servers end every stream with it
                return
            raise Broken(nonsense(f"The upstream sent an event that is none: {error}.")) from None
        except UNREADABLE:
            said = payload[:200].decode("utf-8", "replace")
            if said.strip() == "[DONE]":
                return
            raise Broken(nonsense("The upstream sent an event that is not JSON.", said)) from None
        match event.type:
            case "content_block_delta":
                self._reply.delta(event.index, event.delta or Delta(), events)
            case "content_block_start":
                self._reply.block(event.index, event.content_block, events)
            case "content_block_stop":
                self._reply.stop(event.index, events)
            case "message_start":
                self._reply.start(_read(_MESSAGE, event.message), events)
            case "message_delta":
                self._reply.message_delta(event, events)
            case "message_stop":
                self._end(events)
            case "error":
                raise Broken(fault_of_error(anything(payload)))
            case _:
                pass  # a ping, or what a later version adds

    def _end(self, events: list[ChatEvent]) -> None:
        self.done = True
        self._reply.finish(events)

    # -- a whole message ---------------------------------------------------------------------

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        try:
            message = _MESSAGE.decode(body)
        except UNREADABLE:
            raise Broken(no_message(self._head, body)) from None
        if message.content is None:
            raise Broken(no_message(self._head, body))
        reply = self._reply
        reply.start(message, events)
        for index, raw in enumerate(message.content):
            reply.block(index, raw, events)
            reply.stop(index, events)
        delta = Delta(
            stop_reason=message.stop_reason,
            stop_sequence=message.stop_sequence,
            stop_details=message.stop_details,
            container=message.container,
        )
        reply.message_delta(Event("message_delta", delta=delta), events)
        self._end(events)

    def _reported(self) -> Usage | None:
        return self._reply.usage


def no_message(head: ReplyHead, body: bytes) -> UpstreamFault:
    """Return what a good status with a body that is no message means."""
    said = read_error_body(head.content_type, body[: 64 * 1024])
    if said.is_html:
        return challenge_page(said)
    if said.fields and said.message:
        return fault_of_error(anything(body))
    return nonsense("The upstream answered with something that is no message.", said.message)


class _ReplyState:
    """The blocks of one reply as they come, and what is said of the whole."""

    __slots__ = (
        "_ended",
        "_foreign",
        "_given",
        "_index",
        "_input",
        "_names",
        "_noted",
        "_open",
        "_reason",
        "_signature",
        "_stop",
        "begun",
        "tracker",
        "usage",
    )

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self.tracker = BlockTracker()
        self.begun = False
        self.usage: Usage | None = None
        self._index: int | None = None
        self._ended: set[int] = set()
        self._open = ""
        self._given = ""
        self._input = False
        self._signature: list[str] = []
        self._foreign: tuple[dict[str, Raw], list[str]] | None = None
        self._reason: str | None = None
        self._stop: str | None = None
        self._noted: dict[str, Raw] = {}

    @property
    def has_reason(self) -> bool:
        """Whether it was said why the reply ends."""
        return self._reason is not None

    @property
    def open_text(self) -> int | None:
        """Index of the open block if that is a text."""
        return self._index if self._open == "text" else None

    def start(self, message: Message, events: list[ChatEvent]) -> None:
        """The message begins; a second beginning says nothing new."""
        if self.begun:
            return
        self.begun = True
        self.usage = read_usage(message.usage)
        events.append(Started(message.model or "", usage=self.usage))

    def block(self, index: int | None, raw: Raw, events: list[ChatEvent]) -> None:
        """A block begins, perhaps with content already."""
        block = _read(_BLOCK, raw)
        self._begin(index, block.type, events)
        tracker = self.tracker
        match block.type:
            case "text":
                events += tracker.text(block.text or "")
                for citation in block.citations or ():
                    events += _cited(citation)
            case "thinking":
                events += tracker.reasoning(block.thinking or "")
                if block.signature:
                    self._signature.append(block.signature)
            case "redacted_thinking":
                events += tracker.reasoning("", data_seal(block.data or ""))
            case "tool_use":
                own = {n: v for n, v in _RAW_OBJECT.decode(raw).items() if n not in _OWN_OF_A_CALL}
                opaque = Opaque(DIALECT, msgspec.json.encode(own).decode()) if own else None
                started = tracker.tool_call(block.id or "", block.name or "", opaque=opaque)
                events += self._names.restored(started)
                given = bytes(block.input)
                self._given = "" if given in (b"", b"{}", b"null", b'""') else given.decode()
                self._input = False
            case _:
                self._foreign = (_RAW_OBJECT.decode(raw), [])

    def delta(self, index: int | None, delta: Delta, events: list[ChatEvent]) -> None:
        """A piece of the open block."""
        if index != self._index or not self._open:
            if index in self._ended:
                message = "The upstream went back to a block it had left."
                raise Broken(nonsense(message))
            # Some servers leave out where a block begins.
            self._begin(index, {"thinking_delta": "thinking"}.get(delta.type, "text"), events)
        tracker = self.tracker
        if self._foreign is not None:
            self._foreign[1].append(delta.partial_json or "")
        elif delta.text:
            events += tracker.text(delta.text)
        elif delta.partial_json:
            self._input = True
            events += tracker.arguments(delta.partial_json)
        elif delta.thinking:
            events += tracker.reasoning(delta.thinking)
        elif delta.signature:
            self._signature.append(delta.signature)
        elif present(delta.citation):
            if tracker.open_kind is None:  # its text is still to come
                return
            events += _cited(delta.citation)

    def stop(self, index: int | None, events: list[ChatEvent]) -> None:
        """A block ends."""
        if index == self._index:
            self._close(events)

    def message_delta(self, event: Event, events: list[ChatEvent]) -> None:
        """What is said of the message at its end."""
        delta = event.delta or Delta()
        self._reason = delta.stop_reason or self._reason
        self._stop = delta.stop_sequence if delta.stop_sequence is not None else self._stop
        self.usage = read_usage(event.usage, self.usage)
        for name, raw in (("stop_details", delta.stop_details), ("container", delta.container)):
            if present(raw):
                self._noted[name] = raw
        del events

    def finish(self, events: list[ChatEvent]) -> None:
        """The message ends."""
        self._close(events)
        if not self.begun:
            self.start(Message(), events)
        if self._noted:
            events.append(ReplyNoted(Opaque(DIALECT, msgspec.json.encode(self._noted).decode())))
        if self.usage is not None:
            events.append(UsageReported(self.usage))
        stop = self._stop if self._reason == "stop_sequence" else None
        events += self.tracker.finish(_REASONS.get(self._reason or "", "stop"), stop)

    def _begin(self, index: int | None, kind: str, events: list[ChatEvent]) -> None:
        self._close(events)
        if not self.begun:
            self.start(Message(), events)
        self._index = index
        self._open = kind

    def _close(self, events: list[ChatEvent]) -> None:
        if self._index is None and not self._open:
            return
        if self._foreign is not None:
            fields, pieces = self._foreign
            written = "".join(pieces)
            if written:
                fields["input"] = Raw(written.encode())
            whole = msgspec.json.encode(fields).decode()
            events += self.tracker.foreign(Opaque(DIALECT, whole))
            self._foreign = None
        elif self._open == "tool_use" and self._given and not self._input:
            events += self.tracker.arguments(self._given)
        if self._signature:
            seal = signature_seal("".join(self._signature))
            events += self.tracker.reasoning("", seal)
            self._signature.clear()
        events += self.tracker.end_block()
        if self._index is not None:
            self._ended.add(self._index)
        self._index, self._open, self._given = None, "", ""


def _cited(raw: Raw) -> list[ChatEvent]:
    own = Opaque(DIALECT, bytes(raw).decode())
    try:
        page = _PAGE.decode(raw)
    except UNREADABLE:
        return [Annotated(own)]
    return [Annotated(Citation(page.url, page.title or "", opaque=own))]


def _read(decoder: msgspec.json.Decoder[Any], raw: Raw) -> Any:
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        message = f"The upstream sent an event that is none: {error}."
        raise Broken(nonsense(message)) from None
