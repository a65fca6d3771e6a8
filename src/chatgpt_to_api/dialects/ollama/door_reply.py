"""Client side, the reply: canonical events → lines of a stream, or one whole object.

Only the last line says ``done``: with why the answer ended, how many tokens it took, and how long,
in nanoseconds. What went before the first piece of a stream counts as reading the prompt, the rest
as writing; nothing is ever loaded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import (
    AudioDelta,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.ollama.arguments import as_object
from chatgpt_to_api.dialects.ollama.errors import error_object, error_reply
from chatgpt_to_api.dialects.ollama.messages import Asking, OllamaGenerateRequest
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

STREAM_HEADERS: Final = (
    (b"content-type", b"application/x-ndjson"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front would collect the stream otherwise
)
WHOLE_HEADERS: Final = ((b"content-type", b"application/json; charset=utf-8"),)

_ENCODE: Final = msgspec.json.Encoder().encode
_NANO: Final = 1_000_000_000
_REASONS: Final[dict[FinishReason, str]] = {
    "length": "length",
    "content_filter": "content_filter",
}
"""The dialect has two words, and calls end like any other answer; a third is no lie."""


class OllamaReplyEncoder:
    """Encodes one reply, of either path."""

    def __init__(self, asked: Asking, stamp: Stamp) -> None:
        self._asked = asked
        self._chat = not isinstance(asked, OllamaGenerateRequest)
        self._stamp = stamp
        self._born = stamp.created - stamp.elapsed()
        self._second = (-1, b"")
        """The last second written, and how it is written up to its fraction."""
        self._model = _ENCODE(asked.model)
        self._first: float | None = None
        """Seconds until the first piece; not known of an answer that comes whole."""
        self._reason: FinishReason = "stop"
        self._usage: Usage | None = None
        self._calls = _Calls(stamp)

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the lines of all events of one read; adjacent pieces of a kind share one."""
        out: list[bytes] = []
        pieces: list[str] = []
        kind: type[ChatEvent] = TextDelta
        at = self._time()
        for event in events:
            match event:
                case TextDelta(text) | RefusalDelta(text):
                    taken: type[ChatEvent] = TextDelta
                case AudioDelta(transcript=text):
                    taken = TextDelta
                case ReasoningDelta(text):
                    taken = ReasoningDelta
                case _:
                    self._put(out, at, kind, pieces)
                    self._other(out, at, event)
                    continue
            if taken is not kind:
                self._put(out, at, kind, pieces)
                kind = taken
            pieces.append(text)
        self._put(out, at, kind, pieces)
        if out and self._first is None:
            self._first = self._stamp.elapsed()
        return b"".join(out)

    def end(self) -> bytes:
        """Return the last line."""
        now = self._stamp.elapsed()
        said: dict[str, Any] = {"message": _message("")} if self._chat else {"response": ""}
        return _ENCODE(self._whole(self._time(), said, now)) + b"\n"

    def keep_alive(self) -> bytes:
        """Return a line that adds nothing: there are no comments, and clients parse every line."""
        said = b'"message":{"role":"assistant","content":""}' if self._chat else b'"response":""'
        return self._line(self._time(), said)

    def failure(self, error: GatewayError) -> bytes:
        """Return the error as a line. Nothing follows it."""
        return error_object(error) + b"\n"

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one object."""
        text: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        logprobs: list[dict[str, Any]] = []
        for event in events:
            match event:
                case TextDelta(piece) | RefusalDelta(piece) | AudioDelta(transcript=piece):
                    text.append(piece)
                case ReasoningDelta(piece) if self._asked.think is not False:
                    thoughts.append(piece)
                case LogprobsReported():
                    logprobs += _logprobs(event)
                case Failed(error):
                    return error_reply(error)
                case _:
                    calls += self._take(event)
        said: dict[str, Any] = {}
        thinking = {"thinking": "".join(thoughts)} if any(thoughts) else {}
        if self._chat:
            message = _message("".join(text)) | thinking
            if calls:
                message["tool_calls"] = calls
            said["message"] = message
        else:
            said = {"response": "".join(text), **thinking}
        if logprobs:
            said["logprobs"] = logprobs
        whole = self._whole(self._time(), said, self._stamp.elapsed())
        return HttpReply(200, WHOLE_HEADERS, _ENCODE(whole))

    # -- lines -------------------------------------------------------------------------------

    def _time(self) -> bytes:
        """Return what ``created_at`` does for now: within a second only the fraction changes."""
        second, fraction = divmod(round((self._born + self._stamp.elapsed()) * 1e6), 1_000_000)
        last, written = self._second
        if second != last:
            written = created_at(second)[: -len(b"000000Z")]
            self._second = (second, written)
        return b"%b%06dZ" % (written, fraction)

    def _line(self, at: bytes, said: bytes) -> bytes:
        return b'{"model":%b,"created_at":"%b",%b,"done":false}\n' % (self._model, at, said)

    def _put(self, out: list[bytes], at: bytes, kind: type[ChatEvent], pieces: list[str]) -> None:
        """Put a line for the pieces collected so far."""
        text = _ENCODE("".join(pieces)) if pieces else b'""'
        pieces.clear()
        if text == b'""':
            return
        if kind is TextDelta:
            said = b'"response":%b'
            if self._chat:
                said = b'"message":{"role":"assistant","content":%b}'
            out.append(self._line(at, said % text))
        elif self._asked.think is not False:
            said = b'"response":"","thinking":%b'
            if self._chat:
                said = b'"message":{"role":"assistant","content":"","thinking":%b}'
            out.append(self._line(at, said % text))

    def _other(self, out: list[bytes], at: bytes, event: ChatEvent) -> None:
        if isinstance(event, LogprobsReported):
            said = {"message": _message("")} if self._chat else {"response": ""}
            out.append(self._line(at, _ENCODE(said | {"logprobs": _logprobs(event)})[1:-1]))
            return
        calls = self._take(event)
        if calls and self._chat:
            said = {"message": _message("") | {"tool_calls": calls}}
            out.append(self._line(at, _ENCODE(said)[1:-1]))

    def _take(self, event: ChatEvent) -> list[dict[str, Any]]:
        """Take what is no text; return the call that is whole with it."""
        match event:
            case BlockStarted(kind="tool_call"):
                self._calls.begin(event)
            case ToolCallDelta(arguments):
                self._calls.more(arguments)
            case BlockEnded():
                return self._calls.end()
            case Finished(reason):
                self._reason = reason
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass  # nothing this dialect has a word for
        return []

    def _whole(self, at: bytes, said: dict[str, Any], now: float) -> dict[str, Any]:
        """The last line's object, or the only one."""
        first = self._first or 0.0
        usage = self._usage
        line = {"model": self._asked.model, "created_at": at.decode(), **said, "done": True}
        line["done_reason"] = _REASONS.get(self._reason, "stop")
        line |= {"total_duration": _nano(now), "load_duration": 0}
        if usage is not None and usage.prompt is not None:
            line["prompt_eval_count"] = usage.prompt
        line["prompt_eval_duration"] = _nano(first)
        if usage is not None and usage.output is not None:
            line["eval_count"] = usage.output
        line["eval_duration"] = _nano(now - first)
        return line


class _Calls:
    """The call that is being written. The dialect knows only whole ones."""

    def __init__(self, stamp: Stamp) -> None:
        self._id = stamp.id.replace("-", "")[:16]
        self._count = 0
        self._call: BlockStarted | None = None
        self._arguments: list[str] = []

    def begin(self, call: BlockStarted) -> None:
        self._call = call
        self._arguments.clear()

    def more(self, piece: str) -> None:
        self._arguments.append(piece)

    def end(self) -> list[dict[str, Any]]:
        call, self._call = self._call, None
        if call is None:
            return []
        index = self._count
        self._count += 1
        function = {
            "index": index,
            "name": call.tool_name,
            "arguments": as_object("".join(self._arguments)),
        }
        return [{"id": call.tool_id or f"call_{self._id}_{index}", "function": function}]


def created_at(seconds: float) -> bytes:
    """Return Unix time as the dialect writes it: RFC 3339, UTC, with a fraction."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def loaded_reply(asked: Asking, stamp: Stamp) -> HttpReply:
    """Answer a request that asks nothing: it loads a model, or with ``keep_alive: 0`` unloads it.

    Source: https://docs.ollama.com/faq
    """
    generates = isinstance(asked, OllamaGenerateRequest)
    said: dict[str, Any] = {"response": ""} if generates else {"message": _message("")}
    reason = "unload" if asked.unloads else "load"
    line = {"model": asked.model, "created_at": created_at(stamp.created).decode(), **said}
    return HttpReply(200, WHOLE_HEADERS, _ENCODE(line | {"done": True, "done_reason": reason}))


def _message(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _logprobs(event: LogprobsReported) -> list[dict[str, Any]]:
    return [_likely(token) for token in (*event.text, *event.refusal)]


def _likely(token: TokenLogprob) -> dict[str, Any]:
    shown: dict[str, Any] = {"token": token.token, "logprob": token.logprob}
    if token.bytes is not None:
        shown["bytes"] = list(token.bytes)
    if token.top:
        shown["top_logprobs"] = [_likely(other) for other in token.top]
    return shown


def _nano(seconds: float) -> int:
    return max(1, int(seconds * _NANO))  # clients divide by it
