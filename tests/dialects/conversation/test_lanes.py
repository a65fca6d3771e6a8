"""The fast lanes give what the exact road gives, whatever stands in the stream."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import TextDelta
from chatgpt_to_api.dialects.conversation.lanes import bare_lane, delta_lane, snapshot_lane
from support.conversation_replies import (
    DONE,
    TEXT_PATH,
    V1,
    V1_END,
    bytewise,
    cut,
    decode,
    deltas,
    event,
    final,
    message,
    op,
    snapshots,
)

WORDS = st.sampled_from(
    [
        " a",
        " tide",
        "ha",
        '"',
        "\\",
        "\n",
        "你好",
        "🙂",
        "\ud83d",
        "\ude42",
        "é",
        "",
        "data: ",
        "[1]",
    ]
)
SPLICES = st.lists(
    st.sampled_from(
        [
            b"x",
            b'"',
            b"\\",
            b"\\n",
            b"\\u00",
            b"\\ud83d",
            b"\\ude42",
            b"\x01",
            b"\xff",
            b"\xe4\xbd",
            b"\xa0",
            b'"], "parts": ["',
            b'"]}, "status": "',
            b'"}',
            b'"x"',
            b'", "v": "',
            b'", "p": "/message/content/parts/0", "o": "replace',
            b"\n\n",
            b"\n",
            b"\r\n",
            b"\ndata: ",
            b'"}\n\nevent: delta\ndata: {"v": "',
        ]
    ),
    min_size=1,
    max_size=4,
).map(b"".join)
CONTROL = st.sampled_from(
    [
        b": comment\n\n",
        b"event: ping\ndata: 2023-10-11 13:30:16.000000\n\n",
        b"\n",
        event({"type": "title_generation", "title": "T"}),
        event({"type": "message_marker", "marker": "last_token"}),
        event({"moderation_response": {"flagged": True, "blocked": False}}),
        event({"moderation_response": {"blocked": True}}),
        event({"message": None, "error": "Something broke."}),
        event({"message": None, "error": {}}),
        event({"type": "message_stream_complete"}),
        event(message("what?", role="user", id="u")),
        event(message("42", role="tool", id="t")),
        event(message("f()", recipient="python", id="c")),
        event(message("old", id="o", status="finished_successfully")),
        event(message("more", id="m2")),
        event(message("foreign", conversation_id="other")),
        event(final("ended")),
        b"data: {broken\n\n",
        b"data: 7\n\n",
        b"Internal Server Error\n\n",
        DONE,
    ]
)


@st.composite
def snapshot_streams(draw: st.DrawFn) -> bytes:
    """Snapshots of a few messages, mostly growing, with anything between them."""
    texts = {"a": "", "b": ""}
    current = "a"
    indent = draw(st.sampled_from([" ", ""]))
    found: list[bytes] = []
    for step in draw(st.lists(st.integers(0, 19), max_size=25)):
        if step == 0:
            current = draw(st.sampled_from(["a", "b"]))
        elif step == 1:
            texts[current] = draw(WORDS)
        elif step == 2:
            texts[current] = texts[current][: draw(st.integers(0, 6))]
        elif step <= 4:
            found.append(draw(CONTROL))
            continue
        elif step == 5:
            raw = event(message(texts[current] + "SPLICE", id=current), indent=indent)
            found.append(raw.replace(b"SPLICE", draw(SPLICES)))
            continue
        else:
            texts[current] += draw(WORDS)
        found.append(event(message(texts[current], id=current), indent=indent))
    ending = draw(st.sampled_from([b"", DONE, event(final(texts["a"], id="a")) + DONE]))
    return _ends(draw, b"".join(found) + ending)


@st.composite
def delta_streams(draw: st.DrawFn) -> bytes:
    """Operations on a few documents, mostly appends, with anything between them."""
    found = [V1] if draw(st.booleans()) else []
    found.append(op(message(""), p="", o="add", c=0))
    found.append(op(draw(WORDS), p=TEXT_PATH, o="append"))
    for step in draw(st.lists(st.integers(0, 19), max_size=25)):
        word = draw(WORDS)
        match step:
            case 0:
                found.append(op(message(word, id=f"m{len(found)}"), p="", o="add"))
            case 1:
                found.append(op(word, p=TEXT_PATH, o="replace"))
            case 2:
                found.append(op(draw(st.integers(-1, 5)), p=TEXT_PATH, o="truncate"))
            case 3:
                found.append(op(word, p=TEXT_PATH, o="append", c=draw(st.integers(0, 2))))
            case 4:
                batch = [{"p": TEXT_PATH, "o": "append", "v": word}, {"p": "/x", "o": "add"}]
                found.append(op(batch, p="", o="patch"))
            case 5:
                found.append(op(word, p="/message/content/parts/1", o="append"))
            case 6 | 7:
                found.append(draw(CONTROL))
            case 8:
                found.append(op("SPLICE").replace(b"SPLICE", draw(SPLICES)))
            case 9:
                found.append(op(word, p=TEXT_PATH, o="append"))
            case 10:
                found.append(op("analysis", p="/message/channel", o="replace"))
            case _:
                found.append(op(word))
    return _ends(draw, b"".join(found) + draw(st.sampled_from([b"", DONE, V1_END + DONE])))


def _ends(draw: st.DrawFn, data: bytes) -> bytes:
    return data.replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n"])))


ANY_STREAM = st.one_of(snapshot_streams(), delta_streams())


@settings(max_examples=400)
@given(stream=ANY_STREAM)
@example(stream=snapshots("", "a", "a", "ab", "a", "ab", "abc"))
@example(stream=deltas("a", "b", '"', "\\", "c"))
def test_both_roads_give_the_same(stream: bytes) -> None:
    """The lanes change nothing of the meaning, in one read."""
    assert decode(stream).outline == decode(stream, exact_road_only=True).outline


@settings(max_examples=200)
@given(stream=ANY_STREAM, data=st.data())
def test_any_chunking_gives_the_same(stream: bytes, data: st.DataObject) -> None:
    """However a stream is cut, its meaning is the same."""
    chunks = cut(stream, data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    assert decode(chunks).outline == decode(stream).outline


@settings(max_examples=60)
@given(stream=ANY_STREAM)
def test_byte_by_byte_gives_the_same(stream: bytes) -> None:
    """The smallest pieces mean what the whole means."""
    assert decode(bytewise(stream)).outline == decode(stream).outline


def test_a_run_of_snapshots_is_one_piece_of_text() -> None:
    """What a burst brings in one read leaves as one delta."""
    texts = ["", *("The tide turns twice a day."[: n + 1] for n in range(27))]
    reply = decode(snapshots(*texts))
    assert [e.text for e in reply.events if isinstance(e, TextDelta)] == [texts[-1]]


def test_a_run_of_deltas_is_one_piece_of_text() -> None:
    """What a burst brings in one read leaves as one delta."""
    reply = decode(deltas(*"The tide turns twice a day."))
    assert [e.text for e in reply.events if isinstance(e, TextDelta)] == [
        "The tide turns twice a day."
    ]


def lane_of(value: dict[str, Any]) -> tuple[bytes, Any]:
    raw = event(value).removesuffix(b"\n\n")
    return raw, snapshot_lane(raw, value)


def test_a_snapshot_lane_takes_only_what_extends_the_text() -> None:
    """It stops before the first event that differs in anything else."""
    _, lane = lane_of(message("The"))
    run = event(message("The tide")) + event(message("The tide turns"))
    other = event(message("The tide turns", status="finished_successfully"))
    assert lane.run(run + other + run, 0) == (" tide turns", len(run))
    assert lane.run(other, 0) == ("", 0)


def test_a_snapshot_lane_is_not_fooled_by_a_quote() -> None:
    """Bytes that would change the JSON's structure are not text."""
    _, lane = lane_of(message("x"))
    evil = event(message("xSPLICE")).replace(b"SPLICE", b'"], "parts": ["y')
    assert lane.run(evil, 0) == ("", 0)


def test_no_lane_is_built_where_the_text_stands_elsewhere() -> None:
    """The first ``parts`` of the event need not be the message's."""
    value = {"parts": ["decoy"], **message("real")}
    assert lane_of(value)[1] is None
    twice = event(message("one")).replace(
        b'"parts": ["one"]', b'"parts": ["zero"], "parts": ["one"]'
    )
    assert snapshot_lane(twice.removesuffix(b"\n\n"), message("one")) is None


def test_a_bare_lane_takes_values_alone() -> None:
    """After an operation with a path, values without one mean the same."""
    lane = bare_lane(op("a", p=TEXT_PATH, o="append").removesuffix(b"\n\n"))
    bare = op("b") + op('"c"')
    assert lane.run(bare + V1_END, 0) == ('b"c"', len(bare))
    assert lane.run(op("d", p=TEXT_PATH, o="append"), 0) == ("", 0)


def test_a_delta_lane_takes_its_own_form() -> None:
    """The same path each time; not another one."""
    raw = op("a", p=TEXT_PATH, o="append").removesuffix(b"\n\n")
    lane = delta_lane(raw, {"p": TEXT_PATH, "o": "append", "v": "a"})
    assert lane is not None
    full = op("d", p=TEXT_PATH, o="append") + op("e", p=TEXT_PATH, o="append")
    assert lane.run(full + op("f"), 0) == ("de", len(full))
    assert lane.run(op("d", p="/message/content/parts/1", o="append"), 0) == ("", 0)


def test_no_delta_lane_is_built_around_a_decoy() -> None:
    """The first ``v`` of the event need not be the one that counts."""
    raw = b'event: delta\ndata: {"c": {"v": "a"}, "o": "append", "v": "a"}'
    assert delta_lane(raw, {"c": {"v": "a"}, "o": "append", "v": "a"}) is None


def test_a_delta_lane_is_not_fooled_by_two_strings_in_a_line() -> None:
    """Each line must be one string: two that together count right are not taken."""
    lane = bare_lane(op("a").removesuffix(b"\n\n"))
    evil = op("SPLICE").replace(b"SPLICE", b'x""y')
    assert lane.run(evil, 0) == ("", 0)


def test_a_delta_lane_looks_only_so_far_at_once() -> None:
    """A run that is longer is taken in several looks, whatever the look's end falls on."""
    lane = bare_lane(op("a", p=TEXT_PATH, o="append").removesuffix(b"\n\n"))
    pieces = [f" {number}" for number in range(3000)]
    block = b"".join(map(op, pieces)) + V1_END
    for at in range(64):  # the first event begins elsewhere, so each look ends elsewhere
        said, looks = "", 0
        stop = start = at
        padded = b"\n" * at + block
        while True:
            text, stop = lane.run(padded, start)
            if stop == start:
                break
            said, start, looks = said + text, stop, looks + 1
        assert said == "".join(pieces)
        assert padded[start:] == V1_END
        assert looks > 1


def test_an_event_longer_than_a_look_is_left_to_the_exact_road() -> None:
    """Its end is not in sight; what stands before it is taken all the same."""
    lane = bare_lane(op("a", p=TEXT_PATH, o="append").removesuffix(b"\n\n"))
    long = op("x" * 100_000)
    assert lane.run(long, 0) == ("", 0)
    assert lane.run(op("b") + long, 0) == ("b", len(op("b")))
    stream = V1 + op(message(""), p="", o="add", c=0) + op("a", p=TEXT_PATH, o="append")
    reply = decode(stream + op("b") + long + op("c") + V1_END + DONE)
    assert reply.said == "ab" + "x" * 100_000 + "c"


def test_a_run_of_deltas_ends_before_an_event_with_another_end() -> None:
    """The same beginning is not enough."""
    lane = bare_lane(op("a", p=TEXT_PATH, o="append").removesuffix(b"\n\n"))
    other = op("c").replace(b'"c"}', b'"c", "x": 1}')
    taken = op("a") + op("b")
    assert lane.run(taken + other, 0) == ("ab", len(taken))
    assert lane.run(taken + other + op("d"), 0) == ("ab", len(taken))
    assert lane.run(other, 0) == ("", 0)


def test_a_snapshot_that_ends_inside_a_character_is_left_to_the_exact_road() -> None:
    """Also where the next one goes on with it: each event has to be JSON by itself."""
    _, lane = lane_of(message("x"))
    begun = event(message("xSPLICE")).replace(b"SPLICE", b"\\")
    whole = event(message("xSPLICE")).replace(b"SPLICE", b"\\n")
    assert lane.run(begun + whole, 0) == ("", 0)
    raw = event(message("xSPLICE")).replace(b"SPLICE", "é".encode()[:1])
    rest = event(message("xSPLICE")).replace(b"SPLICE", "é".encode())
    assert lane.run(raw + rest, 0) == ("", 0)
    assert lane.run(rest, 0) == ("é", len(rest))


def test_a_stream_that_never_repeats_itself_is_read_all_the_same() -> None:
    """Where every event differs in a time, no lane fits, and soon none is tried."""
    text = ""
    stream = b""
    for number in range(40):
        text += f" {number}"
        stream += event(message(text, update_time=number))
    assert decode(stream + event(final(text)) + DONE).said == text


def test_the_lane_reads_compact_json_and_raw_utf_8() -> None:
    """Proxies write JSON in their own way."""
    texts = ["", "你", "你好", "你好 🙂", '你好 🙂 "q"\n']
    stream = b"".join(
        b"data:"
        + json.dumps(message(t), ensure_ascii=False, separators=(",", ":")).encode()
        + b"\n\n"
        for t in texts
    )
    reply = decode(stream + DONE)
    assert reply.said == texts[-1]
    assert reply.reason == "stop"
