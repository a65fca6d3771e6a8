"""A reply that comes whole in one read says what it says event by event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from chatgpt_to_api.chat.request import Branch, ChatRequest, Continuation
from chatgpt_to_api.dialects.conversation.burst import read_burst
from support.conversation_replies import (
    ASKED,
    CONVERSATION,
    DONE,
    MESSAGE,
    TEXT_PATH,
    V1,
    V1_END,
    cut,
    decode,
    deltas,
    event,
    message,
    op,
)
from support.conversation_strategies import CONTROLS, ENTRIES, TEXTS, messages, written

ENDING = [
    {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
    {"p": "/message/end_turn", "o": "replace", "v": True},
    {"p": "/message/metadata", "o": "append", "v": {"is_complete": True}},
]
COMPLETE = event({"type": "message_stream_complete", "conversation_id": CONVERSATION})
COMPLETES = st.sampled_from(
    [
        b"",
        COMPLETE,
        event({"type": "message_stream_complete"}),
        event({"type": "message_stream_complete", "conversation_id": "other"}),
        event({"type": "message_stream_complete", "conversation_id": CONVERSATION, "v": "x"}),
        event({"type": "message_stream_complete", "conversation_id": CONVERSATION, "error": "x"}),
        event({**message("late", id="m9"), "type": "message_stream_complete"}),
        event({"moderation_response": {"blocked": True}, "conversation_id": CONVERSATION}),
    ]
)


def run(*pieces: str) -> bytes:
    """What is written on the message: the place once, then values alone."""
    first, *more = pieces
    return op(first, p=TEXT_PATH, o="append") + b"".join(map(op, more))


CALM = st.sampled_from(["a", " tide", '"', "\\", "\n", "你好", "🙂"])


@st.composite
def whole_replies(draw: st.DrawFn) -> bytes:
    """A reply of one message in the usual order, with one thing at most that is not so."""
    odd = draw(st.sampled_from(["nothing", "nothing", "message", "texts", "patch", "end", "order"]))
    words = TEXTS if odd == "texts" else CALM
    more = st.builds(lambda text: {"p": TEXT_PATH, "o": "append", "v": text}, words)
    opened: dict[str, Any] = {
        "v": draw(messages() if odd == "message" else st.builds(message, words))
    }
    if draw(st.booleans()):
        opened = {"p": "", "o": draw(st.sampled_from(["add", "add", "append"])), **opened}
    if draw(st.booleans()):
        opened["c"] = 0
    changes = draw(st.lists(ENTRIES if odd == "patch" else more, max_size=2))
    patch = {"p": "", "o": "patch", "v": [*changes, *ENDING]}
    parts = [
        draw(st.sampled_from([V1, b""])),
        event(opened, name="delta") if odd == "texts" else written(draw, opened, "delta"),
        run(*draw(st.lists(words, min_size=1, max_size=8))),
        written(draw, patch, "delta") if odd == "patch" else event(patch, name="delta"),
        draw(COMPLETES) if odd == "end" else draw(st.sampled_from([b"", COMPLETE])),
        DONE,
    ]
    if odd == "order":
        place = draw(st.integers(0, len(parts) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                del parts[place]
            case 1:
                parts.insert(place, parts[draw(st.integers(0, len(parts) - 1))])
            case 2:
                parts.insert(place, event(draw(CONTROLS)))
            case 3:
                parts.insert(place, op(draw(TEXTS), p=TEXT_PATH, o="replace"))
            case 4:
                parts.insert(place, op("x", c=draw(st.integers(0, 1))))
            case 5:
                parts[place] = parts[place].replace(b"\n", b"\r\n")
    return b"".join(parts)


REQUESTS = st.sampled_from(
    [
        ASKED,
        structs.replace(ASKED, branch=Branch(CONVERSATION, "m1")),
        structs.replace(ASKED, branch=Branch("other", "m0")),
        structs.replace(ASKED, continuation=Continuation(CONVERSATION, "m1")),
        structs.replace(
            ASKED,
            continuation=Continuation(CONVERSATION, "m0", blocks=1, in_text=True, text="So "),
        ),
    ]
)


@settings(max_examples=600)
@given(stream=whole_replies(), request=REQUESTS)
@example(stream=deltas("a", "b"), request=ASKED)
def test_a_whole_reply_says_what_its_events_say(stream: bytes, request: ChatRequest) -> None:
    """In one read, event by event, and on the exact road: the same."""
    whole = decode(stream, request=request)
    exact = decode(stream, request=request, exact_road_only=True)
    assert whole.outline == exact.outline
    ends = [at + 2 for at in range(len(stream)) if stream.startswith(b"\n\n", at)]
    assert decode(cut(stream, ends[:-1]), request=request).said == whole.said


def test_the_usual_reply_is_taken_whole() -> None:
    """Its message stands as it ended, with all that was written on it."""
    burst = read_burst(
        V1 + op(message("It "), p="", o="add", c=0) + run("turns", " twice") + V1_END + DONE
    )
    assert burst is not None
    assert burst.text == "It turns twice"
    assert burst.conversation_id == CONVERSATION
    assert burst.flags.id == MESSAGE
    assert burst.flags.over


OPENED = op(message(""), p="", o="add", c=0)


@pytest.mark.parametrize(
    "stream",
    [
        V1 + OPENED + run("a") + V1_END,
        V1 + OPENED + run("a") + DONE,
        V1 + OPENED + V1_END + DONE,
        V1 + run("a") + V1_END + DONE,
        V1 + OPENED + run("a") + V1_END + event({"detail": "It broke."}) + DONE,
        V1 + OPENED + run("a") + op("b", c=0) + V1_END + DONE,
        V1 + OPENED + run("a") + op([ENDING[0], ENDING[2]], p="", o="patch") + DONE,
        V1 + OPENED + run("a") + V1_END + DONE + DONE,
    ],
)
def test_no_other_reply_is_taken_whole(stream: bytes) -> None:
    """One that lacks a part, or has one that may mean something, is read event by event."""
    assert read_burst(stream) is None
