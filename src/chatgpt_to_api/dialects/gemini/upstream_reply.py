"""Backend side, the reply: a stream of chunks, or one whole object → canonical events.

The dialect has no event for its end: a candidate has ended when it has a finish reason, and so has
the reply when every candidate has. What follows a reason can still be usage or sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    ChatEvent,
    Citation,
    FinishReason,
    LogprobsReported,
    Started,
    TokenLogprob,
    UsageReported,
)
from chatgpt_to_api.chat.places import Places
from chatgpt_to_api.chat.request import ChatRequest, Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import NO_RAW, UNREADABLE, present
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import anything, nonsense, too_long, truncated
from chatgpt_to_api.dialects.gemini.faults import fault_of_error, no_answer, no_reply
from chatgpt_to_api.dialects.gemini.framing import shape_of
from chatgpt_to_api.dialects.gemini.messages import (
    DIALECT,
    MOST_INDEX,
    Candidate,
    GenerateContentResponse,
    GroundingMetadata,
    LeanChunk,
    LikelyToken,
    LogprobsResult,
    PromptFeedback,
    ReplyBlob,
    ReplyCall,
    ReplyPart,
)
from chatgpt_to_api.dialects.gemini.names import own_names
from chatgpt_to_api.dialects.gemini.usage import read_usage
from chatgpt_to_api.dialects.reply_reading import Broken, ReplyReader
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.json_array import MAX_ITEM, ArraySplitter
from chatgpt_to_api.wire.sse import MAX_EVENT, SseSplitter

_CHUNK: Final = msgspec.json.Decoder(GenerateContentResponse)
_LEAN: Final = msgspec.json.Decoder(LeanChunk)
_PART: Final = msgspec.json.Decoder(ReplyPart)
_LOGPROBS: Final = msgspec.json.Decoder(LogprobsResult)
_GROUNDING: Final = msgspec.json.Decoder(GroundingMetadata)
_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "ESCALATION",
            "PUP_LIMITED_DISABLED",
            "MODEL_ARMOR",
        ),
        "content_filter",
    ),
}
"""Any other reason says that the answer is none: the call was malformed, or nobody knows why."""
_MISSES: Final = 3
"""How many reads may fail to be plain text before the lean road is left for good."""
_NOTES: Final = ("groundingMetadata", "citationMetadata", "urlContextMetadata", "safetyRatings")


class GenerateReplyDecoder(ReplyReader):
    """Decodes one reply. ``fault`` says what a failure means."""

    def __init__(self, request: ChatRequest, head: ReplyHead) -> None:
        super().__init__()
        self._head = head
        self._names = own_names(request)
        self._own_client = request.dialect == DIALECT
        self._splitter = SseSplitter()
        self._array: ArraySplitter | None = None
        self._started = False
        self._choices: dict[int, _Choice] = {}
        self._usage = NO_RAW
        self._misses = 0

    # -- a stream ----------------------------------------------------------------------------

    def _is_stream(self, data: bytes) -> bool:
        shape = shape_of(self._head, data)
        if shape == "array":
            self._array = ArraySplitter()
        return shape != "whole"

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        if self._array is not None:
            self._items(self._array, data, events)
            return
        for found in self._splitter.runs(data):
            if isinstance(found, bytes):
                self._block(found, events)
            else:
                self._payload(found.data, events)
        if self._splitter.overflow:
            raise Broken(too_long(MAX_EVENT))

    def _close(self, events: list[ChatEvent]) -> None:
        """The stream is good only where every candidate has ended."""
        if self._array is None:
            for event in self._splitter.eof():
                self._payload(event.data, events)
            if self._splitter.cut is not None:
                self._cut_payload(self._splitter.cut.data, events)
        elif not self._array.done and not self._has_ended:
            raise Broken(truncated())
        self._end(events)

    # -- chunks ------------------------------------------------------------------------------

    @property
    def _has_ended(self) -> bool:
        choices = self._choices.values()
        return bool(choices) and all(choice.reason for choice in choices)

    def _block(self, lines: bytes, events: list[ChatEvent]) -> None:
        """Read plain payloads, one a line: nearly always pieces of one text.

        The first says who answers and the last may say why the answer ended; each goes by itself.
        """
        if not self._started:
            line, _, lines = lines.partition(b"\n")
            self._payload(line, events)
        run, _, last = lines.rpartition(b"\n")
        chunks = self._lean(run)
        if chunks is None:
            for line in run.split(b"\n"):
                self._payload(line, events)
        ending = self._lean(last)
        self._texts([*(chunks or ()), *(ending or ())], events)
        if ending is None:
            self._payload(last, events)

    def _lean(self, lines: bytes) -> list[LeanChunk] | None:
        """Read chunks that are text and nothing else; None, with nothing taken, if one is not."""
        if not lines:
            return []
        if self._misses >= _MISSES or not self._started:
            return None
        try:
            return _LEAN.decode_lines(lines)
        except UNREADABLE:
            self._misses += 1
            return None

    def _texts(self, chunks: list[LeanChunk], events: list[ChatEvent]) -> None:
        usages = [c.usage_metadata for c in chunks if c.usage_metadata is not NO_RAW]
        self._usage = next(filter(present, reversed(usages)), self._usage)
        pieces = [(c.index, c.content.parts[0]) for chunk in chunks for c in chunk.candidates]
        whole = len({(index, part.thought) for index, part in pieces}) == 1
        for run in [pieces] if whole else [[piece] for piece in pieces]:
            index, first = run[0]
            text = "".join([part.text for _, part in run])
            self._choice(index).text(text, events, thought=first.thought)

    def _items(self, array: ArraySplitter, data: bytes, events: list[ChatEvent]) -> None:
        for item in array.feed(data):
            self._payload(item, events)
        if array.broken:
            raise Broken(nonsense("The upstream sent an array of something that is no chunk."))
        if array.overflow:
            raise Broken(too_long(MAX_ITEM))
        if array.done:
            self._end(events)

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        try:
            chunk = _CHUNK.decode(body)
        except UNREADABLE:
            raise Broken(no_reply(self._head, body)) from None
        known = (chunk.candidates, chunk.prompt_feedback)
        if not present(chunk.error) and all(part is None for part in known):
            raise Broken(no_reply(self._head, body))
        self._chunk(chunk, events)
        self._end(events)

    def _cut_payload(self, payload: bytes, events: list[ChatEvent]) -> None:
        """Read a last line without its end where it is whole all the same."""
        if isinstance(anything(payload), dict):
            self._payload(payload, events)

    def _payload(self, payload: bytes, events: list[ChatEvent]) -> None:
        if not payload:
            return
        try:
            chunk = _CHUNK.decode(payload)
        except msgspec.ValidationError as error:
            if payload.lstrip()[:1] != b"{":
                return  # a word some servers end with: nothing this dialect knows
            raise Broken(nonsense(f"The upstream sent a chunk that is none: {error}.")) from None
        except UNREADABLE:
            if payload.strip() == b"[DONE]":
                return
            said = payload[:200].decode("utf-8", "replace")
            raise Broken(nonsense("The upstream sent an event that is not JSON.", said)) from None
        self._chunk(chunk, events)

    def _chunk(self, chunk: GenerateContentResponse, events: list[ChatEvent]) -> None:
        # Counts are of everything so far: the last ones hold, and are never summed.
        if present(chunk.usage_metadata):
            self._usage = chunk.usage_metadata
        if present(chunk.error):
            raise Broken(fault_of_error(chunk.error))
        if not self._started and (chunk.candidates or chunk.prompt_feedback):
            self._started = True
            events.append(Started(chunk.model_version or ""))
        for candidate in chunk.candidates or ():
            self._choice(candidate.index or 0).take(candidate, events)
        if chunk.prompt_feedback is not None:
            self._feedback(chunk.prompt_feedback, events)

    def _feedback(self, feedback: PromptFeedback, events: list[ChatEvent]) -> None:
        """A prompt that was blocked has no candidates: that is a refusal, and no empty answer."""
        reason = feedback.block_reason
        if not reason or reason == "BLOCK_REASON_UNSPECIFIED":
            return
        choice = self._choice(0)
        if not choice.reason:
            choice.refuse(f"prompt blocked: {reason}", feedback.block_reason_message or "", events)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if not 0 <= index <= MOST_INDEX:
                raise Broken(nonsense(f"The upstream sent a candidate numbered {index}."))
            choice = _Choice(index, self._names, own_client=self._own_client)
            self._choices[index] = choice
        return choice

    def _end(self, events: list[ChatEvent]) -> None:
        if not self._choices:
            raise Broken(nonsense("The upstream's reply ended without an answer."))
        if not self._has_ended:
            raise Broken(truncated())
        for choice in self._choices.values():
            fault = choice.finish(events)
            if fault is not None:
                raise Broken(fault)
        self.done = True
        usage = self._reported()
        if usage is not None:
            events.append(UsageReported(usage))

    def _reported(self) -> Usage | None:
        return read_usage(self._usage)


class _Choice:
    """One candidate of the reply."""

    def __init__(self, index: int, names: Mapping[str, str], *, own_client: bool) -> None:
        self._index = index
        self._names = names
        self._own_client = own_client
        self._tracker = BlockTracker(index)
        self._called = False
        self._said = False
        self._places = Places()
        self._message = ""
        self._refused = False
        self.reason = ""

    def take(self, candidate: Candidate, events: list[ChatEvent]) -> None:
        """Take what a chunk adds."""
        if candidate.content is not None:
            for raw in candidate.content.parts or ():
                self._part(raw, events)
        if present(candidate.logprobs_result):
            events += self._logprobs(candidate.logprobs_result)
        self._notes(candidate, events)
        reason = candidate.finish_reason
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            self.reason = reason
            self._message = candidate.finish_message or ""

    def text(self, text: str, events: list[ChatEvent], *, thought: bool) -> None:
        """Take a piece of the answer's text, or of a thought."""
        if thought:
            events += self._tracker.reasoning(text)
        elif text:
            self._said = True
            self._places.grow(text)
            events += self._tracker.text(text)

    def refuse(self, reason: str, message: str, events: list[ChatEvent]) -> None:
        """Say that, and why, there is no answer."""
        self.reason = self.reason or "SAFETY"
        self._refused = True
        said = message.strip() or f"The upstream gave no answer ({reason})."
        events += self._tracker.refusal(said)

    def finish(self, events: list[ChatEvent]) -> UpstreamFault | None:
        """End the candidate; return what is wrong where it has no answer."""
        reason = _REASONS.get(self.reason)
        if reason is None or (reason == "stop" and not self._said):
            # Also a good end with nothing before it: some models do that, and the next try works.
            return no_answer(self.reason, self._message)
        if reason == "content_filter" and not self._said and not self._refused:
            self.refuse(self.reason, self._message, events)
        if reason == "stop" and self._called:
            reason = "tool_calls"
        events += self._tracker.finish(reason)
        return None

    # -- parts -------------------------------------------------------------------------------

    def _part(self, raw: Raw, events: list[ChatEvent]) -> None:
        try:
            part = _PART.decode(raw)
        except UNREADABLE:
            raise Broken(nonsense("The upstream sent a part that is none.")) from None
        signature = None
        if part.thought_signature is not None:
            signature = Opaque(DIALECT, part.thought_signature)
        if part.function_call is not None:
            self._call(part.function_call, signature, events)
            return
        if part.text is not None and part.thought:
            events += self._tracker.reasoning(part.text, signature)
            return
        if part.text is not None:
            self.text(part.text, events, thought=False)
        elif part.inline_data is not None:
            self._blob(raw, part.inline_data, events)
        else:
            self._said = True
            events += self._tracker.foreign(Opaque(DIALECT, bytes(raw).decode()))
            return
        if signature is not None:
            # It belongs to what was said; in a stream it comes in an empty part of its own.
            sealed = {"text": "", "thoughtSignature": signature.data}
            opaque = Opaque(DIALECT, msgspec.json.encode(sealed).decode())
            events += self._tracker.foreign(opaque)

    def _call(self, call: ReplyCall, signature: Opaque | None, events: list[ChatEvent]) -> None:
        self._called = self._said = True
        name = self._names.get(call.name, call.name)
        events += self._tracker.tool_call(call.id or "", name, opaque=signature)
        arguments = bytes(call.args).decode() if present(call.args) else "{}"
        events += self._tracker.arguments(arguments)
        events += self._tracker.end_block()

    def _blob(self, raw: Raw, blob: ReplyBlob, events: list[ChatEvent]) -> None:
        """A picture the model made: others than this dialect's clients get it in their text."""
        self._said = True
        if not self._own_client and blob.mime_type.startswith("image/"):
            url = f"data:{blob.mime_type};base64,{blob.data}"
            events += self._tracker.text(f"![image]({url})")
        else:
            events += self._tracker.foreign(Opaque(DIALECT, bytes(raw).decode()))

    def _logprobs(self, raw: Raw) -> list[ChatEvent]:
        """Read how probable tokens were; [] where that has no known form."""
        try:
            found = _LOGPROBS.decode(raw)
        except UNREADABLE:
            return []
        if not found.chosen_candidates:
            return []
        tops: list[Iterable[LikelyToken]] = [top.candidates for top in found.top_candidates]
        tops += [()] * (len(found.chosen_candidates) - len(tops))
        tokens = tuple(
            TokenLogprob(chosen.token, chosen.log_probability, top=tuple(map(_likely, top)))
            for chosen, top in zip(found.chosen_candidates, tops, strict=False)
        )
        return [LogprobsReported(tokens, choice=self._index)]

    def _notes(self, candidate: Candidate, events: list[ChatEvent]) -> None:
        """What an answer rests on: as it came for this dialect's clients, as pages for others."""
        given = (
            candidate.grounding_metadata,
            candidate.citation_metadata,
            candidate.url_context_metadata,
            candidate.safety_ratings,
        )
        notes = {name: raw for name, raw in zip(_NOTES, given, strict=True) if present(raw)}
        if not notes:
            return
        opaque = Opaque(DIALECT, msgspec.json.encode(notes).decode())
        events.append(Annotated(opaque, self._index))
        if "groundingMetadata" in notes:
            events += self._citations(notes["groundingMetadata"])

    def _citations(self, raw: Raw) -> Iterable[ChatEvent]:
        try:
            found = _GROUNDING.decode(raw)
        except UNREADABLE:
            return
        pages = [chunk.web or chunk.retrieved_context for chunk in found.grounding_chunks]
        cited = set()
        for support in found.grounding_supports:
            segment = support.segment
            for index in support.grounding_chunk_indices:
                page = pages[index] if 0 <= index < len(pages) else None
                if page is None or not page.uri:
                    continue
                cited.add(index)
                start = end = None
                if segment is not None and segment.end_index is not None:
                    start = self._places.character(segment.start_index or 0)
                    end = self._places.character(segment.end_index)
                    start = None if end is None else start
                yield Annotated(Citation(page.uri, page.title, start, end), self._index)
        for index, page in enumerate(pages):
            if index not in cited and page is not None and page.uri:
                yield Annotated(Citation(page.uri, page.title), self._index)


def _likely(token: LikelyToken) -> TokenLogprob:
    return TokenLogprob(token.token, token.log_probability)
