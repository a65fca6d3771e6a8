"""Backend side, the reply: a stream of chunks, or one whole object → canonical events.

Servers of this dialect are loose. What is read here is what was seen in the wild: usage in any
place, chunks without choices, empty finish reasons, calls without index or id, thoughts under three
names, an end without ``[DONE]``, errors inside a 200, and replies that are no stream at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    AudioDelta,
    ChatEvent,
    Citation,
    FinishReason,
    LogprobsReported,
    ReasoningDelta,
    ReplyNoted,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import NO_RAW, UNREADABLE, present
from chatgpt_to_api.dialects.faults import (
    anything,
    complaint,
    fault_of_event,
    nonsense,
    too_long,
    truncated,
)
from chatgpt_to_api.dialects.openai.replies import (
    DONE,
    last_events,
    no_completion,
    shape_of,
)
from chatgpt_to_api.dialects.openai.usage import read_usage
from chatgpt_to_api.dialects.openai_chat.door_request import MAX_CHOICES
from chatgpt_to_api.dialects.openai_chat.messages import (
    DIALECT,
    AudioPiece,
    Chunk,
    Content,
    Delta,
    Identity,
    LeanChunk,
    Likely,
    Logprobs,
    ToolCallPiece,
    UrlAnnotation,
)
from chatgpt_to_api.dialects.openai_chat.tool_calls import LatePiece, ToolCalls
from chatgpt_to_api.dialects.reply_reading import Broken, ReplyReader
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT, SseEvent, SseSplitter

_CHUNK: Final = msgspec.json.Decoder(Chunk)
_LOGPROBS: Final = msgspec.json.Decoder(Logprobs)
_AUDIO: Final = msgspec.json.Decoder(AudioPiece)
_ANNOTATION: Final = msgspec.json.Decoder(UrlAnnotation)
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
_SILENCE: Final = AudioDelta()
_LEAN: Final = msgspec.json.Decoder(LeanChunk)
_IDENTITY: Final = msgspec.json.Decoder(Identity)
_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
_BROKEN: Final = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})
_MISSES: Final = 3
"""How many reads may fail to be plain text before the lean road is left for good."""


class ChatReplyDecoder(ReplyReader):
    """Decodes one reply. ``fault`` says what a failure means; ``done`` that the end was seen."""

    def __init__(self, head: ReplyHead, names: Mapping[str, str] = MappingProxyType({})) -> None:
        """``names``: what tools are really called whose names the server would refuse."""
        super().__init__()
        self._head = head
        self._names = names
        self._splitter = SseSplitter()
        self._started = False
        self._reply_id = ""
        self._choices: dict[int, _Choice] = {}
        self._usage = NO_RAW
        self._misses = 0

    # -- a stream ----------------------------------------------------------------------------

    def _is_stream(self, data: bytes) -> bool:
        return shape_of(self._head, data) == "stream"

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        found = self._splitter.feed(data)
        if isinstance(found, list):
            for event in found:
                self._event(event, events)
        elif found:
            self._block(found, events)
        if self._splitter.overflow and not self.done:
            raise Broken(too_long(MAX_EVENT))
        if len(events) > 1:
            _merge(events)

    def _close(self, events: list[ChatEvent]) -> None:
        """The stream is good after ``[DONE]``, or with every choice finished."""
        for event in last_events(self._splitter):
            self._event(event, events)
        if not self.done:
            if not self._choices:
                raise Broken(nonsense("The upstream's stream ended without an answer."))
            if not all(choice.tracker.finished for choice in self._choices.values()):
                raise Broken(truncated())
            self._end(events)
        if len(events) > 1:
            _merge(events)

    def _block(self, lines: bytes, events: list[ChatEvent]) -> None:
        """Read plain payloads, one a line."""
        while not self._started and lines and not self.done:
            line, _, lines = lines.partition(b"\n")
            self._payload(line, events)
        if not lines or self.done:
            return
        lean, rest = self._lean(lines, events)
        if lean:
            lines = rest
        end = -1
        if lines.endswith(DONE):  # one that others follow is found line by line
            end = len(lines) - len(DONE)
        try:
            chunks = _CHUNK.decode_lines(lines if end < 0 else lines[:end])
        except UNREADABLE:
            for line in lines.split(b"\n"):
                self._payload(line, events)
            return
        for chunk in chunks:
            self._chunk(chunk, events)
        if end >= 0:
            self._done(events)

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> tuple[bool, bytes]:
        """Read a run of text chunks without looking at what they could hold besides text.

        The last few lines are left over: there the end stands, with its usage. A line that came
        alone is tried as it is.
        """
        end = len(lines)
        alone = b"\n" not in lines
        for _ in range(0 if alone else 4):
            end = lines.rfind(b"\n", 0, end)
            if end < 0:
                return False, lines
        if self._misses >= _MISSES:
            return False, lines
        try:
            chunks = _LEAN.decode_lines(lines[:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._misses += not alone  # a short try, and the next may be text again
            return False, lines
        choices = [chunk.choices[0] for chunk in chunks]
        first = choices[0].index
        if {choice.index for choice in choices} == {first}:
            text = "".join([choice.delta.content for choice in choices])
            events += self._choice(first).tracker.text(text)
        else:
            for choice in choices:
                events += self._choice(choice.index).tracker.text(choice.delta.content)
        return True, lines[end + 1 :]

    def _event(self, event: SseEvent, events: list[ChatEvent]) -> None:
        if event.name == b"error" and not self.done:
            raise Broken(fault_of_event(anything(event.data)))
        self._payload(event.data, events)

    def _payload(self, payload: bytes, events: list[ChatEvent]) -> None:
        if self.done or not payload:
            return
        if payload.strip() == DONE:
            self._done(events)
            return
        try:
            chunk = _CHUNK.decode(payload)
        except msgspec.ValidationError as error:
            if payload.lstrip()[:1] != b"{":
                return  # a number, a word: nothing this dialect knows
            raise Broken(nonsense(f"The upstream sent a chunk that is none: {error}.")) from None
        except UNREADABLE:
            said = payload[:200].decode("utf-8", "replace")
            raise Broken(nonsense("The upstream sent an event that is not JSON.", said)) from None
        if not self._started and chunk.choices:
            self._start(payload, events)
        self._chunk(chunk, events)

    def _start(self, payload: bytes, events: list[ChatEvent]) -> None:
        """Begin with the first chunk that has a choice: one before it may name no model."""
        try:
            identity = _IDENTITY.decode(payload)
        except msgspec.DecodeError:
            identity = Identity()
        self._started = True
        self._reply_id = identity.id or ""
        events.append(
            Started(
                identity.model or "",
                identity.service_tier or "",
                identity.system_fingerprint or "",
            )
        )

    def _chunk(self, chunk: Chunk, events: list[ChatEvent]) -> None:
        # The last usage holds, wherever it stands; counts of a stream are never summed.
        if present(chunk.usage):
            self._usage = chunk.usage
        if present(chunk.error):
            raise Broken(complaint(chunk.error))
        noted = {
            name: raw
            for name, raw in (("moderation", chunk.moderation), ("metadata", chunk.metadata))
            if present(raw)
        }
        if noted:
            events.append(ReplyNoted(Opaque(DIALECT, msgspec.json.encode(noted).decode())))
        for choice in chunk.choices or ():
            if present(choice.usage):
                self._usage = choice.usage
            state = self._choice(choice.index or 0)
            try:
                state.take(choice.delta or choice.message, events)
            except LatePiece:
                message = "The upstream went back to a tool call it had left."
                raise Broken(nonsense(message)) from None
            if present(choice.logprobs):
                events += state.logprobs(choice.logprobs)
            if present(choice.error):
                raise Broken(complaint(choice.error))
            reason = (choice.finish_reason or "").lower()
            if reason in _BROKEN:
                raise Broken(nonsense(f"The upstream ended its answer with {reason!r}."))
            if reason:
                events += state.finish(_REASONS.get(reason, "stop"))

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if not 0 <= index < MAX_CHOICES:
                raise Broken(nonsense(f"The upstream sent a choice numbered {index}."))
            choice = self._choices[index] = _Choice(index, self._reply_id, self._names)
        return choice

    def _done(self, events: list[ChatEvent]) -> None:
        if not self._choices:
            raise Broken(nonsense("The upstream's stream ended without an answer."))
        for choice in self._choices.values():
            events += choice.finish("stop")  # only for one whose reason never came
        self._end(events)

    def _end(self, events: list[ChatEvent]) -> None:
        self.done = True
        usage = self._reported()
        if usage is not None:
            events.append(UsageReported(usage))

    def _reported(self) -> Usage | None:
        return read_usage(self._usage)

    # -- a whole reply -----------------------------------------------------------------------

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        try:
            chunk = _CHUNK.decode(body)
        except UNREADABLE:
            raise Broken(no_completion(self._head, body)) from None
        if not present(chunk.error) and not chunk.choices:
            raise Broken(no_completion(self._head, body))
        self._start(body, events)
        self._chunk(chunk, events)
        self._done(events)


class _Choice:
    """One choice of the reply."""

    __slots__ = ("_calls", "_index", "_names", "_reply", "tracker")

    def __init__(self, index: int, reply: str, names: Mapping[str, str]) -> None:
        self._names = names
        self._index = index
        self._reply = reply
        self._calls: ToolCalls | None = None
        self.tracker = BlockTracker(index)

    def take(self, delta: Delta | None, events: list[ChatEvent]) -> None:
        """Take what a chunk adds. Raises LatePiece."""
        if delta is None or self.tracker.finished:
            return
        self._reason(delta, events)
        if isinstance(delta.content, str):
            events += self.tracker.text(delta.content)
        elif delta.content is not None:
            self._pieces(delta.content, events)
        if present(delta.audio):
            self._speak(delta.audio, events)
        if delta.refusal:
            events += self.tracker.refusal(delta.refusal)
        if present(delta.annotations):
            events += _annotated(delta.annotations, self._index)
        if delta.tool_calls:
            for piece in delta.tool_calls:
                events += self._tool_calls().piece(piece)
        if delta.function_call is not None:
            piece = ToolCallPiece(index=0, function=delta.function_call)
            events += self._tool_calls().piece(piece)

    def finish(self, reason: FinishReason) -> list[ChatEvent]:
        """End the choice. Calls that were made are the reason, whatever the server says."""
        events: list[ChatEvent] = []
        if self._calls is not None and not self.tracker.finished:
            events += self._calls.end()
            if reason == "stop":
                reason = "tool_calls"
        return events + self.tracker.finish(reason)

    def logprobs(self, raw: Raw) -> list[ChatEvent]:
        """Read how probable a chunk's tokens were; [] where that has no known form."""
        try:
            found = _LOGPROBS.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            return []
        text, refusal = _likely(found.content), _likely(found.refusal)
        if self.tracker.finished or not (text or refusal):
            return []
        return [LogprobsReported(text, refusal, self._index)]

    def _speak(self, raw: Raw, events: list[ChatEvent]) -> None:
        try:
            piece = _AUDIO.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            return
        said = AudioDelta(
            piece.data or "",
            piece.transcript or "",
            id=piece.id or "",
            expires_at=piece.expires_at,
        )
        if said != _SILENCE:
            events += self.tracker.audio(said)

    def _tool_calls(self) -> ToolCalls:
        if self._calls is None:
            self._calls = ToolCalls(self.tracker, self._reply, self._index, self._names)
        return self._calls

    def _reason(self, delta: Delta, events: list[ChatEvent]) -> None:
        thought = delta.reasoning_content or delta.reasoning or ""
        details = delta.reasoning_details
        if present(details) and bytes(details) != b"[]":
            opaque = Opaque(DIALECT, bytes(details).decode())
            events += self.tracker.reasoning(thought, opaque)
        elif thought:
            events += self.tracker.reasoning(thought)

    def _pieces(self, content: Content, events: list[ChatEvent]) -> None:
        for piece in content if isinstance(content, list) else ():
            if piece.thinking is not None:
                events += self.tracker.reasoning(_plain(piece.thinking))
            elif piece.text:
                events += self.tracker.text(piece.text)


def _plain(content: Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(piece.text or "" for piece in content)


def _annotated(raw: Raw, choice: int) -> list[ChatEvent]:
    try:
        notes = _RAW_LIST.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return []
    events: list[ChatEvent] = []
    for note in notes:
        try:
            page = _ANNOTATION.decode(note).url_citation
        except (msgspec.DecodeError, RecursionError):
            events.append(Annotated(Opaque(DIALECT, bytes(note).decode()), choice))
        else:
            citation = Citation(page.url, page.title, page.start_index, page.end_index)
            events.append(Annotated(citation, choice))
    return events


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


def _merge(events: list[ChatEvent]) -> None:
    """Join pieces that follow each other: nobody can tell them apart, and all after is cheaper."""
    merged: list[ChatEvent] = []
    run: list[str] = []
    for event, after in zip(events, [*events[1:], None], strict=True):
        match event:
            case TextDelta(piece) | ReasoningDelta(piece, _, None) | ToolCallDelta(piece):
                run.append(piece)
                if _goes_on(event, after):
                    continue
                merged.append(type(event)("".join(run), event.choice) if len(run) > 1 else event)
                run.clear()
            case _:
                merged.append(event)
    events[:] = merged


def _goes_on(event: ChatEvent, after: ChatEvent | None) -> bool:
    match event, after:
        case (
            (TextDelta(choice=choice), TextDelta(choice=same))
            | (ToolCallDelta(choice=choice), ToolCallDelta(choice=same))
            | (ReasoningDelta(choice=choice), ReasoningDelta(choice=same, opaque=None))
        ):
            return choice == same
    return False
