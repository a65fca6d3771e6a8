"""Events that are read by their types mean what the exact road reads in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import Started
from chatgpt_to_api.dialects.conversation.usual import read_operation, read_shown
from support.conversation_replies import (
    DONE,
    TEXT_PATH,
    V1,
    V1_END,
    cut,
    decode,
    event,
    final,
    message,
    op,
)
from support.conversation_strategies import CONTROLS, ENTRIES, ODD, TEXTS, messages, written


@st.composite
def operations(draw: st.DrawFn) -> dict[str, Any]:
    """A v1 event, mostly one that says something about the document before it."""
    value = draw(
        st.one_of(TEXTS, TEXTS, st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=4), ODD)
    )
    found: dict[str, Any] = {}
    match draw(st.integers(0, 7)):
        case 0 | 1 if isinstance(value, list):
            found = {"p": "", "o": "patch"}
        case 0 | 1:
            found = {"p": TEXT_PATH, "o": "append"}
        case 2:
            found = {
                "p": draw(st.sampled_from([TEXT_PATH, "/message/status", "", "x", None])),
                "o": draw(st.sampled_from(["append", "replace", "patch", "truncate", "add"])),
            }
        case 3:
            found = {"o": draw(st.sampled_from(["append", "patch", "add"]))}
        case 4:
            found = {"p": draw(st.sampled_from([TEXT_PATH, ""]))}
    if draw(st.integers(0, 9)) == 0:
        found["c"] = draw(st.sampled_from([0, 1, 2, "x", None]))
    return found if draw(st.integers(0, 15)) == 0 else found | {"v": value}


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A reply in either encoding, or in both, with anything between its events."""
    found = [V1] if draw(st.booleans()) else []
    v1 = draw(st.booleans())
    for step in draw(st.lists(st.integers(0, 15), max_size=14)):
        name = draw(st.sampled_from(["delta", "delta", "", "message"])) if v1 else ""
        if step == 0:
            found.append(event(draw(CONTROLS)))
        elif v1 is not (step == 1):
            match step % 4:
                case 0:
                    opened = {"p": "", "o": draw(st.sampled_from(["add", "replace", "append"]))}
                    opened |= {"c": draw(st.integers(0, 2))} if draw(st.booleans()) else {}
                    full = opened | {"v": draw(messages())}
                    found.append(written(draw, full, name))
                case 1:
                    found.append(written(draw, {"v": draw(messages())}, name))
                case _:
                    found.append(written(draw, draw(operations()), name))
        else:
            found.append(written(draw, draw(messages()), name))
    ends = [b"", DONE, V1_END + DONE, event(final("abc", id="m1")) + DONE]
    return b"".join(found) + draw(st.sampled_from(ends))


@settings(max_examples=600)
@given(stream=streams())
@example(stream=V1 + op(message("a"), p="", o="add", c=0) + op(5, p=TEXT_PATH, o="truncate") + DONE)
@example(  # a snapshot says nothing of the document that an operation goes on with
    stream=op(message(), p="", o="add", c=0)
    + event(message(metadata={"model_slug": "gpt-5"}))
    + V1_END
    + DONE
)
def test_types_change_nothing_of_the_meaning(stream: bytes) -> None:
    """What is read by types, and what is read as a tree of values, says the same."""
    assert decode(stream).outline == decode(stream, exact_road_only=True).outline


@settings(max_examples=150)
@given(stream=streams(), data=st.data())
def test_any_chunking_gives_the_same(stream: bytes, data: st.DataObject) -> None:
    """However a stream is cut, its meaning is the same.

    Only which model answers is told by what is known so far, where messages contradict each other.
    """
    chunks = cut(stream, data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    told, whole = (
        [entry for entry in decode(found).outline if not isinstance(entry[0], Started)]
        for found in (chunks, stream)
    )
    assert told == whole


def test_what_was_never_looked_at_is_there_when_it_is_needed() -> None:
    """An operation that looks into the document finds all that usual ones did to it before."""
    opened = V1 + op(message("It "), p="", o="add", c=0)
    run = op("turns", p=TEXT_PATH, o="append") + op(" twice") + op(" a day")
    patch = op([{"p": TEXT_PATH, "o": "append", "v": "!"}], p="", o="patch")
    stream = opened + run + patch + op(8, p=TEXT_PATH, o="truncate") + V1_END + DONE
    reply = decode(stream)
    assert reply.said == "It turns twice a day!"
    assert reply.text == "It turns"
    assert reply.reason == "stop"


def test_the_ends_that_backends_send_are_read_by_types() -> None:
    """The opening, the text and the patch at the end are all of the usual kind."""
    for data in (
        {"p": "", "o": "add", "v": message("", channel="final"), "c": 0},
        {"v": message("", metadata={"citations": [], "parent_id": "x"}), "c": 2},
        {"p": TEXT_PATH, "o": "append", "v": "a"},
        {"v": [{"p": "/message/status", "o": "replace", "v": "finished_successfully"}]},
    ):
        assert read_operation(json.dumps(data).encode()) is not None
    found = read_shown(json.dumps(final("The tide")).encode())
    assert found is not None
    assert found.flags is not None
    assert found.flags.over


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "user"},
        {"recipient": "python"},
        {"channel": "analysis"},
        {"error": "It broke."},
        {"metadata": {"is_visually_hidden_from_conversation": True}},
        {"content": {"content_type": "thoughts", "thoughts": []}},
        {"content": {"content_type": "text", "parts": ["one", "two"]}},
        {"id": ""},
    ],
)
def test_no_other_message_is_taken_for_a_usual_one(fields: dict[str, Any]) -> None:
    """What is not shown, or more than one text, is left to the exact road."""
    found = read_shown(json.dumps(message("x", **fields)).encode())
    assert found is None or found.flags is None
