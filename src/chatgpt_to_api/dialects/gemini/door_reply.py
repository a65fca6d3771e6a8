"""Client side, the reply: canonical events → chunks of a stream, or one whole object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.events import (
    Annotated,
    AudioDelta,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Citation,
    Failed,
    Finished,
    FinishReason,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    ReplyNoted,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.places import Places
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.gemini import seals
from chatgpt_to_api.dialects.gemini.error_reply import error_object
from chatgpt_to_api.dialects.gemini.messages import DIALECT
from chatgpt_to_api.dialects.gemini.paths import Framing
from chatgpt_to_api.dialects.gemini.usage import usage_metadata
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = ((b"content-type", b"application/json; charset=UTF-8"),)
_UNBUFFERED: Final = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_SSE: Final = ((b"content-type", b"text/event-stream; charset=utf-8"), *_UNBUFFERED)
_ARRAY: Final = (*_JSON, *_UNBUFFERED)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_EMPTY: Final = Raw(b"{}")
_TEXT_BEFORE: Final = b'{"candidates":[{"content":{"parts":[{"text":'
_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "pause": "OTHER",
}


class GenerateReplyEncoder:
    """Encodes one reply. Every chunk has the same response id and model version.

    ``shows_thoughts``: the client wants to see them; their signatures go out in any case.
    """

    __slots__ = (
        "_array",
        "_begun",
        "_candidates",
        "_id",
        "_model",
        "_shows_thoughts",
        "_tail",
        "_usage",
    )

    def __init__(self, model: str, stamp: Stamp, framing: Framing, *, shows_thoughts: bool) -> None:
        self._id = stamp.id.replace("-", "")
        self._model = model
        self._array = framing == "array"
        self._shows_thoughts = shows_thoughts
        self._usage: Usage | None = None
        self._candidates: dict[int, _Candidate] = {}
        self._begun = False
        self._tail = b""

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return _ARRAY if self._array else _SSE

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the chunk of all events of one read, b"" where they show nothing yet."""
        if all(type(event) is TextDelta and event.choice == 0 for event in events):
            text = "".join([event.text for event in events if type(event) is TextDelta])
            return self._text(text) if text else b""
        for event in events:
            self._take(event)
        shown = [
            candidate.chunk()
            for _, candidate in sorted(self._candidates.items())
            if candidate.shows_something
        ]
        return self._framed(_ENCODE(self._chunk(shown))) if shown else b""

    def end(self) -> bytes:
        """Return the last chunk, with why each candidate ended and the usage, and the end."""
        last = [candidate.last() for _, candidate in sorted(self._candidates.items())]
        data = self._framed(_ENCODE(self._chunk(last, usage_metadata(self._usage))))
        return data + b"]" if self._array else data

    def keep_alive(self) -> bytes:
        """Return a line end, which means nothing in either framing.

        No comment: the vendor's Python client takes every line for JSON that is not data.
        """
        return b"\r\n"

    def follow_relayed(self) -> None:
        """Items of the array have left already."""
        self._begun = True

    def failure(self, error: GatewayError) -> bytes:
        """Return the error as the last chunk. Nothing follows it."""
        data = self._framed(error_object(error))
        return data + b"]" if self._array else data

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one object."""
        for event in events:
            if isinstance(event, Failed):
                return HttpReply(event.error.status, _JSON, error_object(event.error))
            self._take(event)
        whole = [candidate.last() for _, candidate in sorted(self._candidates.items())]
        reply = self._chunk(whole, usage_metadata(self._usage))
        return HttpReply(200, _JSON, _ENCODE(reply))

    # -- chunks ------------------------------------------------------------------------------

    def _chunk(
        self, candidates: list[dict[str, Any]], usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {"candidates": candidates}
        if usage is not None:
            chunk["usageMetadata"] = usage
        return chunk | {"modelVersion": self._model, "responseId": self._id}

    def _text(self, text: str) -> bytes:
        """Return a chunk that is text alone, as nearly all are."""
        if not self._tail:
            about = {"modelVersion": self._model, "responseId": self._id}
            self._tail = b'}],"role":"model"},"index":0}],' + _ENCODE(about)[1:]
        self._candidate(0).spoke(text)
        return self._framed(_TEXT_BEFORE + _ENCODE(text) + self._tail)

    def _framed(self, chunk: bytes) -> bytes:
        if not self._array:
            return b"data: " + chunk + b"\r\n\r\n"
        before = b",\r\n" if self._begun else b"["
        self._begun = True
        return before + chunk

    def _candidate(self, index: int) -> _Candidate:
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate(index, self._shows_thoughts)
        return candidate

    def _take(self, event: ChatEvent) -> None:
        match event:
            case Started(model):
                self._model = model or self._model
                self._tail = b""
            case UsageReported(usage):
                self._usage = usage
            case ReplyNoted() | Failed():
                pass
            case _:
                self._candidate(event.choice).take(event)


class _Candidate:
    """One candidate: the parts and fields that have not been shown yet."""

    def __init__(self, index: int, shows_thoughts: bool) -> None:
        self._index = index
        self._shows_thoughts = shows_thoughts
        self._parts: list[Any] = []
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._thought = ""  # the open one, shown or not
        self._call: BlockStarted | None = None
        self._arguments: list[str] = []
        self._fields: dict[str, Any] = {}
        self._pages: dict[tuple[str, str], int] = {}
        self._supports: list[dict[str, Any]] = []
        self._grounded = False
        self._places = Places()
        self._refused = False
        self._malformed = ""
        self._finish: FinishReason | None = None

    @property
    def shows_something(self) -> bool:
        """Whether there is anything to send before the end."""
        return bool(self._parts or self._text or self._thoughts or self._fields)

    def spoke(self, text: str) -> None:
        """Text has gone out without coming through here."""
        self._places.grow(text)

    def take(self, event: ChatEvent) -> None:
        match event:
            case TextDelta(text) | AudioDelta(transcript=text):
                self._think()
                self._text.append(text)
                self.spoke(text)
            case RefusalDelta(text):
                self._think()
                self._refused = True
                self._text.append(text)
            case ReasoningDelta(text, _, opaque):
                self._reason(text, opaque)
            case BlockStarted(kind="tool_call"):
                self._flush()
                self._call, self._arguments = event, []
            case BlockStarted(kind="foreign", opaque=opaque):
                self._flush()
                if opaque is not None and opaque.dialect == DIALECT:
                    self._parts.append(Raw(opaque.data.encode()))
            case ToolCallDelta(arguments):
                self._arguments.append(arguments)
            case BlockEnded():
                self._thought = ""
                if self._call is not None:
                    self._called(self._call, "".join(self._arguments))
                    self._call = None
            case Annotated(note):
                self._note(note)
            case LogprobsReported(text=tokens):
                self._likely(tokens)
            case Finished(reason):
                self._finish = reason
            case _:
                pass

    def chunk(self) -> dict[str, Any]:
        """Take what is to be shown now."""
        self._flush()
        parts, fields = self._parts, self._fields
        self._parts, self._fields = [], {}
        content = {"content": {"parts": parts, "role": "model"}} if parts else {}
        return {**content, "index": self._index, **fields}

    def last(self) -> dict[str, Any]:
        """Take what is left, and say why it ended."""
        shown = self.chunk()
        reason = _REASONS[self._finish or "stop"]
        if self._refused and reason == "STOP":
            reason = "SAFETY"
        if self._malformed and reason == "STOP":
            reason = "MALFORMED_FUNCTION_CALL"
            shown["finishMessage"] = self._malformed
        if self._pages and not self._grounded:
            chunks = [{"web": {"uri": uri, "title": title}} for uri, title in self._pages]
            shown["groundingMetadata"] = {
                "groundingChunks": chunks,
                "groundingSupports": self._supports,
            }
        content = shown.pop("content", {"parts": [{"text": ""}], "role": "model"})
        return {"content": content, "finishReason": reason, **shown}

    # -- parts -------------------------------------------------------------------------------

    def _reason(self, text: str, opaque: Opaque | None) -> None:
        self._speak()
        if self._shows_thoughts and text:
            self._thoughts.append(text)
        self._thought += text
        if opaque is not None:
            part = {"text": "".join(self._thoughts), "thought": True}
            signature = seals.to_client(opaque, self._thought)
            self._parts.append(part | {"thoughtSignature": signature})
            self._thoughts = []
            self._thought = ""

    def _called(self, call: BlockStarted, arguments: str) -> None:
        function: dict[str, Any] = {"id": call.tool_id} if call.tool_id else {}
        function |= {"name": call.tool_name, "args": self._args(call, arguments)}
        part: dict[str, Any] = {"functionCall": function}
        if call.opaque is not None:
            part["thoughtSignature"] = seals.to_client(call.opaque)
        self._parts.append(part)

    def _args(self, call: BlockStarted, arguments: str) -> Raw:
        """Return the arguments as an object; what is none is told in the dialect's own way."""
        if not arguments.strip():
            return _EMPTY
        try:
            _RAW_OBJECT.decode(arguments)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            name = call.tool_name
            self._malformed = f"The arguments of {name!r} are no JSON object: {arguments[:500]}"
            return _EMPTY
        return Raw(arguments.encode())

    def _note(self, note: Citation | Opaque) -> None:
        if isinstance(note, Opaque):
            if note.dialect == DIALECT:
                fields = _RAW_OBJECT.decode(note.data)
                self._fields |= fields
                self._grounded = self._grounded or "groundingMetadata" in fields
            return
        page = self._pages.setdefault((note.url, note.title), len(self._pages))
        if note.start is not None and note.end is not None:
            start, end = map(self._places.byte, (note.start, note.end))
            segment = {"startIndex": start, "endIndex": end}
            self._supports.append({"segment": segment, "groundingChunkIndices": [page]})

    def _likely(self, tokens: Sequence[TokenLogprob]) -> None:
        result = self._fields.setdefault(
            "logprobsResult", {"chosenCandidates": [], "topCandidates": []}
        )
        result["chosenCandidates"] += map(_token, tokens)
        result["topCandidates"] += ({"candidates": [*map(_token, t.top)]} for t in tokens)

    def _flush(self) -> None:
        self._think()
        self._speak()

    def _speak(self) -> None:
        text = "".join(self._text)
        if text:
            self._parts.append({"text": text})
        self._text = []

    def _think(self) -> None:
        if self._thoughts:
            self._parts.append({"text": "".join(self._thoughts), "thought": True})
            self._thoughts = []


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
