"""Client side, the reply: canonical events → chunks of a stream, or one whole object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

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
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_object
from chatgpt_to_api.dialects.openai.replies import STREAM_HEADERS
from chatgpt_to_api.dialects.openai.usage import usage_object
from chatgpt_to_api.dialects.openai_chat.extra_content import extra_content
from chatgpt_to_api.dialects.openai_chat.messages import DIALECT
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

Calls: TypeAlias = Literal["tool_calls", "function_call"]
"""How the client wants calls: today's list, or the one call of the time before it."""

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = ((b"content-type", b"application/json"),)
_DONE: Final = b"data: [DONE]\n\n"
_GOES_ON: Final = b',"logprobs":null,"finish_reason":null'
_FINISHED: Final = b'{},"logprobs":null,"finish_reason":'
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class ChatReplyEncoder:
    """Encodes one reply. Every chunk has the same id, time and model."""

    __slots__ = (
        "_calls",
        "_choices",
        "_head",
        "_id",
        "_include_usage",
        "_model",
        "_noted",
        "_said",
        "_stamp",
        "_tail",
        "_usage",
    )

    def __init__(self, asked: Asked, stamp: Stamp, *, calls: Calls = "tool_calls") -> None:
        self._stamp = stamp
        self._id = stamp.id.replace("-", "")
        self._model = asked.model
        self._calls: Calls = calls
        self._include_usage = asked.include_usage
        self._usage: Usage | None = None
        self._said: dict[str, str] = {}  # of what answers under the model's name
        self._noted: dict[str, Raw] = {}  # of the whole reply, at its end
        self._choices: dict[int, _Choice] = {}
        self._head = b""
        # A client that wants usage finds the field in every chunk, null but in the last.
        self._tail = b'}],"usage":null}\n\n' if asked.include_usage else b"}]}\n\n"

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the chunks of all events of one read; adjacent texts of a choice share one."""
        out: list[bytes] = []
        texts: list[str] = []
        speaking = 0  # the choice whose texts are being collected
        for event in events:
            if type(event) is TextDelta:
                if texts and event.choice != speaking:
                    self._text(out, speaking, texts)
                speaking = event.choice
                texts.append(event.text)
                continue
            if type(event) is LogprobsReported:
                self._logprobs(out, event, texts if event.choice == speaking else [])
                continue
            if texts:
                self._text(out, speaking, texts)
            self._other(out, event)
        if texts:
            self._text(out, speaking, texts)
        return b"".join(out)

    def end(self) -> bytes:
        """Return the usage chunk, where it was asked for and is known, and the stream's end."""
        usage = usage_object(self._usage) if self._include_usage else None
        if usage is None and not self._noted:
            return _DONE
        last: dict[str, Any] = {"usage": usage} if self._include_usage else {}
        return self._begin() + b"]," + _ENCODE(last | self._noted)[1:] + b"\n\n" + _DONE

    def keep_alive(self) -> bytes:
        """Return a comment, which no client sees."""
        return b": keep-alive\n\n"

    def failure(self, error: GatewayError) -> bytes:
        """Return the error as an event. Nothing follows it, ``[DONE]`` neither."""
        return b"data: " + error_object(error) + b"\n\n"

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one object."""
        whole: dict[int, _WholeChoice] = {}
        for event in events:
            match event:
                case Started():
                    self._started(event)
                case UsageReported(usage):
                    self._usage = usage
                case ReplyNoted(fields):
                    self._note(fields)
                case Failed(error):
                    return HttpReply(error.status, _JSON, error_object(error))
                case _:
                    choice = whole.get(event.choice)
                    if choice is None:
                        choice = whole[event.choice] = _WholeChoice(event.choice, self._id)
                    choice.take(event)
        reply: dict[str, Any] = {
            "id": f"chatcmpl-{self._id}",
            "object": "chat.completion",
            "created": self._stamp.created,
            "model": self._model,
            **self._said,
            "choices": [whole[index].encoded(self._calls) for index in sorted(whole)],
            "usage": usage_object(self._usage),
            **self._noted,
        }
        return HttpReply(200, _JSON, _ENCODE(reply))

    # -- chunks ------------------------------------------------------------------------------

    def _begin(self) -> bytes:
        """Return a chunk's beginning, up to what stands in ``choices``."""
        if not self._head:
            said = b"".join(b'"%b":%b,' % (n.encode(), _ENCODE(v)) for n, v in self._said.items())
            self._head = (
                b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,'
                b'"model":%b,%b"choices":['
                % (self._id.encode(), self._stamp.created, _ENCODE(self._model), said)
            )
        return self._head

    def _choice(self, out: list[bytes], index: int) -> _Choice:
        """Return a choice's state; its first chunk tells who speaks."""
        choice = self._choices.get(index)
        if choice is None:
            prefix = self._begin() + b'{"index":%d,"delta":' % index
            choice = self._choices[index] = _Choice(prefix, _GOES_ON + self._tail)
            choice.delta(out, b'{"role":"assistant","content":"","refusal":null}')
        return choice

    def _text(self, out: list[bytes], index: int, texts: list[str]) -> None:
        choice = self._choice(out, index)
        text = texts[0] if len(texts) == 1 else "".join(texts)
        out += (choice.prefix, b'{"content":', _ENCODE(text), b"}", choice.suffix)
        texts.clear()

    def _logprobs(self, out: list[bytes], event: LogprobsReported, texts: list[str]) -> None:
        """Encode how probable tokens were, with the text they are of where it is still here."""
        choice = self._choice(out, event.choice)
        delta = {"content": "".join(texts)} if texts else {}
        out += (choice.prefix, _ENCODE(delta), b',"logprobs":', _ENCODE(_logprobs([event])))
        out += (b',"finish_reason":null', self._tail)
        texts.clear()

    def _started(self, event: Started) -> None:
        self._model = event.model or self._model
        if event.service_tier or event.fingerprint:
            said = {"service_tier": event.service_tier, "system_fingerprint": event.fingerprint}
            self._said = {name: value for name, value in said.items() if value}

    def _note(self, fields: Opaque) -> None:
        if fields.dialect == DIALECT:
            self._noted |= _RAW_OBJECT.decode(fields.data)

    def _other(self, out: list[bytes], event: ChatEvent) -> None:
        match event:  # in the order of how often they come
            case Started():
                self._started(event)
            case BlockStarted():
                if event.kind == "tool_call":
                    choice = self._choice(out, event.choice)
                    choice.begin_call(out, event, self._id, self._calls)
            case BlockEnded(choice=index):
                ended = self._choices.get(index)
                if ended is not None:
                    ended.end_call(out, self._calls)
            case Finished(reason, index):
                prefix = self._choice(out, index).prefix
                out += (prefix, _FINISHED, _ENCODE(_reason(reason, self._calls)), self._tail)
            case UsageReported(usage):
                self._usage = usage
            case ReasoningDelta(text, index, opaque):
                delta = _reasoning([text], [opaque])
                self._choice(out, index).delta(out, _ENCODE(delta))
            case ToolCallDelta(arguments, index):
                self._choice(out, index).arguments(out, arguments, self._calls)
            case RefusalDelta(text, index):
                self._choice(out, index).delta(out, _ENCODE({"refusal": text}))
            case AudioDelta():
                delta = {"audio": _audio([event])}
                self._choice(out, event.choice).delta(out, _ENCODE(delta))
            case Annotated(note, index):
                notes = _annotations([note])
                if notes:
                    self._choice(out, index).delta(out, _ENCODE({"annotations": notes}))
            case ReplyNoted(fields):
                self._note(fields)


class _Choice:
    """One choice of a stream: the bytes around its deltas, and the calls it has made."""

    __slots__ = ("_awaits_arguments", "_calls", "_freeform", "prefix", "suffix")

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self._calls = 0
        self._awaits_arguments = False
        self._freeform = False

    def delta(self, out: list[bytes], delta: bytes) -> None:
        out += (self.prefix, delta, self.suffix)

    def begin_call(self, out: list[bytes], event: BlockStarted, reply: str, calls: Calls) -> None:
        """The first piece of a call, and only this one, has its id, type and name."""
        self._calls += 1
        self._freeform = event.freeform
        self._awaits_arguments = not event.freeform
        function = {"name": event.tool_name, "arguments": ""}
        if calls == "function_call":
            if self._calls == 1:
                self.delta(out, _ENCODE({"function_call": function}))
            return
        index = self._calls - 1
        call = {
            "index": index,
            "id": event.tool_id or _call_id(reply, event.choice, index),
            **_called(event, ""),
        }
        self.delta(out, _ENCODE({"tool_calls": [call]}))

    def arguments(self, out: list[bytes], piece: str, calls: Calls) -> None:
        self._awaits_arguments = False
        if calls == "function_call":
            if self._calls == 1:
                self.delta(out, _ENCODE({"function_call": {"arguments": piece}}))
            return
        call: dict[str, Any] = {"index": self._calls - 1}
        if self._freeform:
            call["custom"] = {"input": piece}
        else:
            call["function"] = {"arguments": piece}
        self.delta(out, _ENCODE({"tool_calls": [call]}))

    def end_call(self, out: list[bytes], calls: Calls) -> None:
        """Clients parse the arguments, and nothing is no JSON."""
        if self._awaits_arguments:
            self.arguments(out, "{}", calls)


class _WholeChoice:
    """One choice of a whole reply, collected."""

    def __init__(self, index: int, reply: str) -> None:
        self._index = index
        self._reply = reply
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._thoughts: list[str] = []
        self._opaque: list[Opaque | None] = []
        self._calls: list[tuple[BlockStarted, list[str]]] = []
        self._sound: list[AudioDelta] = []
        self._notes: list[Citation | Opaque] = []
        self._logprobs: list[LogprobsReported] = []
        self._finish: FinishReason = "stop"

    def take(self, event: ChatEvent) -> None:
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text, opaque=opaque):
                self._thoughts.append(text)
                self._opaque.append(opaque)
            case RefusalDelta(text):
                self._refusal.append(text)
            case BlockStarted(kind="tool_call"):
                self._calls.append((event, []))
            case ToolCallDelta(arguments):
                self._calls[-1][1].append(arguments)
            case AudioDelta():
                self._sound.append(event)
            case Annotated(note):
                self._notes.append(note)
            case LogprobsReported():
                self._logprobs.append(event)
            case Finished(reason):
                self._finish = reason
            case _:
                pass

    def encoded(self, calls: Calls) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text or (None if self._calls or self._refusal or self._sound else ""),
            "refusal": "".join(self._refusal) or None,
        }
        message |= _reasoning(self._thoughts, self._opaque)
        if self._sound:
            message["audio"] = _audio(self._sound)
        notes = _annotations(self._notes)
        if notes:
            message["annotations"] = notes
        if self._calls and calls == "function_call":
            call, arguments = self._calls[0]
            message["function_call"] = {
                "name": call.tool_name,
                "arguments": "".join(arguments) or "{}",
            }
        elif self._calls:
            message["tool_calls"] = [
                {
                    "id": call.tool_id or _call_id(self._reply, self._index, index),
                    **_called(call, "".join(arguments) or ("" if call.freeform else "{}")),
                }
                for index, (call, arguments) in enumerate(self._calls)
            ]
        return {
            "index": self._index,
            "message": message,
            "logprobs": _logprobs(self._logprobs),
            "finish_reason": _reason(self._finish, calls),
        }


def _call_id(reply: str, choice: int, call: int) -> str:
    """Name a call that its upstream gave no id: unique, because the reply's id is."""
    return f"call_{reply[:24]}_{choice}_{call}"


def _called(call: BlockStarted, arguments: str) -> dict[str, Any]:
    """Return what a call is, with all of its arguments, or in a stream with none of them yet."""
    if call.freeform:
        fields: dict[str, Any] = {
            "type": "custom",
            "custom": {"name": call.tool_name, "input": arguments},
        }
    else:
        fields = {
            "type": "function",
            "function": {"name": call.tool_name, "arguments": arguments},
        }
    extra = extra_content(call.opaque)
    if extra is not None:
        fields["extra_content"] = extra
    return fields


def _audio(pieces: Sequence[AudioDelta]) -> dict[str, Any]:
    """Return a spoken answer; what was never said of it is left out."""
    fields: dict[str, Any] = {}
    for piece in pieces:
        if piece.id:
            fields["id"] = piece.id
        if piece.expires_at is not None:
            fields["expires_at"] = piece.expires_at
    data = "".join(piece.data for piece in pieces)
    transcript = "".join(piece.transcript for piece in pieces)
    if data:
        fields["data"] = data
    if transcript:
        fields["transcript"] = transcript
    return fields


def _annotations(notes: Sequence[Citation | Opaque]) -> list[Any]:
    """Return the notes that this dialect has a form for."""
    found: list[Any] = []
    for note in notes:
        if isinstance(note, Citation):
            page: dict[str, Any] = {"url": note.url, "title": note.title}
            if note.start is not None and note.end is not None:
                page |= {"start_index": note.start, "end_index": note.end}
            found.append({"type": "url_citation", "url_citation": page})
        elif note.dialect == DIALECT:
            found.append(Raw(note.data.encode()))
    return found


def _logprobs(reported: Sequence[LogprobsReported]) -> dict[str, Any] | None:
    if not reported:
        return None
    text = [_likely(token) for event in reported for token in event.text]
    refusal = [_likely(token) for event in reported for token in event.refusal]
    return {"content": text or None, "refusal": refusal or None}


def _likely(token: TokenLogprob) -> dict[str, Any]:
    top = [{"token": t.token, "logprob": t.logprob, "bytes": t.bytes} for t in token.top]
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": token.bytes,
        "top_logprobs": top,
    }


def _reason(reason: FinishReason, calls: Calls) -> str:
    match reason:
        case "tool_calls":
            return calls
        case "pause":
            return "stop"
    return reason


def _reasoning(thoughts: Sequence[str], opaque: Sequence[Opaque | None]) -> dict[str, Any]:
    """Return the fields that carry thoughts; a part of this dialect's own goes back as it came."""
    fields: dict[str, Any] = {}
    text = "".join(thoughts)
    if text:
        fields["reasoning_content"] = text
    details = [
        detail
        for part in opaque
        if part is not None and part.dialect == DIALECT
        for detail in _RAW_LIST.decode(part.data)
    ]
    if details:
        fields["reasoning_details"] = details
    return fields
