"""Client side, the reply: canonical events → chunks of a stream, or one whole object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_object
from chatgpt_to_api.dialects.openai.replies import STREAM_HEADERS
from chatgpt_to_api.dialects.openai.usage import usage_object
from chatgpt_to_api.dialects.openai_chat.door_request import DIALECT
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


class ChatReplyEncoder:
    """Encodes one reply. Every chunk has the same id, time and model."""

    __slots__ = (
        "_calls",
        "_choices",
        "_head",
        "_id",
        "_include_usage",
        "_model",
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
            if texts:
                self._text(out, speaking, texts)
            self._other(out, event)
        if texts:
            self._text(out, speaking, texts)
        return b"".join(out)

    def end(self) -> bytes:
        """Return the usage chunk, where it was asked for and is known, and the stream's end."""
        usage = usage_object(self._usage) if self._include_usage else None
        if usage is None:
            return _DONE
        return self._begin() + b'],"usage":' + _ENCODE(usage) + b"}\n\n" + _DONE

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
                case Started(model):
                    self._model = model or self._model
                case UsageReported(usage):
                    self._usage = usage
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
            "choices": [whole[index].encoded(self._calls) for index in sorted(whole)],
            "usage": usage_object(self._usage),
        }
        return HttpReply(200, _JSON, _ENCODE(reply))

    # -- chunks ------------------------------------------------------------------------------

    def _begin(self) -> bytes:
        """Return a chunk's beginning, up to what stands in ``choices``."""
        if not self._head:
            self._head = (
                b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,'
                b'"model":%b,"choices":['
                % (self._id.encode(), self._stamp.created, _ENCODE(self._model))
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

    def _other(self, out: list[bytes], event: ChatEvent) -> None:
        match event:
            case ReasoningDelta(text, index, opaque):
                delta = _reasoning([text], [opaque])
                self._choice(out, index).delta(out, _ENCODE(delta))
            case RefusalDelta(text, index):
                self._choice(out, index).delta(out, _ENCODE({"refusal": text}))
            case BlockStarted(kind="tool_call"):
                choice = self._choice(out, event.choice)
                choice.begin_call(out, event, self._id, self._calls)
            case ToolCallDelta(arguments, index):
                self._choice(out, index).arguments(out, arguments, self._calls)
            case BlockEnded(choice=index):
                ended = self._choices.get(index)
                if ended is not None:
                    ended.end_call(out, self._calls)
            case Finished(reason, index):
                prefix = self._choice(out, index).prefix
                out += (prefix, _FINISHED, _ENCODE(_reason(reason, self._calls)), self._tail)
            case Started(model):
                self._model = model or self._model
            case UsageReported(usage):
                self._usage = usage


class _Choice:
    """One choice of a stream: the bytes around its deltas, and the calls it has made."""

    __slots__ = ("_awaits_arguments", "_calls", "prefix", "suffix")

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self._calls = 0
        self._awaits_arguments = False

    def delta(self, out: list[bytes], delta: bytes) -> None:
        out += (self.prefix, delta, self.suffix)

    def begin_call(self, out: list[bytes], event: BlockStarted, reply: str, calls: Calls) -> None:
        """The first piece of a call, and only this one, has its id, type and name."""
        self._calls += 1
        self._awaits_arguments = True
        function = {"name": event.tool_name, "arguments": ""}
        if calls == "function_call":
            if self._calls == 1:
                self.delta(out, _ENCODE({"function_call": function}))
            return
        index = self._calls - 1
        call = {
            "index": index,
            "id": event.tool_id or _call_id(reply, event.choice, index),
            "type": "function",
            "function": function,
        }
        self.delta(out, _ENCODE({"tool_calls": [call]}))

    def arguments(self, out: list[bytes], piece: str, calls: Calls) -> None:
        self._awaits_arguments = False
        if calls == "function_call":
            if self._calls == 1:
                self.delta(out, _ENCODE({"function_call": {"arguments": piece}}))
            return
        call = {"index": self._calls - 1, "function": {"arguments": piece}}
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
        self._calls: list[tuple[str, str, list[str]]] = []
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
                call_id = event.tool_id or _call_id(self._reply, self._index, len(self._calls))
                self._calls.append((call_id, event.tool_name, []))
            case ToolCallDelta(arguments):
                self._calls[-1][2].append(arguments)
            case Finished(reason):
                self._finish = reason
            case _:
                pass

    def encoded(self, calls: Calls) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text or (None if self._calls or self._refusal else ""),
            "refusal": "".join(self._refusal) or None,
        }
        message |= _reasoning(self._thoughts, self._opaque)
        made = [
            (call_id, {"name": name, "arguments": "".join(arguments) or "{}"})
            for call_id, name, arguments in self._calls
        ]
        if made and calls == "function_call":
            message["function_call"] = made[0][1]
        elif made:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": function}
                for call_id, function in made
            ]
        return {
            "index": self._index,
            "message": message,
            "logprobs": None,
            "finish_reason": _reason(self._finish, calls),
        }


def _call_id(reply: str, choice: int, call: int) -> str:
    """Name a call that its upstream gave no id: unique, because the reply's id is."""
    return f"call_{reply[:24]}_{choice}_{call}"


def _reason(reason: FinishReason, calls: Calls) -> str:
    return calls if reason == "tool_calls" else reason


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
