"""The relay lane: bytes go on untouched while what matters of them is noticed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Passed, WholeFacts
from chatgpt_to_api.dialects.openai import scanner as scanner_module
from chatgpt_to_api.dialects.openai import whole as whole_module
from chatgpt_to_api.dialects.openai.scanner import ReplyScanner
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.errors import GatewayError, RateLimited, UpstreamChallenge, UpstreamFailed
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import SseSplitter

SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE = Usage(3, 2, source="reported")


def event(**fields: Any) -> bytes:
    base = {"id": "chatcmpl-1", "model": "real"}
    return b"data: " + json.dumps(base | fields).encode() + b"\n\n"


def chunk(delta: Any, finish: Any = None, index: int = 0, **fields: Any) -> bytes:
    return event(choices=[{"index": index, "delta": delta, "finish_reason": finish}], **fields)


def text(piece: str, **fields: Any) -> bytes:
    return chunk({"content": piece}, **fields)


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
FINISH = chunk({}, "stop")
COUNT = event(choices=[], usage=COUNTS)


class Relayed(msgspec.Struct):
    """What came of a reply."""

    data: bytes
    failed: GatewayError | None
    content_at: int | None
    """How many bytes had been handed on when the first content was reported."""
    scanner: ReplyScanner


UPSTREAM = ChatUpstream("http://upstream.example/v1")


def scan(*reads: bytes, head: ReplyHead = SSE, hide_usage: bool = False) -> Relayed:
    reader = UPSTREAM.scanner(head, hide_usage=hide_usage)
    out = b""
    content_at = None
    for read in [*reads, None]:
        passed: Passed = reader.eof() if read is None else reader.feed(read)
        if passed.content and content_at is None:
            content_at = len(out)
        out += passed.data
        assert not out or out.endswith(b"\n\n"), "not at an event border"
        if passed.failed is not None:
            assert reader.fault is not None
            assert reader.fault.error is passed.failed
            return Relayed(out, passed.failed, content_at, reader)
    assert reader.fault is None
    return Relayed(out, None, content_at, reader)


STREAM = ROLE + text("He") + text("llo 🙂") + FINISH + COUNT + DONE


def test_a_stream_goes_on_as_the_very_same_object() -> None:
    """A read that ends at an event border is not copied."""
    reader = ChatUpstream("http://x.example").scanner(SSE, hide_usage=False)
    first = ROLE + text("a")
    assert reader.feed(first).data is first
    later = text("b") * 50
    assert reader.feed(later).data is later
    assert reader.feed(FINISH + DONE).data == FINISH + DONE
    assert reader.done
    assert reader.feed(b"more").data == b""
    assert reader.eof().data == b""


UNKNOWN = (
    b'data: {"choices":[{"delta":{"hologram":{"x": 1.50}},"index":0}],"future": [ ]}\n\n'
    b': a comment\n\nid: 7\nevent: odd\ndata: {"n":\ndata: 1}\n\n'
)


class Exact(ReplyScanner):
    """A scanner that reads every event."""

    def _only_goes_on(self, block: bytes) -> bool:
        del block
        return False


def told(passed: Passed) -> tuple[bytes, bool, str | None]:
    return passed.data, passed.content, passed.failed and passed.failed.text


LIKE = text("a"), text("b")
ALIKE = st.sampled_from(
    [
        *LIKE,
        text('say "hi"'),
        text("back\\"),
        text("[DONE]"),
        text("", error=None),
        text("x", error={"message": "Busy"}),
        text("x", usage=COUNTS),
        text("x", obfuscation="abc"),
        chunk({"content": "x"}, "stop"),
        chunk({"content": "x"}, index=1),
        ROLE,
        FINISH,
        COUNT,
        DONE,
        # Between the bytes of the events around, and yet more than a text.
        LIKE[0].replace(b'"a"', b'"\n\ndata: [DONE]\n\n"'),
        LIKE[0].replace(b'"a"', b'"a"}, "error": {"message": "Busy"}, "more": {"x": "b"'),
        LIKE[0].replace(b'"a"', b'"a\\"'),
        b": a comment\n\n",
        b"event: error\n" + LIKE[0],
    ]
)


@settings(max_examples=300)
@given(events=st.lists(ALIKE, max_size=8), reads=st.lists(st.integers(1, 3)))
def test_both_roads_tell_the_same(events: list[bytes], reads: list[int]) -> None:
    """An event like those before it is not read again, and nothing is missed by that."""
    stream = [ROLE, *LIKE, *events, *LIKE, FINISH]
    quick, exact = (kind(SSE, hide_usage=True) for kind in (ReplyScanner, Exact))
    sizes = iter(reads)
    while stream:
        count = next(sizes, 1)
        data, stream = b"".join(stream[:count]), stream[count:]
        assert told(quick.feed(data)) == told(exact.feed(data))
    assert told(quick.eof()) == told(exact.eof())
    assert (quick.usage, quick.done, quick.model) == (exact.usage, exact.done, exact.model)


def test_an_event_like_the_last_is_known_by_its_ends() -> None:
    """Its middle is searched for nothing but the end of the text."""
    scanner = ReplyScanner(SSE, hide_usage=True)
    for piece in (ROLE, *LIKE):
        scanner.feed(piece)
    before, after = LIKE[0].split(b'"a"')
    assert (scanner._before, scanner._after) == (before + b'"', b'"' + after)


@pytest.mark.parametrize(
    "stream",
    [STREAM, ROLE + UNKNOWN + text("x") + FINISH + DONE, UNKNOWN + FINISH + DONE],
)
@settings(max_examples=60)
@given(data=st.data())
def test_any_chunking_passes_the_same_bytes(stream: bytes, data: st.DataObject) -> None:
    """Unknown fields, comments and names included; each read's end is an event border."""
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=12))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    relayed = scan(*pieces)
    assert relayed.data == stream
    assert relayed.failed is None
    assert relayed.scanner.done
    bytewise = scan(*(stream[i : i + 1] for i in range(len(stream))))
    assert bytewise.data == stream
    assert bytewise.scanner.usage == relayed.scanner.usage == scan(stream).scanner.usage
    assert bytewise.scanner.model == relayed.scanner.model


def test_line_ends_of_other_kinds_become_plain_ones() -> None:
    """A border is only sure with one kind of line end; the events are the same."""
    for end in (b"\r\n", b"\r"):
        stream = b"\xef\xbb\xbf" + STREAM.replace(b"\n", end)
        assert scan(stream).data == STREAM
        assert scan(*(stream[i : i + 1] for i in range(len(stream)))).data == STREAM


@pytest.mark.parametrize(
    "first",
    [
        text("x"),
        chunk({"reasoning_content": "x"}),
        chunk({"reasoning": "x"}),
        chunk({"refusal": "x"}),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"function_call": {"name": "f"}}),
        chunk({"audio": {"id": "x"}}),
        chunk({"content": [{"type": "text", "text": "x"}]}),
        chunk({"something_new": 1}),
        chunk({}, "stop"),
        event(choices=[{"message": {"content": "x"}}]),
        event(choices="of a kind nobody knows"),
    ],
)
def test_the_first_content_is_noticed(first: bytes) -> None:
    """Generated text, thoughts, calls, refusals, sound, or the end of an empty answer."""
    before = event(choices=[], prompt_filter_results=[]) + b": ping\n\n" + ROLE
    relayed = scan(before, first, FINISH + DONE)
    assert relayed.content_at == len(before)
    assert relayed.data == before + first + FINISH + DONE
    together = scan(before + first, FINISH + DONE)
    assert together.content_at == 0


def test_model_and_usage_are_read_on_the_way() -> None:
    """The model of the first chunk that names one; the last usage there is."""
    relayed = scan(event(choices=[], model="") + STREAM)
    assert relayed.scanner.model == "real"
    assert relayed.scanner.usage == USAGE


@pytest.mark.parametrize(
    "tail",
    [
        FINISH + COUNT,
        FINISH + event(usage=COUNTS),
        chunk({}, "stop", usage=COUNTS),
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": COUNTS}]),
        text("a", usage={"prompt_tokens": 1, "completion_tokens": 1})
        + chunk({}, "stop", usage=COUNTS),
        chunk({}, "stop", usage=COUNTS) + event(choices=[], usage=None),
        COUNT + chunk({}, "stop", timings={"prompt_tokens": 9}),
    ],
)
def test_usage_is_found_wherever_it_stands(tail: bytes) -> None:
    """In one read or in one read each."""
    stream = ROLE + text("x") + tail + DONE
    assert scan(stream).scanner.usage == USAGE
    reads = [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]]
    assert scan(*reads).scanner.usage == USAGE


def test_words_of_the_dialect_in_somebodys_text_mean_nothing() -> None:
    """Text that speaks of usage, errors and ends is text."""
    tricky = (
        '{"usage":{"prompt_tokens":1,"completion_tokens":1},"error":{"x":1}}\n\ndata: [DONE]\n\n'
    )
    stream = ROLE + text(tricky) + text("[DONE]") + text('"finish_reason":"stop"')
    relayed = scan(stream, FINISH + DONE)
    assert relayed.data == stream + FINISH + DONE
    assert relayed.scanner.usage is None
    cut = scan(stream)
    assert cut.failed is not None


@pytest.mark.parametrize("spread", [False, True])
def test_hidden_usage_is_the_one_event_that_is_left_out(spread: bool) -> None:
    """It is read all the same; usage beside choices stays, and so does all else without choices."""
    azure = event(choices=[], prompt_filter_results=[{}])
    beside = text("y", usage=COUNTS)
    stream = azure + ROLE + text("x") + beside + FINISH + COUNT + DONE
    reads = [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]] if spread else [stream]
    relayed = scan(*reads, hide_usage=True)
    assert relayed.data == azure + ROLE + text("x") + beside + FINISH + DONE
    assert relayed.scanner.usage == USAGE
    without_choices = scan(ROLE + FINISH + event(usage=COUNTS) + DONE, hide_usage=True)
    assert without_choices.data == ROLE + FINISH + DONE
    null = ROLE + text("x", usage=None) + chunk({}, "stop", usage=None) + DONE
    assert scan(null, hide_usage=True).data == null


# -- ends ------------------------------------------------------------------------------------


def test_an_end_without_done_gets_one() -> None:
    """The client is told of the end in the dialect's own way."""
    relayed = scan(ROLE + text("x") + FINISH)
    assert relayed.failed is None
    assert relayed.data == ROLE + text("x") + FINISH + DONE


@pytest.mark.parametrize("last", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\n\n"])
def test_an_end_is_an_end_however_it_is_written(last: bytes) -> None:
    """Without its blank line or line end, without the space."""
    relayed = scan(ROLE + text("x") + FINISH + last)
    assert relayed.failed is None
    assert SseSplitter().events(relayed.data)[-1].data == b"[DONE]"
    assert relayed.data.count(b"[DONE]") == 1


def test_nothing_goes_on_after_the_end() -> None:
    """Comments and events behind [DONE] are dropped, also those of the same read."""
    relayed = scan(ROLE + text("x") + FINISH + DONE + b": bye\n\n" + b"data: {}\n\n" * 20)
    assert relayed.data == ROLE + text("x") + FINISH + DONE


def test_a_cut_stream_is_a_failure_and_its_half_event_is_dropped() -> None:
    """What was whole went on; the client never sees half an event."""
    relayed = scan(ROLE + text("x"), text("lost")[:20])
    assert relayed.data == ROLE + text("x")
    assert isinstance(relayed.failed, UpstreamFailed)
    assert relayed.failed.code == "upstream_truncated"
    assert relayed.scanner.fault is not None
    assert relayed.scanner.fault.retry == "again"


@pytest.mark.parametrize("stream", [b"", b": hi\n\n", ROLE, DONE, ROLE + DONE])
def test_a_stream_without_an_answer_is_a_failure_before_any_content(stream: bytes) -> None:
    """So it can be asked for again."""
    relayed = scan(stream)
    assert isinstance(relayed.failed, UpstreamFailed)
    assert relayed.content_at is None


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        event(error={"message": "slow", "code": "rate_limit_exceeded"}),
        b'event: error\ndata: {"message": "slow", "code": 429}\n\n',
        b'data: {"error": {"message": "slow", "code": 429}}\n\n',
    ],
)
def test_an_error_before_content_is_reported_and_not_passed_on(error: bytes) -> None:
    """Whatever handshake came before it."""
    for reads in ([ROLE + error], [ROLE, error], [error, DONE]):
        relayed = scan(*reads)
        assert isinstance(relayed.failed, RateLimited)
        assert b"slow" not in relayed.data
        assert relayed.content_at is None


@pytest.mark.parametrize(
    "error",
    [
        event(error={"message": "slow", "code": "rate_limit_exceeded"}),
        event(error="slow down", choices=[], code=429),
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "error",
                        "error": {"message": "slow", "code": 429}}]),
    ],
)  # fmt: skip
def test_an_error_after_content_ends_the_reply_before_it(error: bytes) -> None:
    """What was said goes on, the error is the gateway's to word, and nothing follows."""
    null = text("b", error=None)
    for reads in ([ROLE + text("a") + null + error + null + DONE], [ROLE + text("a"), null, error]):
        relayed = scan(*reads)
        assert relayed.data == ROLE + text("a") + null
        assert relayed.failed is not None
        assert relayed.scanner.feed(text("more")) == Passed(b"")
        assert relayed.scanner.eof() == Passed(b"")


def test_null_errors_everywhere_are_no_errors() -> None:
    """Some servers write the field into every chunk."""
    stream = ROLE + text("a", error=None) * 20 + chunk({}, "stop", error=None) + DONE
    assert scan(stream).data == stream


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": {"message": "slow", "code": 429}}', RateLimited),
        (b"<html><title>Just a moment...</title>", UpstreamChallenge),
        (b"OK", UpstreamFailed),
        (b"{}", UpstreamFailed),
        (b'{"choices": []}', UpstreamFailed),
        (b"[" * 5000, UpstreamFailed),
        (b"", UpstreamFailed),
    ],
)
def test_a_200_that_is_no_completion_is_a_failure(body: bytes, kind: type[GatewayError]) -> None:
    """Not a byte of it goes on, so another credential can be asked."""
    fault = UPSTREAM.facts(JSON, body).fault
    assert fault is not None
    assert type(fault.error) is kind
    for reads in ([body], [body[:9], body[9:]]):
        relayed = scan(*reads, head=JSON)
        assert type(relayed.failed) is kind
        assert relayed.data == b""
        assert relayed.content_at is None


def test_an_event_that_is_no_json_fails_before_content() -> None:
    """A proxy's plain words inside a stream."""
    relayed = scan(ROLE + b"data: Internal Server Error\n\n")
    assert isinstance(relayed.failed, UpstreamFailed)
    assert "Internal Server Error" in relayed.failed.text


# -- limits ----------------------------------------------------------------------------------


def test_an_event_that_is_too_long_ends_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one read or many, what was before it goes on."""
    monkeypatch.setattr(scanner_module, "MAX_EVENT", 500)
    monkeypatch.setattr(scanner_module.SseSplitter.__init__, "__kwdefaults__",
                        {"limit": 500, "alias": b""})  # fmt: skip
    giant = text("x" * 600)
    stream = ROLE + text("a") + giant + text("b")
    for reads in ([stream], [stream[i : i + 100] for i in range(0, len(stream), 100)]):
        relayed = scan(*reads)
        assert relayed.data == ROLE + text("a")
        assert relayed.failed is not None
        assert relayed.failed.code == "upstream_reply_too_long"


def test_a_whole_reply_too_large_to_be_read_goes_on_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its usage stays unknown; as a stream it cannot be had."""
    for module in (scanner_module, whole_module):
        monkeypatch.setattr(module, "MAX_READ_WHOLE", 300)
    body = json.dumps({"choices": [{"message": {"content": "x" * 500}}], "usage": COUNTS}).encode()
    facts = UPSTREAM.facts(JSON, body)
    assert facts.fault is None
    assert facts.usage is None
    reads = [body[i : i + 100] for i in range(0, len(body), 100)]
    asked_to_stream = scan(*reads, head=JSON)
    assert asked_to_stream.failed is not None


# -- whole replies ---------------------------------------------------------------------------

WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "model": "real",
    "future": [1.50],
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}],
                "odd": {"x": 1},
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": COUNTS,
}


def test_a_whole_reply_is_read_for_usage_and_model() -> None:
    """Where it is as specified; a byte order mark before it changes nothing."""
    body = json.dumps(WHOLE, indent=1).encode()
    for received in (body, b"\xef\xbb\xbf" + body):
        assert UPSTREAM.facts(JSON, received) == WholeFacts(USAGE, "real")


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"usage": "many", "model": "m"}, WholeFacts(None, "m")),
        ({"usage": {"prompt_tokens": "3"}}, WholeFacts(None, "real")),
        ({"model": 7}, WholeFacts(USAGE, "")),
        ({"model": None, "usage": None}, WholeFacts(None, "")),
        ({"usage": {}}, WholeFacts(None, "real")),
    ],
)
def test_a_whole_reply_with_odd_types_is_still_an_answer(
    fields: dict[str, Any], facts: WholeFacts
) -> None:
    """What cannot be read is unknown; the answer itself is nobody's business but the client's."""
    assert UPSTREAM.facts(JSON, json.dumps(WHOLE | fields).encode()) == facts


def test_a_server_that_answers_whole_where_a_stream_was_asked_for() -> None:
    """The client gets the stream it asked for, unknown fields included."""
    body = b"\n" + json.dumps(WHOLE).encode()
    relayed = scan(body, head=JSON, hide_usage=True)
    first, done = SseSplitter().events(relayed.data)
    assert done.data == b"[DONE]"
    made = json.loads(first.data)
    assert made["object"] == "chat.completion.chunk"
    assert made["future"] == [1.5]
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["delta"]["content"] == "Hi"
    assert choice["delta"]["odd"] == {"x": 1}
    assert choice["delta"]["tool_calls"] == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}
    ]
    assert relayed.scanner.usage == USAGE
    shown = SseSplitter().events(scan(body, head=JSON).data)
    assert json.loads(shown[1].data)["usage"] == COUNTS
    assert json.loads(shown[1].data)["choices"] == []


@pytest.mark.parametrize(
    "reads",
    [
        (COUNT, b"\n", text("a"), FINISH + DONE),
        (COUNT + b"\n", text("a"), FINISH + DONE),
        (COUNT + b"\n\n", text("a") + FINISH, DONE),
        (text("a"), b"\n", FINISH, COUNT, b"\n", b"\n", DONE),
        (text("a") + FINISH + COUNT + b"\n" + DONE,),
    ],
)
def test_a_line_end_between_events_is_not_one_of_them(reads: tuple[bytes, ...]) -> None:
    """Behind an event that was left out, or that has left already, nothing is to be passed on."""
    assert scan(*reads, hide_usage=True).data == text("a") + FINISH + DONE


@settings(max_examples=200)
@given(
    reads=st.lists(
        st.sampled_from(
            (
                *(ROLE, text("a"), FINISH, COUNT, DONE, event(error={"message": "m"})),
                *(b"data: {}\n\n", b"data: x\n\n", b"event: error\n", b": c\n", b"<html>"),
                *(b"\n", b"\r", b"{", b"}"),
            )
        )
        | st.binary(max_size=6),
        max_size=12,
    ),
    hide_usage=st.booleans(),
)
def test_random_replies_never_crash(reads: list[bytes], hide_usage: bool) -> None:
    """Whatever comes, it is passed on in whole events or it is a failure."""
    UPSTREAM.facts(JSON, b"".join(reads))
    relayed = scan(*reads, hide_usage=hide_usage)
    assert relayed.scanner.done == (relayed.failed is None)
