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
    CONVERSATION,
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

ODD = st.sampled_from(
    [None, True, False, 0, 1, 1.5, "", "x", "all", "final", "stop", [], ["a"], {}, {"type": "stop"}]
)
TEXTS = st.sampled_from(["", "a", "ab", "abc", '"', "\\", "\n", "你好", "🙂", "\ud83d", "\ude42"])
IDS = st.sampled_from(["m1", "m1", "m2", "m3"])
STATUS = st.sampled_from(["in_progress", "in_progress", "finished_successfully", None, 7])
FINISH = st.sampled_from(
    [{"type": "stop"}, {"type": "max_tokens"}, {"type": None}, {"type": 1}, "stop", None, []]
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "finish_details": FINISH,
        "is_complete": ODD,
        "is_visually_hidden_from_conversation": st.sampled_from([True, False, None, 1]),
        "message_type": ODD,
        "model_slug": st.sampled_from(["gpt-4", "gpt-5", "", None, 4]),
        "citations": ODD,
    },
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": STATUS,
    "end_turn": st.sampled_from([None, True, False, 1, "yes"]),
    "recipient": st.sampled_from(["all", "all", None, "python", 1]),
    "channel": st.sampled_from(["final", None, "analysis", "commentary", 1]),
    "role": st.sampled_from(["assistant", "assistant", "user", "tool", "system", None, 1]),
    "author": st.sampled_from([{}, None, {"role": "assistant"}, "assistant"]),
    "metadata": METADATA,
    "content": st.sampled_from(
        [
            {"content_type": "text", "parts": ["one", "two"]},
            {"content_type": "text", "parts": []},
            {"content_type": "text", "parts": [None]},
            {"content_type": "text", "parts": [{"text": "x"}]},
            {"content_type": "code", "parts": ["x"]},
            {"content_type": "multimodal_text", "parts": ["x"]},
            {"content_type": "thoughts", "thoughts": [{"content": "hm"}]},
            {"parts": ["bare"]},
            {},
            None,
        ]
    ),
    "conversation_id": st.sampled_from([CONVERSATION, CONVERSATION, "other", None, "", 1]),
    "error": st.sampled_from([None, None, "", {}, "Something broke.", {"message": "It broke."}, 0]),
    "v": ODD,
}
ENTRIES = st.one_of(
    st.builds(lambda t: {"p": TEXT_PATH, "o": "append", "v": t}, TEXTS),
    st.builds(lambda s: {"p": "/message/status", "o": "replace", "v": s}, STATUS),
    st.builds(lambda e: {"p": "/message/end_turn", "o": "replace", "v": e}, ODD),
    st.builds(lambda m: {"p": "/message/metadata", "o": "append", "v": m}, METADATA),
    st.builds(
        lambda p, o, v: {"p": p, "o": o, "v": v},
        st.sampled_from(
            [
                TEXT_PATH,
                "",
                "/message",
                "/message/author/role",
                "/message/channel",
                "/message/content",
                "/message/content/parts",
                "/message/content/parts/1",
                "/message/end_turn",
                "/message/metadata",
                "/message/metadata/finish_details",
                "/message/metadata/finish_details/type",
                "/message/metadata/is_complete",
                "/message/metadata/token_count",
                "/message/metadata/token_count/deeper",
                "/message/status",
                "/message/update_time",
                "message/status",
                None,
            ]
        ),
        st.sampled_from(["add", "append", "patch", "remove", "replace", "truncate", None]),
        st.one_of(ODD, TEXTS),
    ),
    st.sampled_from([{}, None, {"p": "/message/status"}]),
)
CONTROLS = st.sampled_from(
    [
        {"type": "title_generation", "title": "T"},
        {"type": "message_marker", "marker": "last_token"},
        {"type": "message_stream_complete", "conversation_id": CONVERSATION},
        {"type": "input_message", "input_message": message("what?")["message"]},
        {"type": "moderation"},
        {"type": "error", "error": "It broke."},
        {"moderation_response": {"blocked": True}},
        {"moderation_response": {"blocked": False}},
        {"detail": "It broke."},
        {"conversation_id": "other"},
        {},
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message as it stands, mostly a usual one, in any order of its keys."""
    odd = draw(st.sampled_from([(), (), (), *((name,) for name in FIELDS)]))
    fields: dict[str, Any] = {"id": draw(IDS)}
    if draw(st.booleans()):
        fields |= {"status": draw(STATUS), "metadata": draw(METADATA)}
    fields |= {name: draw(FIELDS[name]) for name in odd}
    top = {name: fields.pop(name) for name in ("v",) if name in fields}
    found = message(draw(TEXTS), **fields) | top
    if draw(st.integers(0, 3)) == 0:
        found["message"] = dict(draw(st.permutations(list(found["message"].items()))))
        found = dict(draw(st.permutations(list(found.items()))))
    if draw(st.integers(0, 7)) == 0:
        del found["message"][draw(st.sampled_from(sorted(found["message"])))]
    return found


def written(draw: st.DrawFn, value: object, name: str) -> bytes:
    """An event, sometimes compact, with a key twice, or with escapes."""
    raw = event(value, name=name, indent=draw(st.sampled_from([" ", " ", ""])))
    match draw(st.integers(0, 15)):
        case 0:
            raw = raw.replace(b'"status":', b'"status": "in_progress", "status":', 1)
        case 1:
            raw = raw.replace(b'"role"', b'"r\\u006fle"', 1)
        case 2:
            raw = raw.replace(b'"parts":', b'"parts": ["decoy"], "parts":', 1)
        case 3:
            raw = raw.replace(b"gpt-4", b"gpt\xff4", 1)
        case 4:
            raw = raw.replace(b"1697031001.25", b"NaN", 1)
    return raw


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
