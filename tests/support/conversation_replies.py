"""Replies of a conversation backend: builders of events, and what a decoder made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.dialects.conversation.decoder import ConversationDecoder
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import ReplyHead

MESSAGE = "a94f2c07-31d8-4be5-8c6f-0e57d9b3a218"
CONVERSATION = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"
DONE = b"data: [DONE]\n\n"
_USUAL = re.compile(rb"^data: ?(?=\{)", re.MULTILINE)
ASKED = ChatRequest(model="gpt-4", messages=(Message("user", (Text("hi"),)),))


def event(value: object, *, name: str = "", indent: str = " ") -> bytes:
    """One server-sent event whose data is ``value`` as JSON; ``indent`` "" writes it compact."""
    text = json.dumps(value, separators=(f",{indent}", f":{indent}"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def message(text: str | None = "", **fields: Any) -> dict[str, Any]:
    """The root of a v0 event: an assistant's message with ``text``; ``fields`` replace its keys."""
    changed = dict(fields)
    metadata = changed.pop("metadata", {})
    root = {
        "message": {
            "id": MESSAGE,
            "author": {"role": "assistant", "name": None, "metadata": {}},
            "create_time": 1697031001.25,
            "update_time": None,
            "content": {"content_type": "text", "parts": [] if text is None else [text]},
            "status": "in_progress",
            "end_turn": None,
            "weight": 1.0,
            "metadata": {"message_type": "next", "model_slug": "gpt-4", **metadata},
            "recipient": "all",
        },
        "conversation_id": CONVERSATION,
        "error": None,
    }
    for key in ("conversation_id", "error"):
        if key in changed:
            root[key] = changed.pop(key)
    if "role" in changed:
        root["message"]["author"]["role"] = changed.pop("role")  # type: ignore[index]
    root["message"].update(changed)  # type: ignore[union-attr]
    return root


def final(text: str, kind: str = "stop", **fields: Any) -> dict[str, Any]:
    """The last snapshot of a message."""
    metadata = {"finish_details": {"type": kind}, "is_complete": True, **fields.pop("metadata", {})}
    ends = {"status": "finished_successfully", "end_turn": True, **fields}
    return message(text, metadata=metadata, **ends)


def snapshots(*texts: str, **fields: Any) -> bytes:
    """Growing snapshots of one message, the last one final, and ``[DONE]``."""
    *growing, last = texts
    running = b"".join(event(message(text, **fields)) for text in growing)
    return running + event(final(last, **fields)) + DONE


def op(v: object = ..., p: str | None = None, o: str | None = None, c: object = None) -> bytes:
    """One v1 event."""
    fields = {"p": p, "o": o, "c": c}
    value = {key: found for key, found in fields.items() if found is not None}
    return event(value if v is ... else {**value, "v": v}, name="delta")


V1 = b'event: delta_encoding\ndata: "v1"\n\n'
TEXT_PATH = "/message/content/parts/0"
V1_END = op(
    [
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
        {"p": "/message/end_turn", "o": "replace", "v": True},
        {"p": "/message/metadata", "o": "append", "v": {"finish_details": {"type": "stop"}}},
    ],
    p="",
    o="patch",
)


def deltas(*pieces: str) -> bytes:
    """A v1 reply: one message to which ``pieces`` are appended, and its end."""
    opened = V1 + op(message(""), p="", o="add", c=0)
    first, *more = pieces
    appended = op(first, p=TEXT_PATH, o="append") + b"".join(op(piece) for piece in more)
    return opened + appended + V1_END + DONE


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at the given places."""
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


def bytewise(data: bytes) -> list[bytes]:
    """``data`` byte by byte."""
    return [data[at : at + 1] for at in range(len(data))]


class Decoded:
    """What a decoder made of a reply: its events, and what they say together."""

    def __init__(self, decoder: ConversationDecoder, events: list[ChatEvent]) -> None:
        self.decoder = decoder
        self.events = events

    @property
    def said(self) -> str:
        """The joined text deltas: what a streaming client has."""
        return "".join(e.text for e in self.events if isinstance(e, TextDelta))

    @property
    def text(self) -> str:
        """What a client that collects the reply has."""
        revised = self.decoder.revised
        return self.said if revised is None else revised

    @property
    def thought(self) -> str:
        """The joined reasoning deltas."""
        return "".join(e.text for e in self.events if isinstance(e, ReasoningDelta))

    @property
    def reason(self) -> str | None:
        """Why it finished, None where it failed."""
        reasons = [e.reason for e in self.events if isinstance(e, Finished)]
        return reasons[0] if reasons else None

    @property
    def error(self) -> GatewayError | None:
        """The error it failed with."""
        errors = [e.error for e in self.events if isinstance(e, Failed)]
        return errors[0] if errors else None

    @property
    def outline(self) -> list[tuple[object, ...]]:
        """The events, pieces of one kind that follow each other joined, and the attributes."""
        found: list[tuple[object, ...]] = []
        for e in self.events:
            if isinstance(e, TextDelta | ReasoningDelta):
                kind = type(e).__name__
                if found and found[-1][0] == kind:
                    found[-1] = (kind, f"{found[-1][1]}{e.text}")
                else:
                    found.append((kind, e.text))
            elif isinstance(e, Failed):
                found.append(("Failed", type(e.error).__name__, e.error.code))
            else:
                found.append((e,))
        return [
            *found,
            ("text", self.decoder.text),
            ("revised", self.decoder.revised),
            ("ids", self.decoder.conversation_id, self.decoder.message_id, self.decoder.model),
            ("follow up", self.decoder.follow_up() is not None),
        ]


def decode(
    chunks: Sequence[bytes] | bytes,
    *,
    request: ChatRequest = ASKED,
    content_type: str = "text/event-stream",
    headers: Sequence[tuple[bytes, bytes]] = (),
    exact_road_only: bool = False,
) -> Decoded:
    """Decode a reply as the gateway does: until it is done, or the body ends.

    ``exact_road_only``: no event is of the usual kind, for a blank before its JSON, and no lane is
    ever built.
    """
    head = ReplyHead(200, [(b"content-type", content_type.encode()), *headers])
    decoder = ConversationDecoder(request, head)
    if exact_road_only:
        decoder._tries = 0
        assert isinstance(chunks, bytes)
        chunks = _USUAL.sub(rb"data:  ", chunks)
    events: list[ChatEvent] = []
    for chunk in [chunks] if isinstance(chunks, bytes) else chunks:
        events += decoder.feed(chunk)
        if decoder.done:
            break
    if not decoder.done:
        events += decoder.eof()
    check_order(events, decoder)
    return Decoded(decoder, events)


def check_order(events: Sequence[ChatEvent], decoder: ConversationDecoder) -> None:
    """Blocks open, are fed and end in order, and exactly one end comes, last of all."""
    continued = decoder._continued
    started = continued is not None
    begun = continued.blocks if continued is not None else 0
    is_open = continued.in_text if continued is not None else False
    for place, e in enumerate(events):
        match e:
            case Started():
                assert not started
                started = True
            case BlockStarted(block=block):
                assert started
                assert not is_open
                assert block == begun
                begun, is_open = begun + 1, True
            case TextDelta(text=text) | ReasoningDelta(text=text):
                assert is_open
                assert text
                text.encode()  # nothing that UTF-8 cannot say
            case BlockEnded(block=block):
                assert is_open
                assert block == begun - 1
                is_open = False
            case Finished() | Failed():
                assert place == len(events) - 1
                assert isinstance(e, Failed) or not is_open
    ended = bool(events) and isinstance(events[-1], Finished | Failed)
    assert decoder.done
    assert ended != (decoder.follow_up() is not None)
