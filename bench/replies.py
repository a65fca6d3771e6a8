"""The replies the benchmark's upstream plays: the same answer in every protocol's shape."""

from __future__ import annotations

import json
from typing import Any

EVENTS = 100
"""Events of one streamed reply."""

WORDS = "The tide turns twice a day and nobody has to wind it up, which is why clocks envy it. "


def pieces(count: int = EVENTS) -> list[str]:
    """``count`` pieces of text, a few letters each, as a model streams them."""
    words = (WORDS * (count // 10 + 2)).split(" ")
    return [f" {word}" for word in words[:count]]


def chat_reply() -> bytes:
    """A chat completion that is not streamed."""
    reply = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(pieces(40))},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 48, "total_tokens": 60},
    }
    return json.dumps(reply).encode()


def chat_events(count: int = EVENTS) -> list[bytes]:
    """A streamed chat completion of ``count`` content events, its usage and [DONE]."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        data = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "bench-model",
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    def delta(value: dict[str, Any], finish: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": value, "finish_reason": finish}])

    usage = {"prompt_tokens": 12, "completion_tokens": count, "total_tokens": 12 + count}
    return [
        delta({"role": "assistant", "content": ""}),
        *(delta({"content": piece}) for piece in pieces(count)),
        delta({}, "stop"),
        chunk([], usage=usage),
        b"data: [DONE]\n\n",
    ]


def _message(text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "a94f2c07-31d8-4be5-8c6f-0e57d9b3a218",
        "author": {"role": "assistant", "name": None, "metadata": {}},
        "create_time": 1697031001.25,
        "update_time": None,
        "content": {"content_type": "text", "parts": [text]},
        "status": "in_progress",
        "end_turn": None,
        "weight": 1.0,
        "metadata": {"message_type": "next", "model_slug": "text-davinci-002-render-sha"},
        "recipient": "all",
        **more,
    }


_CONVERSATION = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"
_DONE = {
    "status": "finished_successfully",
    "end_turn": True,
    "metadata": {
        "message_type": "next",
        "model_slug": "text-davinci-002-render-sha",
        "finish_details": {"type": "stop"},
    },
}


def snapshot_events(count: int = EVENTS) -> list[bytes]:
    """A conversation reply in cumulative snapshots."""

    def event(message: dict[str, Any]) -> bytes:
        data = {"message": message, "conversation_id": _CONVERSATION, "error": None}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    text = ""
    events = [event(_message(""))]
    for piece in pieces(count):
        text += piece
        events.append(event(_message(text)))
    return [*events, event(_message(text, **_DONE)), b"data: [DONE]\n\n"]


def delta_events(count: int = EVENTS) -> list[bytes]:
    """The same reply in delta encoding v1."""

    def event(data: Any) -> bytes:
        return b"event: delta\ndata: " + json.dumps(data).encode() + b"\n\n"

    root = {"message": _message(""), "conversation_id": _CONVERSATION, "error": None}
    first, *rest = pieces(count)
    end = [
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
        {"p": "/message/end_turn", "o": "replace", "v": True},
        {"p": "/message/metadata", "o": "append", "v": {"finish_details": {"type": "stop"}}},
    ]
    complete = {"type": "message_stream_complete", "conversation_id": _CONVERSATION}
    return [
        b'event: delta_encoding\ndata: "v1"\n\n',
        event({"p": "", "o": "add", "v": root, "c": 0}),
        event({"p": "/message/content/parts/0", "o": "append", "v": first}),
        *(event({"v": piece}) for piece in rest),
        event({"p": "", "o": "patch", "v": end}),
        b"data: " + json.dumps(complete).encode() + b"\n\n",
        b"data: [DONE]\n\n",
    ]
