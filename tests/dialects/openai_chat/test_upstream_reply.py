"""Replies of servers as they really are: streams, objects, errors, in any chunking."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import ChatRequest, Message, Opaque, Text
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.dialects.openai_chat.upstream_reply import ChatReplyDecoder
from chatgpt_to_api.dialects.reply_reading import MAX_WHOLE
from chatgpt_to_api.errors import RateLimited, UpstreamChallenge, UpstreamFailed, UpstreamRejected
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT

REQUEST = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),), stream=True)
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
DONE = b"data: [DONE]\n\n"


def chunk(delta: Any = None, finish: Any = None, index: int | None = 0, **fields: Any) -> bytes:
    choice: dict[str, Any] = {"delta": delta or {}, "finish_reason": finish}
    if index is not None:
        choice["index"] = index
    return event(**{"choices": [choice]} | fields)


def event(**fields: Any) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "real"}
    return b"data: " + json.dumps(base | fields, ensure_ascii=False).encode() + b"\n\n"


def text(piece: str, **fields: Any) -> bytes:
    return chunk({"content": piece}, **fields)


def decoder(head: ReplyHead = SSE) -> ChatReplyDecoder:
    return ChatUpstream("http://upstream.example/v1").decoder(REQUEST, head)


def decode(*reads: bytes, head: ReplyHead = SSE) -> list[ChatEvent]:
    reader = decoder(head)
    events = [made for read in reads for made in reader.feed(read)] + reader.eof()
    assert (reader.fault is not None) == (bool(events) and isinstance(events[-1], Failed))
    assert reader.follow_up() is None
    assert reader.conclude() == []
    return events


def joined(events: list[ChatEvent]) -> list[Any]:
    """Events with adjacent pieces of a choice joined: what must not depend on the chunking."""
    out: list[Any] = []
    for made in events:
        match made:
            case TextDelta(piece, choice) | RefusalDelta(piece, choice):
                entry = [type(made).__name__, choice, piece]
            case ToolCallDelta(piece, choice):
                entry = ["ToolCallDelta", choice, piece]
            case ReasoningDelta(piece, choice, None):
                entry = ["ReasoningDelta", choice, piece]
            case Failed(error):
                entry = ["Failed", type(error).__name__, error.text]
            case _:
                out.append(made)
                continue
        if out and isinstance(out[-1], list) and out[-1][:2] == entry[:2] and entry[0] != "Failed":
            out[-1][2] += entry[2]
        else:
            out.append(entry)
    return out


def spoken(events: list[ChatEvent]) -> str:
    return "".join(made.text for made in events if isinstance(made, TextDelta))


def failure(events: list[ChatEvent]) -> Any:
    assert isinstance(events[-1], Failed)
    return events[-1].error


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
PLAIN = (
    chunk({"role": "assistant", "content": ""})
    + text("Hé")
    + text("llo 🙂")
    + chunk(finish="stop")
    + event(choices=[], usage=USAGE)
    + DONE
)
LONG = chunk({"role": "assistant"}) + b"".join(text(f"{i} ") for i in range(60)) + PLAIN
THINKING = (
    chunk({"role": "assistant", "reasoning_content": "Let "})
    + chunk({"reasoning": "me see."})
    + chunk({"reasoning_content": None, "content": "Yes"})
    + chunk({"refusal": "but no"})
    + chunk(finish="content_filter")
    + DONE
)
CALLS = (
    chunk({"role": "assistant", "content": None})
    + text("I look.")
    + chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function",
                             "function": {"name": "f", "arguments": ""}}]})
    + chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]})
    + chunk({"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]})
    + chunk({"tool_calls": [{"index": 1, "id": "b", "type": "function",
                             "function": {"name": "g", "arguments": "{}"}}]})
    + chunk(finish="stop")
    + DONE
)  # fmt: skip
CHOICES = (
    text("a", index=0) + text("b", index=1) + text("c", index=0)
    + chunk(finish="stop", index=1) + chunk(finish="length", index=0) + DONE
)  # fmt: skip
AZURE = event(choices=[], model="", prompt_filter_results=[{}]) + PLAIN
ODD_FRAMES = (
    b"\xef\xbb\xbf: hi\r\n\r\n" + text("a").replace(b"\n", b"\r\n") + b": keep-alive\n\n"
    + text("b").replace(b"data: ", b"data:") + chunk(finish="stop") + b"data: [DONE]"
)  # fmt: skip
MULTI_LINE = (
    b'event: chunk\nid: 5\ndata: {"choices": [{"delta":\ndata:  {"content": "x"}}]}\n\n'
    + chunk(finish="stop")
)
CUT = chunk({"role": "assistant"}) + text("half") + text("lost")[:-9]
BROKEN = text("a") + event(error={"message": "overloaded", "type": "overloaded_error"}) + text("b")
NO_JSON = text("a") + b"data: Internal Server Error\n\n"
STREAMS = {
    "plain": PLAIN, "long": LONG, "thinking": THINKING, "calls": CALLS, "choices": CHOICES,
    "azure": AZURE, "odd frames": ODD_FRAMES, "multi line": MULTI_LINE, "cut": CUT,
    "broken": BROKEN, "no json": NO_JSON,
    "whole": json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    .encode(),
    "error": b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}',
    "page": b"<html><title>Just a moment...</title>",
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
@settings(max_examples=40)
@given(data=st.data())
def test_any_chunking_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    """However a reply is cut, byte by byte too, it means the same."""
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=12))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    whole = joined(decode(stream))
    assert joined(decode(*pieces)) == whole
    assert joined(decode(*(stream[i : i + 1] for i in range(len(stream))))) == whole


def test_two_streams_at_once_share_nothing() -> None:
    """Interleaved reads of two replies stay two replies."""
    one, two = decoder(), decoder()
    first: list[ChatEvent] = []
    second: list[ChatEvent] = []
    for a, b in zip(CALLS.split(b"\n\n"), PLAIN.split(b"\n\n"), strict=False):
        first += one.feed(a + b"\n\n")
        second += two.feed(b + b"\n\n")
    first += one.feed(DONE)
    second += two.feed(DONE)
    assert spoken(first) == "I look."
    assert spoken(second) == "Héllo 🙂"


def test_a_plain_stream() -> None:
    """Started with the model that answers, one text block, its end, usage last."""
    assert joined(decode(PLAIN)) == [
        Started("real"),
        BlockStarted(0, "text"),
        ["TextDelta", 0, "Héllo 🙂"],
        BlockEnded(0),
        Finished("stop"),
        UsageReported(upstream_usage()),
    ]


def upstream_usage() -> Any:
    from chatgpt_to_api.chat.usage import Usage

    return Usage(3, 2, source="reported")


def test_done_ends_the_reply_at_once() -> None:
    """Nobody waits for the connection to close, and nothing after it counts."""
    reader = decoder()
    reader.feed(PLAIN)
    assert reader.done
    assert reader.feed(text("more")) == []
    assert reader.eof() == []


def test_text_in_a_read_is_one_delta() -> None:
    """A hundred pieces that came together leave together."""
    texts = [made for made in decode(LONG) if isinstance(made, TextDelta)]
    assert len(texts) == 1
    assert texts[0].text.startswith("0 1 2 3 ")


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["content", "reasoning_content", "refusal", "tool", "null", "usage"]),
            st.text(max_size=5),
            st.sampled_from([0, 0, 0, 1]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_the_lean_road_and_the_full_one_mean_the_same(rows: list[tuple[str, str, int]]) -> None:
    """A block read for its text alone gives what each of its events read in full gives."""
    stream = [chunk({"role": "assistant"})]
    for kind, piece, index in rows:
        match kind:
            case "tool":
                delta: Any = {"tool_calls": [{"index": 0, "id": "a", "function":
                                              {"name": "f", "arguments": piece}}]}  # fmt: skip
                stream.append(chunk(delta, index=index))
            case "null":
                stream.append(chunk({"content": None}, index=index, usage=None))
            case "usage":
                stream.append(text(piece, index=index, usage=USAGE))
            case _:
                stream.append(chunk({kind: piece}, index=index))
    stream += [chunk(finish="stop"), chunk(finish="stop", index=1), DONE]
    assert joined(decode(b"".join(stream))) == joined(decode(*stream))


# -- loose servers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        chunk(finish="stop") + event(choices=[], usage=USAGE),
        chunk(finish="stop") + event(usage=USAGE),
        chunk(finish="stop") + chunk({}, usage=USAGE),
        chunk(finish="stop", usage=USAGE),
        event(choices=[{"delta": {}, "finish_reason": "stop", "usage": USAGE}]),
        text("", usage={"prompt_tokens": 3, "completion_tokens": 1})
        + chunk(finish="stop", usage=USAGE),
        event(choices=[], usage=USAGE) + chunk(finish="stop", usage=None),
    ],
)
def test_usage_is_found_wherever_it_stands(tail: bytes) -> None:
    """Trap 14: without choices, beside them, in them, at the end, everywhere: the last holds."""
    reported = [made for made in decode(text("a") + tail + DONE) if isinstance(made, UsageReported)]
    assert reported == [UsageReported(upstream_usage())]


@pytest.mark.parametrize("first", [{"choices": []}, {"choices": None}, {}])
def test_a_first_chunk_without_choices_is_not_the_end(first: dict[str, Any]) -> None:
    """Trap 15: filter results of the prompt come before the answer."""
    events = decode(event(**first, model="", prompt_filter_results=[{}]) + PLAIN)
    assert spoken(events) == "Héllo 🙂"
    assert Finished("stop") in events


@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}])
def test_calls_come_whatever_stands_for_no_content(content: dict[str, Any]) -> None:
    """Trap 21: null, an empty string, or nothing at all beside the calls."""
    called = {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}
    whole = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    streamed = decode(chunk({**content, "tool_calls": [called]}) + chunk(finish="stop") + DONE)
    message = {"role": "assistant", **content, "tool_calls": [whole]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    for events in (streamed, decode(body.encode())):
        kinds = [made.kind for made in events if isinstance(made, BlockStarted)]
        assert (kinds, spoken(events)) == (["tool_call"], "")
        assert Finished("tool_calls") in events


def test_usage_that_cannot_be_read_is_no_failure() -> None:
    """An answer is not lost for its counts."""
    events = decode(text("a") + chunk(finish="stop", usage={"prompt_tokens": "x"}) + DONE)
    assert events[-1] == Finished("stop")


def test_an_empty_finish_reason_is_none() -> None:
    """Trap 16: some servers send an empty string in the middle."""
    events = decode(text("a", finish="") + text("b", finish="") + chunk(finish="stop") + DONE)
    assert spoken(events) == "ab"
    assert [made for made in events if isinstance(made, Finished)] == [Finished("stop")]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("eos", "stop"),
        ("STOP", "stop"),
    ],
)
def test_finish_reasons(said: str, reason: str) -> None:
    """Each server's word for the same end; an unknown one is an end all the same."""
    assert decode(text("a") + chunk(finish=said) + DONE)[-1] == Finished(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["stop", "STOP", "tool_calls", "completed"])
def test_calls_are_the_reason_whatever_the_server_says(said: str) -> None:
    """Trap 17: in the same chunk as the call or in a later one."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    apart = chunk({"tool_calls": [call]}) + chunk(finish=said) + DONE
    together = chunk({"tool_calls": [call]}, finish=said) + DONE
    for stream in (apart, together):
        assert decode(stream)[-1] == Finished("tool_calls")
    cut = decode(chunk({"tool_calls": [call]}, finish="length") + DONE)
    assert cut[-1] == Finished("length")


def test_content_of_each_kind_lands_in_its_block() -> None:
    """Thoughts under three names, refusals, text in parts, legacy calls."""
    stream = (
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]})
        + chunk({"content": [{"type": "text", "text": "a"}, {"type": "new"}]})
        + chunk({"reasoning": "b", "reasoning_details": [{"k": 1}]})
        + chunk({"function_call": {"name": "f", "arguments": ""}})
        + chunk({"function_call": {"arguments": "{}"}})
        + chunk(finish="function_call")
        + DONE
    )
    events = joined(decode(stream))
    call = next(made for made in events if getattr(made, "kind", "") == "tool_call")
    assert call.tool_id.startswith("call_")
    assert events[1:] == [
        BlockStarted(0, "reasoning"),
        ["ReasoningDelta", 0, "hm"],
        BlockEnded(0),
        BlockStarted(1, "text"),
        ["TextDelta", 0, "a"],
        BlockEnded(1),
        BlockStarted(2, "reasoning"),
        ReasoningDelta("b", 0, Opaque("openai_chat", '[{"k": 1}]')),
        BlockEnded(2),
        BlockStarted(3, "tool_call", 0, call.tool_id, "f"),
        ["ToolCallDelta", 0, "{}"],
        BlockEnded(3),
        Finished("tool_calls"),
    ]


def test_a_piece_after_the_end_of_its_choice_is_dropped() -> None:
    """A finished choice stays finished."""
    assert spoken(decode(text("a") + chunk(finish="stop") + text("b") + DONE)) == "a"


def test_events_that_are_no_chunks_are_passed_over() -> None:
    """Pings and numbers say nothing; unknown objects neither."""
    noise = b'data: 5\n\ndata: "ping"\n\ndata: null\n\nevent: ping\ndata: {}\n\n'
    assert spoken(decode(noise + text("a") + noise + chunk(finish="stop") + DONE)) == "a"


# -- ends ------------------------------------------------------------------------------------


def test_an_end_without_done_is_good_once_every_choice_has_finished() -> None:
    """Some servers just close."""
    assert decode(text("a") + chunk(finish="stop"))[-1] == Finished("stop")
    half = decode(text("a", index=0) + text("b", index=1) + chunk(finish="stop", index=0))
    assert isinstance(failure(half), UpstreamFailed)


def test_an_end_before_the_answers_is_a_failure() -> None:
    """A reply that was cut is never a quiet success; what was counted is reported."""
    events = decode(text("a", usage=USAGE))
    assert failure(events).code == "upstream_truncated"
    assert UsageReported(upstream_usage()) in events
    reader = decoder()
    reader.feed(text("a"))
    reader.eof()
    assert reader.fault is not None
    assert (reader.fault.upstream, reader.fault.retry) == ("count", "again")


@pytest.mark.parametrize("stream", [b"", b"\n\n", b": hi\n\n", DONE, event(choices=[]) + DONE])
def test_a_stream_without_an_answer_is_a_failure(stream: bytes) -> None:
    """An empty reply can be tried again elsewhere."""
    error = failure(decode(stream))
    assert isinstance(error, UpstreamFailed)


def test_done_without_a_finish_reason_is_a_stop() -> None:
    """The server has said that it ended."""
    assert decode(text("a") + DONE)[-1] == Finished("stop")


def test_a_last_line_without_its_end_counts_if_it_is_whole() -> None:
    """A whole object or [DONE] ends by itself; half an object does not."""
    assert decode(text("a") + chunk(finish="stop").rstrip())[-1] == Finished("stop")
    assert isinstance(failure(decode(text("a") + chunk(finish="stop")[:-5])), UpstreamFailed)


# -- errors inside a 200 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        event(error={"message": "slow down", "code": "rate_limit_exceeded"}),
        b'data: {"error": {"message": "slow down", "type": "rate_limit_error"}}\n\n',
        b'event: error\ndata: {"message": "slow down", "code": 429}\n\n',
        event(choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error",
                        "error": {"code": 429, "message": "slow down"}}]),
        b'{"error": {"message": "slow down", "code": 429}}',
        b'[{"error": {"message": "slow down", "code": 429}}]',
        b'{"object": "error", "message": "slow down", "code": 429}',
    ],
)  # fmt: skip
def test_an_error_event_is_the_failure_its_words_say(stream: bytes) -> None:
    """Before content it can be retried by what it means; nothing follows it."""
    reader = decoder()
    events = reader.feed(stream) + reader.eof()
    error = failure(events)
    assert isinstance(error, RateLimited)
    assert "slow down" in error.text
    assert reader.fault is not None
    assert reader.fault.credential == "backoff"
    assert reader.feed(text("more")) == []
    assert reader.eof() == []


def test_an_error_after_content_ends_the_reply() -> None:
    """What was said stays said, then the failure, then nothing."""
    events = decode(BROKEN)
    assert spoken(events) == "a"
    assert failure(events).status == 503
    refused = event(error={"message": "too long", "code": "context_length_exceeded"})
    assert isinstance(failure(decode(text("a") + refused)), UpstreamRejected)


@pytest.mark.parametrize("reason", ["error", "abort", "network_error"])
def test_an_end_that_is_a_failure(reason: str) -> None:
    """Some servers name a failure as the reason to finish."""
    assert isinstance(failure(decode(text("a") + chunk(finish=reason) + DONE)), UpstreamFailed)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html><title>Just a moment...</title>", b"text/html"),
        (b"<!DOCTYPE html><p>blocked</p>", b"text/event-stream"),
    ],
)
def test_a_page_with_status_200_is_a_challenge(body: bytes, content_type: bytes) -> None:
    """Whatever its content type says: the address is refused, not the credential."""
    reader = decoder(ReplyHead(200, [(b"content-type", content_type)]))
    assert isinstance(failure(reader.feed(body) + reader.eof()), UpstreamChallenge)
    assert reader.fault is not None
    assert (reader.fault.credential, reader.fault.upstream) == ("none", "cool")


@pytest.mark.parametrize("body", [b"", b"OK", b"{}", b"[]", b'"hi"', b'{"choices": []}', b"{"])
def test_a_body_that_is_no_completion_is_a_failure(body: bytes) -> None:
    """Never an empty success."""
    error = failure(decode(body, head=JSON))
    assert isinstance(error, UpstreamFailed)


@pytest.mark.parametrize(
    "payload", [b"data: {\n\n", b"data: Internal Server Error\n\n", b'data: {"choices": 5}\n\n']
)
def test_an_event_that_makes_no_sense_is_a_failure(payload: bytes) -> None:
    """The upstream's words are kept, bounded."""
    error = failure(decode(text("a") + payload))
    assert isinstance(error, UpstreamFailed)
    assert len(error.text) < 500


@pytest.mark.parametrize("index", [-1, 128, 10**12])
def test_choices_are_as_many_as_can_be_asked_for(index: int) -> None:
    """Whatever numbers a server makes up, what is kept of a reply is bounded."""
    assert isinstance(failure(decode(text("a") + text("b", index=index))), UpstreamFailed)


def test_a_reply_beyond_the_limit_is_a_failure() -> None:
    """Memory is bounded for streams and for objects."""
    reader = decoder()
    giant = b"data: " + b"x" * (MAX_EVENT + 1)
    assert failure(reader.feed(text("a")) + reader.feed(giant)).code == "upstream_reply_too_long"
    whole = decoder(JSON)
    piece = b" " * (MAX_WHOLE // 4)
    events = whole.feed(b"{")
    for _ in range(4):
        events += whole.feed(piece)
    assert failure(events).code == "upstream_reply_too_long"


# -- whole replies ---------------------------------------------------------------------------


@pytest.mark.parametrize("head", [JSON, SSE, ReplyHead(200, [])])
def test_a_whole_reply_is_read_whatever_its_content_type(head: ReplyHead) -> None:
    """Also where a stream was asked for."""
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
        ],
    }
    body = {
        "id": "x",
        "model": "real",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "stop"},
            {"index": 1, "message": {"content": "Ho"}, "finish_reason": "length"},
        ],
        "usage": USAGE,
    }
    data = json.dumps(body).encode()
    events = decode(b"\n " + data[:50], data[50:], head=head)
    assert events == [
        Started("real"),
        BlockStarted(0, "reasoning"),
        ReasoningDelta("hm"),
        BlockEnded(0),
        BlockStarted(1, "text"),
        TextDelta("Hi"),
        BlockEnded(1),
        BlockStarted(2, "tool_call", 0, "a", "f"),
        ToolCallDelta('{"x":1}'),
        BlockEnded(2),
        Finished("tool_calls"),
        BlockStarted(0, "text", 1),
        TextDelta("Ho", 1),
        BlockEnded(0, 1),
        Finished("length", 1),
        UsageReported(upstream_usage()),
    ]


def test_a_stream_is_read_whatever_its_content_type() -> None:
    """Streams that call themselves JSON or text are streams."""
    for content_type in (b"application/json", b"text/plain", b""):
        head = ReplyHead(200, [(b"content-type", content_type)])
        assert spoken(decode(PLAIN, head=head)) == "Héllo 🙂"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "message", "content", "index", "finish_reason", "usage"),
                    *("tool_calls", "function", "name", "arguments", "id", "error", "reasoning"),
                    *("refusal", "prompt_tokens", "completion_tokens", "reasoning_details", "text"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=200)
@given(
    payloads=st.lists(JSON_VALUES.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=10)),
    stream=st.booleans(),
)
def test_random_replies_never_crash(payloads: list[bytes], stream: bool) -> None:
    """Whatever a server sends is events, and a failure at the worst."""
    reader = decoder()
    events: list[ChatEvent] = []
    for payload in payloads:
        events += reader.feed(b"data: " + payload + b"\n\n" if stream else payload)
    events += reader.eof()
    assert reader.done != (reader.fault is not None)
    open_blocks: dict[int, int] = {}
    for made in events:  # the tracker's promise, whatever came
        match made:
            case BlockStarted(block, _, choice):
                assert choice not in open_blocks
                open_blocks[choice] = block
            case BlockEnded(block, choice):
                assert open_blocks.pop(choice) == block
            case Finished(choice=choice):
                assert choice not in open_blocks
