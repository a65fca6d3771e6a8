"""The v0 stream keeps the rules that real clients need."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.answer import MAX_ANSWER, Answer, Place
from chatgpt_to_api.dialects.conversation.door import DOOR
from chatgpt_to_api.dialects.conversation.snapshots import SnapshotEncoder
from chatgpt_to_api.errors import UpstreamFailed
from chatgpt_to_api.wire.http import RequestHead

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PLACE = Place(
    "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61",
    "a94f2c07-31d8-4be5-8c6f-0e57d9b3a218",
    "5b0c1d52-6a0e-4f39-9d2b-5c8e7a104f61",
    "next",
)


def encoder(place: Place = PLACE) -> SnapshotEncoder:
    return SnapshotEncoder(place, "gpt-4o", Stamp("f00", 1697031001), Answer())


def reply(*texts: str, finish: FinishReason = "stop", place: Place = PLACE) -> bytes:
    """A stream whose pieces each came in a read of their own."""
    out = encoder(place)
    data = out.feed([Started("real-model"), BlockStarted(0, "text")])
    for text in texts:
        data += out.feed([TextDelta(text)])
    data += out.feed([BlockEnded(0), Finished(finish)])
    data += out.feed([UsageReported(Usage(1, 2))])
    return data + out.end()


def events(data: bytes) -> list[Any]:
    """The JSON of a stream's events, checked for framing on the way."""
    assert data.endswith(b"\n\n")
    found = []
    for event in data.removesuffix(b"\n\n").split(b"\n\n"):
        assert event.startswith(b"data: ")
        assert event[6:7] != b" "
        assert b"\n" not in event
        found.append("[DONE]" if event == b"data: [DONE]" else json.loads(event[6:]))
    return found


def test_a_reply_is_growing_snapshots_the_whole_once_more_and_done() -> None:
    """Rule 4: the whole text stands once with end_turn null, then in the final event."""
    *messages, done = events(reply("The", " tide", " turns"))
    assert done == "[DONE]"
    texts = [event["message"]["content"]["parts"] for event in messages]
    assert texts == [["The"], ["The tide"], ["The tide turns"], ["The tide turns"]]
    ends = [event["message"]["end_turn"] for event in messages]
    assert ends == [None, None, None, True]
    assert [event["message"]["status"] for event in messages] == [
        "in_progress",
        "in_progress",
        "in_progress",
        "finished_successfully",
    ]


def test_each_event_begins_as_the_strictest_client_wants_it() -> None:
    """Rule 1: ``message`` first, one space, ASCII only, LF LF."""
    data = reply("潮汐", "🌊 \u2028 café")
    assert data.isascii()
    for line in data.split(b"\n\n")[:-2]:
        assert line.startswith(b'data: {"message":')


def test_each_event_has_every_key_that_clients_read() -> None:
    """Rules 2 and 3, with finish_details absent until the end."""
    *running, final, _ = events(reply("a", "b"))
    for event in [*running, final]:
        assert list(event) == ["message", "conversation_id", "error"]
        assert event["conversation_id"] == PLACE.conversation_id
        assert event["error"] is None
        message = event["message"]
        assert message["id"] == PLACE.message_id
        assert message["author"] == {"role": "assistant", "name": None, "metadata": {}}
        assert message["create_time"] == 1697031001.0
        assert message["update_time"] is None
        assert message["content"]["content_type"] == "text"
        assert message["weight"] == 1.0
        assert message["recipient"] == "all"
    asked = {"message_type": "next", "model_slug": "real-model", "parent_id": PLACE.parent_id}
    assert running[0]["message"]["metadata"] == asked
    assert final["message"]["metadata"] == {
        **asked,
        "finish_details": {"type": "stop"},
        "is_complete": True,
    }


@pytest.mark.parametrize(
    ("reason", "kind", "end_turn"),
    [
        ("stop", "stop", True),
        ("length", "max_tokens", None),
        ("content_filter", "content_filter", True),
        ("tool_calls", "stop", True),
    ],
)
def test_the_finish_reason_is_told_in_the_protocols_words(
    reason: FinishReason, kind: str, end_turn: bool | None
) -> None:
    """A cut answer keeps end_turn null, as on the official site."""
    final = events(reply("a", finish=reason))[-2]["message"]
    assert final["metadata"]["finish_details"] == {"type": kind}
    assert final["end_turn"] is end_turn


def test_a_reply_in_one_read_still_has_its_whole_text_with_end_turn_null() -> None:
    """Two events are the least: the oldest client reads only the first of them."""
    out = encoder()
    whole: list[ChatEvent] = [
        Started("m"),
        BlockStarted(0, "text"),
        TextDelta("one "),
        TextDelta("two"),
        BlockEnded(0),
        Finished("stop"),
    ]
    running, final, done = events(out.complete(whole).body)
    assert running["message"]["content"]["parts"] == ["one two"]
    assert running["message"]["end_turn"] is None
    assert final["message"]["end_turn"] is True
    assert done == "[DONE]"


def test_an_empty_answer_is_finished_all_the_same() -> None:
    """No text, but a final event and [DONE]: a client must not wait for ever."""
    final, done = events(reply())
    assert final["message"]["content"]["parts"] == [""]
    assert done == "[DONE]"


def test_the_terminal_bytes_come_only_with_the_end() -> None:
    """What is kept of the answer must be durable before a client sees that it is whole."""
    out = encoder()
    data = out.feed([Started("m"), BlockStarted(0, "text"), TextDelta("a")])
    data += out.feed([BlockEnded(0), Finished("stop")])
    assert b"[DONE]" not in data
    assert [event["message"]["end_turn"] for event in events(data)] == [None]


def test_what_the_model_thinks_is_not_shown_and_its_refusal_is() -> None:
    """Old clients would take thoughts for the answer."""
    out = encoder()
    assert out.feed([ReasoningDelta("hm"), ToolCallDelta("{}")]) == b""
    (event,) = events(out.feed([RefusalDelta("No.")]))
    assert event["message"]["content"]["parts"] == ["No."]


def test_a_broken_answer_ends_with_an_error_event_and_no_done() -> None:
    """Rule 8: message null, the error's words, then the end."""
    out = encoder()
    out.feed([TextDelta("a")])
    data = out.failure(UpstreamFailed("It broke: 断."))
    assert data.startswith(b'data: {"message": null, ')
    assert data.isascii()
    (event,) = events(data)
    assert event == {
        "message": None,
        "conversation_id": PLACE.conversation_id,
        "error": "It broke: 断.",
    }


def test_a_keep_alive_is_a_comment() -> None:
    """It means nothing, and is too short to be misread by a client that cuts six bytes off."""
    assert encoder().keep_alive() == b":\n\n"


def test_hostile_ids_stay_inside_their_strings() -> None:
    """A parent id is whatever the client sent."""
    parent = 'x"}\n\ndata: {"a'
    place = Place(PLACE.conversation_id, PLACE.message_id, parent, "next")
    for event in events(reply("a", place=place))[:-1]:
        assert event["message"]["metadata"]["parent_id"] == parent
        assert event["message"]["content"]["parts"] == ["a"]


def test_an_answer_has_a_longest_length() -> None:
    """Beyond it nothing is held in memory, and the answer says that it was cut."""
    answer = Answer()
    out = SnapshotEncoder(PLACE, "m", Stamp("f", 1), answer)
    out.feed([TextDelta("x" * MAX_ANSWER)])
    assert out.feed([TextDelta("more")]) == b""
    out.feed([Finished("stop")])
    assert answer.finish == "length"
    assert len(answer.text) == MAX_ANSWER


def test_a_door_without_a_keeper_of_conversations_makes_uuids_of_version_4() -> None:
    """Rule 7 holds for the ids a door makes by itself; two replies never share them."""
    body = {"action": "next", "model": "m", "messages": [{"content": {"parts": ["q"]}}]}
    head = RequestHead("POST", "/api/conversation", b"", ())
    seen = set()
    for stamp in (Stamp("one", 1), Stamp("two", 1)):
        out = DOOR.reply(DOOR.ask(head, json.dumps(body).encode()), stamp)
        event = events(out.feed([TextDelta("a")]))[0]
        ids = [
            event["conversation_id"],
            event["message"]["id"],
            event["message"]["metadata"]["parent_id"],
        ]
        assert all(UUID4.fullmatch(id) for id in ids)
        seen.update(ids)
    assert len(seen) == 6


@given(
    pieces=st.lists(st.text(st.characters(codec="utf-16"), min_size=1), max_size=8),
    cuts=st.lists(st.integers(1, 3), min_size=8, max_size=8),
)
def test_any_cut_of_the_pieces_into_reads_ends_in_the_same_answer(
    pieces: list[str], cuts: list[int]
) -> None:
    """Text arriving together leaves as one snapshot; the last two events are always the same."""
    out = encoder()
    data = out.feed([Started("real-model")])
    rest = list(pieces)
    for cut in cuts:
        data += out.feed([TextDelta(piece) for piece in rest[:cut]])
        rest = rest[cut:]
    data += out.feed([*map(TextDelta, rest), Finished("stop")]) + out.end()
    assert events(data)[-3:] == events(reply(*pieces))[-3:]
    text = "".join(pieces)
    for event in events(data)[:-1]:
        assert text.startswith(event["message"]["content"]["parts"][0])
    assert events(data)[-2]["message"]["content"]["parts"] == [text]


def test_a_surrogate_pair_cut_in_two_is_whole_again() -> None:
    """Each half is a legal escape; a half alone is stored as U+FFFD."""
    answer = Answer()
    answer.take([TextDelta("\ud83d")])
    assert answer.text == "\ufffd"
    answer.take([TextDelta("\ude00")])
    assert answer.text == "\U0001f600"
