"""Client side, the reply: canonical events → ``text_completion`` chunks, or one whole object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import (
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    RefusalDelta,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_object
from chatgpt_to_api.dialects.openai.replies import STREAM_HEADERS
from chatgpt_to_api.dialects.openai.usage import usage_object
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = ((b"content-type", b"application/json"),)
_DONE: Final = b"data: [DONE]\n\n"


class CompletionReplyEncoder:
    """Encodes one reply. A text is all it has a word for: thoughts are left out, refusals said.

    ``echoed`` has what stands before each choice's text, or nothing at all.
    """

    def __init__(self, asked: Asked, stamp: Stamp, echoed: Sequence[str]) -> None:
        self._stamp = stamp
        self._model = asked.model
        self._include_usage = asked.include_usage
        self._echoed = echoed
        self._usage: Usage | None = None
        self._begun: set[int] = set()

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the chunks of all events of one read."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta(text, index) | RefusalDelta(text, index):
                    out.append(self._chunk(index, self._after_echo(index) + text, None))
                case Finished(reason, index):
                    out.append(self._chunk(index, self._after_echo(index), _reason(reason)))
                case Started(model):
                    self._model = model or self._model
                case UsageReported(usage):
                    self._usage = usage
                case _:
                    pass
        return b"".join(out)

    def end(self) -> bytes:
        """Return the usage chunk, where it was asked for and is known, and the stream's end."""
        usage = usage_object(self._usage) if self._include_usage else None
        if usage is None:
            return _DONE
        return b"data: %b\n\n" % _ENCODE({**self._object([]), "usage": usage}) + _DONE

    def keep_alive(self) -> bytes:
        """Return a comment, which no client sees."""
        return b": keep-alive\n\n"

    def failure(self, error: GatewayError) -> bytes:
        """Return the error as an event. Nothing follows it, ``[DONE]`` neither."""
        return b"data: " + error_object(error) + b"\n\n"

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one object."""
        texts: dict[int, list[str]] = {}
        reasons: dict[int, str] = {}
        for event in events:
            match event:
                case TextDelta(text, index) | RefusalDelta(text, index):
                    texts.setdefault(index, []).append(text)
                case Finished(reason, index):
                    texts.setdefault(index, [])
                    reasons[index] = _reason(reason)
                case Started(model):
                    self._model = model or self._model
                case UsageReported(usage):
                    self._usage = usage
                case Failed(error):
                    return HttpReply(error.status, _JSON, error_object(error))
                case _:
                    pass
        choices = [
            _choice(
                index, self._after_echo(index) + "".join(texts[index]), reasons.get(index, "stop")
            )
            for index in sorted(texts)
        ]
        reply = {**self._object(choices), "usage": usage_object(self._usage)}
        return HttpReply(200, _JSON, _ENCODE(reply))

    def _after_echo(self, index: int) -> str:
        """Return what has to come before a choice's first text."""
        if index in self._begun:
            return ""
        self._begun.add(index)
        return self._echoed[index] if self._echoed else ""

    def _chunk(self, index: int, text: str, reason: str | None) -> bytes:
        return b"data: %b\n\n" % _ENCODE(self._object([_choice(index, text, reason)]))

    def _object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"cmpl-{self._stamp.id.replace('-', '')}",
            "object": "text_completion",
            "created": self._stamp.created,
            "model": self._model,
            "choices": choices,
        }


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


def _reason(reason: FinishReason) -> str:
    return "stop" if reason in ("tool_calls", "pause") else reason
