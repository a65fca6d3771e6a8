"""The v1 stream: the message once, then operations, read back by the rules of the protocol."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, Finished, Started, TextDelta
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.answer import Answer, Place
from chatgpt_to_api.dialects.conversation.deltas import DeltaEncoder
from chatgpt_to_api.errors import UpstreamFailed

PLACE = Place("chat", "answer", "question", "continue")


def encoder() -> DeltaEncoder:
    return DeltaEncoder(PLACE, "gpt-4o", Stamp("f00", 1697031001), Answer())


def split(data: bytes) -> list[tuple[str, Any]]:
    """Event name and value of each event."""
    found = []
    for event in data.decode("ascii").removesuffix("\n\n").split("\n\n"):
        name, _, rest = event.partition("data: ")
        value = rest if rest == "[DONE]" else json.loads(rest)
        found.append((name.removeprefix("event: ").strip(), value))
    return found


def applied(events: list[tuple[str, Any]]) -> Any:
    """The document the delta operations make, by the carry-over rule."""
    document: Any = None
    path, op = "", "add"
    for name, value in events:
        if name != "delta":
            continue
        path, op = value.get("p", path), value.get("o", op)
        operations = value["v"] if op == "patch" else [{"p": path, "o": op, "v": value["v"]}]
        for each in operations:
            if each["p"] == "":
                document = each["v"]
                continue
            *way, last = each["p"].strip("/").split("/")
            target = document
            for step in way:
                target = target[int(step) if isinstance(target, list) else step]
            key: Any = int(last) if isinstance(target, list) else last
            if each["o"] == "replace":
                target[key] = each["v"]
            elif isinstance(target[key], dict):
                target[key].update(each["v"])
            else:
                target[key] += each["v"]
    return document


def test_a_reply_announces_its_encoding_and_ends_in_order() -> None:
    """Announcement, root, appends with and without their path, patch, completion, [DONE]."""
    out = encoder()
    data = out.feed([Started("real"), TextDelta("He")])
    data += out.feed([TextDelta("l"), TextDelta("lo")])
    data += out.feed([Finished("stop")]) + out.end()
    events = split(data)
    assert [name for name, _ in events] == [
        "delta_encoding",
        "delta",
        "delta",
        "delta",
        "delta",
        "",
        "",
    ]
    assert events[0][1] == "v1"
    assert events[3][1] == {"v": "llo"}
    assert events[5][1] == {"type": "message_stream_complete", "conversation_id": "chat"}
    assert events[6][1] == "[DONE]"
    document = applied(events)
    message = document["message"]
    assert message["content"] == {"content_type": "text", "parts": ["Hello"]}
    assert (message["status"], message["end_turn"]) == ("finished_successfully", True)
    assert message["metadata"] == {
        "message_type": "continue",
        "model_slug": "real",
        "parent_id": "question",
        "finish_details": {"type": "stop"},
        "is_complete": True,
    }
    assert (message["id"], document["conversation_id"]) == ("answer", "chat")


@given(
    pieces=st.lists(st.text(st.characters(codec="utf-16"), min_size=1), max_size=6),
    whole=st.booleans(),
)
def test_the_operations_make_the_text(pieces: list[str], whole: bool) -> None:
    """However the text comes, the document holds it, an empty one too."""
    out = encoder()
    events: list[ChatEvent] = [*map(TextDelta, pieces), Finished("length")]
    if whole:
        data = out.complete(events).body
    else:
        data = b"".join(out.feed([event]) for event in events) + out.end()
    message = applied(split(data))["message"]
    assert message["content"]["parts"] == ["".join(pieces)]
    assert message["metadata"]["finish_details"] == {"type": "max_tokens"}


def test_a_broken_answer_tells_so_and_ends() -> None:
    """The error event is the same in both encodings."""
    out = encoder()
    out.feed([TextDelta("a")])
    assert split(out.failure(UpstreamFailed("It broke."))) == [
        ("", {"message": None, "conversation_id": "chat", "error": "It broke."})
    ]
