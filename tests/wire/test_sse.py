"""Splitting server-sent events: the format's rules, any chunking, the limit, the plain road."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.sse import SseEvent, SseSplitter, write_event

FRAGMENTS = [
    b"data: ",
    b"data:",
    b"data",
    b"data:  two",
    b"event: delta",
    b"event:delta",
    b"event: other",
    b"event",
    b"id: 7",
    b"retry: 10",
    b": comment",
    b":",
    b"dataset: no",
    b'{"a": 1}',
    b"x",
    b"\xe4\xbd\xa0",
    b"\xef\xbb\xbf",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b'data: {"a": 1}\n\n',
    b'event: delta\ndata: {"b": 2}\n\n',
]
STREAMS = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)


def reference(stream: bytes, alias: bytes = b"") -> list[SseEvent]:
    """The format as its specification words it, over a whole stream, with no thought of speed."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]
    events: list[SseEvent] = []
    name, data = b"", []
    for line in [*lines, b""]:  # our end of stream stands for the last blank line
        if line == b"":
            if data and b"\n".join(data):
                events.append(SseEvent(b"" if name == alias else name, b"\n".join(data)))
            name, data = b"", []
        elif (found := re.fullmatch(rb"([^:]*)(?:: ?(.*))?", line, re.S)) is not None:
            if found[1] == b"data":
                data.append(found[2] or b"")
            elif found[1] == b"event":
                name = found[2] or b""
    return events


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    """Cut a stream at drawn places."""
    cuts = data.draw(st.sets(st.integers(0, len(stream))))
    return [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]


def split(chunks: list[bytes], splitter: SseSplitter) -> list[SseEvent]:
    """All events of a stream that came in these chunks."""
    events = [event for chunk in chunks for event in splitter.events(chunk)]
    return events + splitter.eof()


def whole_lines(stream: bytes) -> bool:
    return not stream.removeprefix(b"\xef\xbb\xbf") or stream[-1:] in (b"\n", b"\r")


@given(stream=STREAMS, alias=st.sampled_from([b"", b"delta"]), data=st.data())
def test_any_stream_in_any_chunking_is_read_as_the_specification_says(
    stream: bytes, alias: bytes, data: st.DataObject
) -> None:
    """Both roads, whole and cut anywhere, agree with a plain reading of the specification."""
    if not whole_lines(stream):
        stream += b"\n"
    expected = reference(stream, alias)
    assert split([stream], SseSplitter(alias=alias)) == expected
    assert split(cut(stream, data), SseSplitter(alias=alias)) == expected
    bytewise = [stream[i : i + 1] for i in range(len(stream))]
    assert split(bytewise, SseSplitter(alias=alias)) == expected


@given(stream=STREAMS, limit=st.integers(3, 60), data=st.data())
def test_the_limit_means_the_same_however_the_stream_is_cut(
    stream: bytes, limit: int, data: st.DataObject
) -> None:
    """Events before one that is too long come out, it and all after it never do."""
    whole, pieces = SseSplitter(limit=limit), SseSplitter(limit=limit)
    seen: list[SseEvent] = []
    for chunk in cut(stream, data):
        seen += pieces.events(chunk)
        assert pieces.pending <= limit
    assert split([stream], whole) == seen + pieces.eof()
    assert whole.overflow == pieces.overflow
    assert whole.cut == pieces.cut


def in_runs(chunks: list[bytes], splitter: SseSplitter) -> list[SseEvent]:
    """All events of a stream read in runs, each payload of a run by itself."""
    events: list[SseEvent] = []
    for chunk in chunks:
        for found in splitter.runs(chunk):
            assert found
            if isinstance(found, SseEvent):
                events.append(found)
            else:
                events += [SseEvent(b"", line) for line in found.split(b"\n") if line]
    return events + splitter.eof()


@given(
    stream=STREAMS, alias=st.sampled_from([b"", b"delta"]), limit=st.integers(3, 60), data=st.data()
)
def test_runs_hold_the_same_events_in_the_same_order(
    stream: bytes, alias: bytes, limit: int, data: st.DataObject
) -> None:
    """Read in runs, in any chunking and at any limit, a stream says what it says event by event."""
    chunks = cut(stream, data)
    exact, runs = SseSplitter(limit=limit, alias=alias), SseSplitter(limit=limit, alias=alias)
    assert in_runs(chunks, runs) == split(chunks, exact)
    assert runs.overflow == exact.overflow
    assert runs.cut == exact.cut


@pytest.mark.parametrize("alias", [b"", b"delta"])
def test_plain_events_between_others_stay_together(alias: bytes) -> None:
    """The beginning and the end of a reply do not take its long middle off the fast road."""
    name = b"event: delta\n" if alias else b""
    middle = b"".join(name + b"data: %d\n\n" % number for number in range(3))
    odd = b"event: ping\ndata: p\n\n"
    stream = odd + middle + odd + odd + middle + b": comment\n\n" + middle
    ping = SseEvent(b"ping", b"p")
    run = b"0\n1\n2"
    assert SseSplitter(alias=alias).runs(stream) == [ping, run, ping, ping, run, run]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"data: a\r\n\r\n", [(b"", b"a")]),
        (b"data: a\r\r", [(b"", b"a")]),
        (b"data: a\r\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b": hi\n\ndata: a\n\n", [(b"", b"a")]),
        (b": hi\ndata: a\n: ho\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"id: 1\nretry: 5\nnonsense\nevent: ping\ndata: a\n\n", [(b"ping", b"a")]),
        (b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
        (b"data\n\ndata:\n\ndata: \n\n", []),
        (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
        (b'{"a": 1}\n\n', []),
    ],
)
def test_framing(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    """Each freedom of the format gives the same event, byte by byte too."""
    assert split([stream], SseSplitter()) == events
    assert split([bytes([byte]) for byte in stream], SseSplitter()) == events


def test_an_event_is_given_out_with_its_last_byte() -> None:
    """No event waits for the one after it, with CR line ends neither."""
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        splitter = SseSplitter()
        assert splitter.events(b"data: a" + end) == [(b"", b"a")]
        assert splitter.pending == 0


def test_a_last_event_without_its_line_end_is_not_delivered_but_shown() -> None:
    """A half line is no event; whoever can tell that it is whole finds it in ``cut``."""
    splitter = SseSplitter()
    assert splitter.events(b"data: a\n\ndata: [DONE]") == [(b"", b"a")]
    assert splitter.eof() == []
    assert splitter.cut == (b"", b"[DONE]")


PAYLOADS = st.lists(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")),
    min_size=1,
)


@given(payloads=PAYLOADS, space=st.booleans(), named=st.booleans(), crlf=st.booleans())
def test_plain_events_come_as_one_block_for_one_decode(
    payloads: list[bytes], space: bool, named: bool, crlf: bool
) -> None:
    """One-line unnamed events come joined by newlines, each payload byte for byte."""
    prefix = (b"event: delta\n" if named else b"") + (b"data: " if space else b"data:")
    stream = b"".join(prefix + payload + b"\n\n" for payload in payloads)
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    block = SseSplitter(alias=b"delta" if named else b"").feed(stream)
    assert isinstance(block, bytes)
    assert block.split(b"\n") == payloads
    assert len(msgspec.json.Decoder().decode_lines(block)) == len(payloads)


@pytest.mark.parametrize(
    "odd",
    [
        b": comment\n\n",
        b"event: other\ndata: 2\n\n",
        b"data: 2\ndata: 3\n\n",
        b"id: 1\ndata: 2\n\n",
        b"5\n\n",
        b"\n",
    ],
)
def test_what_is_not_plain_is_never_taken_for_plain(odd: bytes) -> None:
    """A block with one unusual line is read line by line, between plain events too."""
    for stream in (odd + b"data: 1\n\n", b"data: 1\n\n" + odd + b"data: 1\n\n"):
        assert SseSplitter().events(stream) == reference(stream)
        assert isinstance(SseSplitter().feed(stream), list)


def test_a_huge_event_in_small_pieces_is_read_in_linear_work() -> None:
    """The held pieces are joined once, when the event is whole."""
    splitter = SseSplitter(limit=3_000_000)
    assert splitter.events(b"data: ") == []
    for _ in range(200_000):
        assert splitter.feed(b"0123456789") == b""
    (event,) = splitter.events(b"\n\n")
    assert len(event.data) == 2_000_000
    assert splitter.pending == 0


WORDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
NAMES = WORDS.map(str.encode)
PAYLOADS = st.lists(WORDS, min_size=1).map("\n".join).filter(bool).map(str.encode)


@given(events=st.lists(st.builds(SseEvent, NAMES, PAYLOADS)), data=st.data())
def test_what_is_written_is_read(events: list[SseEvent], data: st.DataObject) -> None:
    """Events of any name and data come back as they were, however their bytes are cut."""
    written = b"".join(map(write_event, events))
    assert split(cut(written, data), SseSplitter()) == events
