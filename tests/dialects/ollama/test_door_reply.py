"""What a client of Ollama is told, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    ChatEvent,
    Failed,
    FinishReason,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.ollama.door import CHAT_DOOR, GENERATE_DOOR
from chatgpt_to_api.dialects.ollama.door_reply import OllamaReplyEncoder
from chatgpt_to_api.errors import RateLimited, UpstreamFailed
from chatgpt_to_api.wire.http import RequestHead

HEAD = RequestHead("POST", "/api/chat", b"", [])


def clock(*seconds: float) -> Callable[[], float]:
    """Time that goes on with each look at it, and then stands."""
    times: Iterator[float] = iter(seconds)
    last = [0.0]

    def now() -> float:
        last[0] = next(times, last[0])
        return last[0]

    return now


def encoder(elapsed: Callable[[], float] = lambda: 0.0, **more: Any) -> OllamaReplyEncoder:
    body = {"model": "llama3.2:latest", "messages": [{"role": "user", "content": "x"}], **more}
    asked = CHAT_DOOR.ask(HEAD, msgspec.json.encode(body))
    return CHAT_DOOR.reply(asked, Stamp("0f-0e", 1_700_000_000, elapsed))


def reply(*pieces: str, reason: FinishReason = "stop") -> list[ChatEvent]:
    tracker = BlockTracker()
    events: list[ChatEvent] = [Started("served")]
    for piece in pieces:
        events += tracker.text(piece)
    return [*events, *tracker.finish(reason)]


def read(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def test_the_model_keeps_the_name_it_was_asked_by() -> None:
    """Clients look it up under that."""
    made = encoder()
    lines = read(made.feed(reply("hi")) + made.end())
    assert {line["model"] for line in lines} == {"llama3.2:latest"}


def test_times_are_nanoseconds_between_the_moments_that_were_seen() -> None:
    """Trap 60: until the first piece it read the prompt, then it wrote."""
    elapsed = clock(0.0, 1.5, 1.5, 4.0, 4.0)
    made = encoder(elapsed)
    made.feed(reply("hi"))
    made.feed([UsageReported(Usage(input=7, output=3, cache_read=2, source="reported"))])
    [last] = read(made.end())
    assert last["total_duration"] == 4_000_000_000
    assert last["prompt_eval_duration"] == 1_500_000_000
    assert last["eval_duration"] == 2_500_000_000
    assert (last["prompt_eval_count"], last["eval_count"]) == (9, 3)
    assert last["created_at"].startswith("2023-11-14T22:13:2") and last["created_at"].endswith("Z")


@given(st.lists(st.floats(0, 3), min_size=1, max_size=6).map(sorted))
def test_each_line_says_when_it_was_written(seconds: list[float]) -> None:
    """Whatever of the time before is written again, also where a second ends between two lines."""
    now = [0.0]
    made = encoder(lambda: now[0])
    for elapsed in seconds:
        now[0] = elapsed
        [line] = read(made.feed([TextDelta("hi")]))
        written = datetime.fromisoformat(line["created_at"])
        assert written.utcoffset() == timedelta(0)
        assert len(line["created_at"]) == len("2023-11-14T22:13:20.000000Z")
        assert written.timestamp() == pytest.approx(1_700_000_000 + elapsed, abs=2e-6)


def test_what_was_not_counted_is_not_said() -> None:
    """Zero would be a lie."""
    made = encoder()
    [last] = read(made.feed([]) + made.end())
    assert "eval_count" not in last and "prompt_eval_count" not in last
    assert last["eval_duration"] >= 1  # clients divide by it


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("content_filter", "content_filter"),
        ("pause", "stop"),
    ],
)
def test_reasons_are_the_dialects_words(reason: FinishReason, word: str) -> None:
    """Calls end like any other answer."""
    made = encoder()
    assert read(made.feed(reply("x", reason=reason)) + made.end())[-1]["done_reason"] == word
    whole = json.loads(encoder(stream=False).complete(reply("x", reason=reason)).body)
    assert whole["done_reason"] == word


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ((), {}),
        (('{"a":', "1}"), {"a": 1}),
        (('{"cut": "of',), {"input": '{"cut": "of'}),
        (("just words",), {"input": "just words"}),
        (("[1]",), {"input": "[1]"}),
    ],
)
def test_arguments_are_always_an_object(pieces: tuple[str, ...], arguments: Any) -> None:
    """Trap 60: what is none, of a freeform tool or cut, can at least be seen by the tool."""
    tracker = BlockTracker()
    events = tracker.tool_call("", "f")
    for piece in pieces:
        events += tracker.arguments(piece)
    events += tracker.finish("tool_calls")
    made = encoder()
    [line, _] = read(made.feed(events) + made.end())
    [call] = line["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "f", "arguments": arguments}
    assert call["id"].startswith("call_")
    assert line["message"]["content"] == ""
    whole = json.loads(encoder(stream=False).complete(events).body)
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == arguments


def test_a_call_comes_whole_however_its_arguments_came() -> None:
    """Nothing is said of it before it is complete."""
    tracker = BlockTracker()
    made = encoder()
    assert made.feed([*tracker.tool_call("t1", "f"), *tracker.arguments('{"a"')]) == b""
    assert made.feed(tracker.arguments(":1}")) == b""
    [line] = read(made.feed(tracker.end_block()))
    assert line["message"]["tool_calls"] == [
        {"id": "t1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
    ]


def test_thoughts_stand_apart_and_refusals_are_words() -> None:
    """In the order they came, pieces of one read joined."""
    tracker = BlockTracker()
    events = [
        *tracker.reasoning("th"),
        *tracker.reasoning("ink"),
        *tracker.text("a"),
        *tracker.refusal("no"),
        *tracker.finish("stop"),
    ]
    made = encoder()
    first, second, third, _ = read(made.feed(events) + made.end())
    assert first["message"] == {"role": "assistant", "content": "", "thinking": "think"}
    assert second["message"]["content"] == "a" and third["message"]["content"] == "no"
    whole = json.loads(encoder(stream=False).complete(events).body)
    assert whole["message"] == {"role": "assistant", "content": "ano", "thinking": "think"}
    for stream in (True, False):
        quiet = encoder(think=False, stream=stream)
        shown = quiet.feed(events) if stream else quiet.complete(events).body
        assert b"think" not in shown


def test_generate_says_response_where_a_chat_has_a_message() -> None:
    """And has no place for calls."""
    body = {"model": "m", "prompt": "p"}
    asked = GENERATE_DOOR.ask(HEAD, msgspec.json.encode(body))
    made = GENERATE_DOOR.reply(asked, Stamp("id", 1))
    tracker = BlockTracker()
    events = [*tracker.reasoning("hm"), *tracker.text("yes"), *tracker.finish("stop")]
    thought, said, last = read(made.feed(events) + made.end())
    assert (thought["response"], thought["thinking"]) == ("", "hm")
    assert said["response"] == "yes" and "message" not in said
    assert last["response"] == "" and last["done"] is True
    assert read(made.keep_alive())[0]["response"] == ""
    whole = json.loads(made.complete(events).body)
    assert (whole["response"], whole["thinking"]) == ("yes", "hm")


def test_a_pause_is_kept_open_with_a_line_that_adds_nothing() -> None:
    """Trap 11: whole lines only, for clients parse every one of them."""
    made = encoder()
    [line] = read(made.keep_alive())
    assert line["message"]["content"] == "" and line["done"] is False
    assert made.keep_alive().endswith(b"}\n")


def test_an_error_is_a_line_and_the_last_one() -> None:
    """Trap 4: in the dialect's shape."""
    made = encoder()
    sent = made.feed(reply("half")[:-2]) + made.failure(UpstreamFailed("It broke."))
    assert read(sent)[-1] == {"error": "It broke."}
    failed = encoder(stream=False).complete([Failed(RateLimited("Busy.", retry_after=3))])
    assert failed.status == 429 and json.loads(failed.body) == {"error": "Busy."}
    assert (b"retry-after", b"3") in failed.headers


def test_two_streams_share_nothing() -> None:
    """Trap 10: each encoder has its own state."""
    one, two = encoder(), encoder()
    tracker = BlockTracker()
    one.feed(tracker.tool_call("a", "f"))
    assert two.feed(tracker.end_block()) == b""
