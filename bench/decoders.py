"""CPU time of the conversation decoder, per reply of 100 events and per paced event.

Run it with the project's Python: ``.venv/bin/python bench/decoders.py``. A burst is fed in reads of
64 KiB, as a socket gives it; a paced event is alone in its read. The best of several rounds counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.dialects.conversation.decoder import ConversationDecoder
from chatgpt_to_api.wire.http import ReplyHead

EVENTS = 100
READ = 64 * 1024
REQUEST = ChatRequest(model="gpt-4", messages=(Message("user", (Text("hi"),)),))
HEAD = ReplyHead(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
MESSAGE = "a94f2c07-31d8-4be5-8c6f-0e57d9b3a218"
CONVERSATION = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"
WORDS = [" tide", " turns", ' "twice"', " a", "\nday", " and", " the", " moon", " —", " pulls"]
PIECES = [WORDS[n % len(WORDS)] for n in range(EVENTS)]


def event(value: object, name: str = "") -> bytes:
    """One server-sent event."""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


def root(text: str, **fields: Any) -> dict[str, Any]:
    """A message event as backends send it, about 500 bytes without its text."""
    metadata = {"message_type": "next", "model_slug": "gpt-4", "parent_id": MESSAGE}
    metadata |= fields.pop("metadata", {})
    message = {
        "id": MESSAGE,
        "author": {"role": "assistant", "name": None, "metadata": {}},
        "create_time": 1697031001.25,
        "update_time": None,
        "content": {"content_type": "text", "parts": [text]},
        "status": "in_progress",
        "end_turn": None,
        "weight": 1.0,
        "metadata": metadata,
        "recipient": "all",
    }
    return {"message": message | fields, "conversation_id": CONVERSATION, "error": None}


def texts() -> list[str]:
    """The growing text."""
    return ["".join(PIECES[: n + 1]) for n in range(EVENTS)]


def snapshots() -> list[bytes]:
    """v0: every event repeats the text so far."""
    ends = {"status": "finished_successfully", "end_turn": True}
    finish = {"finish_details": {"type": "stop"}, "is_complete": True}
    last = root("".join(PIECES), metadata=finish, **ends)
    return [*(event(root(text)) for text in texts()), event(last), b"data: [DONE]\n\n"]


def restless_snapshots() -> list[bytes]:
    """v0 where a time changes in every event, so that no event resembles the one before."""
    return [
        *(event(root(text, update_time=n + 0.5)) for n, text in enumerate(texts())),
        b"data: [DONE]\n\n",
    ]


def deltas(form: Callable[[str], dict[str, Any]]) -> list[bytes]:
    """v1: one message to which ``form`` of every piece appends."""
    delta = "event: delta\n"
    first = {"p": "/message/content/parts/0", "o": "append", "v": PIECES[0]}
    done = [
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
        {"p": "/message/end_turn", "o": "replace", "v": True},
        {"p": "/message/metadata", "o": "append", "v": {"finish_details": {"type": "stop"}}},
    ]
    return [
        b'event: delta_encoding\ndata: "v1"\n\n',
        event({"p": "", "o": "add", "v": root(""), "c": 0}, delta),
        event(first, delta),
        *(event(form(piece), delta) for piece in PIECES[1:]),
        event({"p": "", "o": "patch", "v": done}, delta),
        event({"type": "message_stream_complete", "conversation_id": CONVERSATION}),
        b"data: [DONE]\n\n",
    ]


def bare(piece: str) -> dict[str, Any]:
    """The usual form."""
    return {"v": piece}


def full(piece: str) -> dict[str, Any]:
    """Path and operation repeated each time."""
    return {"p": "/message/content/parts/0", "o": "append", "v": piece}


def batch(piece: str) -> dict[str, Any]:
    """A batch that counts tokens beside the text: no lane fits it."""
    count = {"p": "/message/metadata/token_count", "o": "replace", "v": 5}
    return {"p": "", "o": "patch", "v": [full(piece), count]}


def decode(chunks: list[bytes]) -> str:
    """Decode one reply; return its text."""
    decoder = ConversationDecoder(REQUEST, HEAD)
    feed = decoder.feed
    for chunk in chunks:
        feed(chunk)
    assert decoder.done
    assert decoder.fault is None
    return decoder.text


def microseconds(chunks: list[bytes], rounds: int = 60, times: int = 10) -> float:
    """CPU time of decoding one reply, the best round's mean."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            decode(chunks)
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def main() -> None:
    """Print a line for each shape of stream."""
    shapes = {
        "v0 snapshots": snapshots(),
        "v0, every envelope different": restless_snapshots(),
        "v1 bare values": deltas(bare),
        "v1 path repeated": deltas(full),
        "v1 batches": deltas(batch),
    }
    print(f"{'shape':32}{'bytes':>9}{'burst µs/reply':>17}{'paced µs/event':>17}")
    for name, events in shapes.items():
        data = b"".join(events)
        assert decode([data]) == "".join(PIECES)
        burst = microseconds([data[at : at + READ] for at in range(0, len(data), READ)])
        paced = microseconds(events) / len(events)
        print(f"{name:32}{len(data):9}{burst:17.1f}{paced:17.2f}")


if __name__ == "__main__":
    main()
