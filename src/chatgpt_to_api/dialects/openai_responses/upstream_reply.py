"""Backend side, the reply: a stream of events, or one whole response → canonical events.

A stream ends with ``response.completed``, ``incomplete`` or ``failed``; one that just ends was cut.
Servers that always stream are read just the same, whatever was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.events import (
    ChatEvent,
    FinishReason,
    Started,
    UsageReported,
)
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import anything, nonsense, too_long, truncated
from chatgpt_to_api.dialects.openai.replies import DONE, last_events, shape_of
from chatgpt_to_api.dialects.openai_responses.faults import fault_of_event, no_response
from chatgpt_to_api.dialects.openai_responses.messages import (
    ResponseObject,
    StreamEvent,
    TextDelta,
)
from chatgpt_to_api.dialects.openai_responses.upstream_calls import Trust
from chatgpt_to_api.dialects.openai_responses.upstream_output import Output
from chatgpt_to_api.dialects.openai_responses.usage import read_usage
from chatgpt_to_api.dialects.reply_reading import Broken, ReplyReader
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseEvent, SseSplitter

TERMINAL: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
"""Types of the events that end a stream."""

_TEXT: Final = b"response.output_text.delta"
_PIECE: Final = (
    b'{"type":"response.output_text.delta",',
    b'{"type": "response.output_text.delta",',
)
"""How nearly every piece of a text begins."""

_EVENT: Final = msgspec.json.Decoder(StreamEvent)
_TEXT_DELTA: Final = msgspec.json.Decoder(TextDelta)
_RESPONSE: Final = msgspec.json.Decoder(ResponseObject)
_ENDED: Final = ("completed", "incomplete", None)


class ResponseDecoder(ReplyReader):
    """Decodes one reply. ``fault`` says what a failure means; ``done`` that the end was seen.

    ``trust`` is the upstream's, whose other replies may have shown what its pieces are worth.
    """

    def __init__(self, head: ReplyHead, names: ToolNames, trust: Trust) -> None:
        super().__init__()
        self._head = head
        self._splitter = SseSplitter(alias=_TEXT)
        self._started = False
        self._output = Output(names, trust)

    # -- a stream ----------------------------------------------------------------------------

    def _is_stream(self, data: bytes) -> bool:
        return shape_of(self._head, data) == "stream"

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        for found in self._splitter.runs(data):
            if not isinstance(found, bytes):
                self._event(found, events)
            elif not self._lean(found, events):
                self._block(found, events)
        if self._splitter.overflow and not self.done:
            raise Broken(too_long(MAX_EVENT))

    def _close(self, events: list[ChatEvent]) -> None:
        """The stream is good only after the event that ends a response."""
        for event in last_events(self._splitter):
            self._event(event, events)
        if not self.done:
            raise Broken(truncated())

    def _block(self, lines: bytes, events: list[ChatEvent]) -> None:
        """Read payloads one a line: runs of pieces of text, and others."""
        run: list[bytes] = []
        for line in lines.split(b"\n"):
            if line.startswith(_PIECE):
                run.append(line)
                continue
            self._run(run, events)
            self._payload(b"", line, events)
        self._run(run, events)

    def _run(self, run: list[bytes], events: list[ChatEvent]) -> None:
        """Read payloads that seem to be pieces of text, and forget them."""
        if run and not self._lean(b"\n".join(run), events):
            for line in run:
                self._payload(b"", line, events)
        run.clear()

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> bool:
        """Read pieces of text, one a line; false, with nothing taken, where one is more than that.

        A reply that ended has no more of them.
        """
        try:
            pieces = [] if self.done else _TEXT_DELTA.decode_lines(lines)
        except UNREADABLE:
            return False
        if len({(piece.output_index, piece.content_index) for piece in pieces}) == 1:
            self._text(pieces, events)
        else:
            for piece in pieces:
                self._text([piece], events)
        return True

    def _text(self, pieces: Sequence[TextDelta], events: list[ChatEvent]) -> None:
        self._start(Raw(), events)
        text = "".join([piece.delta for piece in pieces])
        events += self._output.text(text, pieces[0])

    def _event(self, event: SseEvent, events: list[ChatEvent]) -> None:
        self._payload(event.name, event.data, events)

    def _payload(self, name: bytes, payload: bytes, events: list[ChatEvent]) -> None:
        if self.done or not payload or payload.strip() == DONE:
            return
        try:
            event = _EVENT.decode(payload)
        except msgspec.ValidationError as error:
            if name == b"error":
                raise Broken(fault_of_event(anything(payload))) from None
            if payload.lstrip()[:1] != b"{":
                return  # a number, a word: nothing this dialect knows
            raise Broken(nonsense(f"The upstream sent an event that is none: {error}.")) from None
        except UNREADABLE:
            said = payload[:200].decode("utf-8", "replace")
            raise Broken(nonsense("The upstream sent an event that is not JSON.", said)) from None
        kind = event.type or name.decode("ascii", "replace")
        if kind == "error" or (present(event.error) and not kind.startswith("response.")):
            raise Broken(fault_of_event(anything(payload)))
        if kind in TERMINAL:
            self._end(kind, event.response, events)
        elif kind in ("response.created", "response.in_progress", "response.queued"):
            self._start(event.response, events)
        elif kind.startswith("response."):
            self._start(Raw(), events)
            event.type = kind
            self._output.take(event, events)

    def _start(self, response: Raw, events: list[ChatEvent]) -> None:
        if self._started:
            return
        self._started = True
        said = ResponseObject()
        if present(response):
            try:
                said = _RESPONSE.decode(response)
            except UNREADABLE:
                pass  # who answers is told nowhere else, and an answer does without
        tier = said.service_tier or ""
        events.append(Started(said.model or "", "" if tier == "auto" else tier))

    def _end(self, kind: str, raw: Raw, events: list[ChatEvent]) -> None:
        """The event that ends a response; its ``kind`` counts, not the status inside."""
        try:
            response = _RESPONSE.decode(raw) if present(raw) else ResponseObject()
        except UNREADABLE:
            raise Broken(nonsense("The upstream ended its answer with no response.")) from None
        if kind in ("response.failed", "response.cancelled") or present(response.error):
            self._report(response.usage, events)
            raise Broken(_failure(response))
        self._start(raw, events)
        reason: FinishReason = "stop"
        if kind == "response.incomplete":
            reason = _why(response)
        self._output.end(response.output, reason, events)
        self._report(response.usage, events)
        self.done = True

    def _report(self, raw: Raw, events: list[ChatEvent]) -> None:
        usage = read_usage(raw)
        if usage is not None:
            events.append(UsageReported(usage))

    # -- a whole reply -----------------------------------------------------------------------

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        try:
            response = _RESPONSE.decode(body)
        except UNREADABLE:
            raise Broken(no_response(self._head, body)) from None
        if present(response.error) or response.status in ("failed", "cancelled"):
            raise Broken(_failure(response))
        if response.output is None or response.status not in _ENDED:
            raise Broken(no_response(self._head, body))
        kind = "incomplete" if response.status == "incomplete" else "completed"
        self._end(f"response.{kind}", Raw(body), events)


def _failure(response: ResponseObject) -> UpstreamFault:
    error = anything(bytes(response.error)) if present(response.error) else None
    return fault_of_event({"error": error or {"message": f"The response is {response.status}."}})


def _why(response: ResponseObject) -> FinishReason:
    """Return why a response is incomplete; what is not said is its length."""
    details = response.incomplete_details
    filtered = details is not None and details.reason == "content_filter"
    return "content_filter" if filtered else "length"
