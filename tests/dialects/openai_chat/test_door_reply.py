"""The reply as clients see it: chunks in the vendor's order and shape, whole objects, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    ChatEvent,
    Failed,
    Finished,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.dialects.openai_chat.door_reply import ChatReplyEncoder
from chatgpt_to_api.errors import RateLimited, UpstreamFailed
from chatgpt_to_api.wire.http import RequestHead

STAMP = Stamp("1b4e28ba-2fa1-11d2-883f-0016d3cca427", 1_700_000_000)


def encoder(**fields: Any) -> ChatReplyEncoder:
    body = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], **fields}
    head = RequestHead("POST", "/v1/chat/completions", b"", [])
    return DOOR.reply(DOOR.ask(head, json.dumps(body).encode()), STAMP)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ends well, each checked against the vendor's own types."""
    *events, last, rest = stream.split(b"\n\n")
    assert (last, rest) == (b"data: [DONE]", b"")
    read = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for chunk in read:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return read


def streamed(events: list[ChatEvent], **fields: Any) -> list[dict[str, Any]]:
    reply = encoder(stream=True, **fields)
    return chunks(b"".join(reply.feed([event]) for event in events) + reply.end())


def whole(events: list[ChatEvent], **fields: Any) -> dict[str, Any]:
    reply = encoder(**fields).complete(events)
    assert (reply.status, dict(reply.headers)) == (200, {b"content-type": b"application/json"})
    body: dict[str, Any] = json.loads(reply.body)
    ChatCompletion.model_validate_json(reply.body)
    return body


def deltas(read: list[dict[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    return [c["delta"] for chunk in read for c in chunk["choices"] if c["index"] == index]


def said(*pieces: str, reason: str = "stop") -> list[ChatEvent]:
    tracker = BlockTracker()
    events = [event for piece in pieces for event in tracker.text(piece)]
    return [Started("real"), *events, *tracker.finish(reason)]  # type: ignore[arg-type]


def test_every_chunk_has_one_identity_and_the_first_tells_the_role() -> None:
    """Trap 12: same id, time and model on all chunks; the model that answers, not the one asked."""
    read = streamed(said("He", "llo"))
    assert {(c["id"], c["created"], c["model"], c["object"]) for c in read} == {
        (
            "chatcmpl-1b4e28ba2fa111d2883f0016d3cca427",
            1_700_000_000,
            "real",
            "chat.completion.chunk",
        )
    }
    assert deltas(read) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "He"},
        {"content": "llo"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in read] == [None, None, None, "stop"]


def test_the_model_asked_for_stands_in_where_the_upstream_names_none() -> None:
    """A reply always names a model."""
    assert streamed([Started(), *said("x")[1:]])[0]["model"] == "asked"
    assert whole([Started(), *said("x")[1:]])["model"] == "asked"


def test_texts_of_one_read_share_a_chunk() -> None:
    """Adjacent pieces of a choice are one delta; another choice's piece stands between."""
    events = [TextDelta("a"), TextDelta("b"), TextDelta("c", 1), TextDelta("d", 1), TextDelta("e")]
    reply = encoder(stream=True)
    read = chunks(reply.feed(events) + reply.end())
    assert [d["content"] for d in deltas(read)] == ["", "ab", "e"]
    assert [d["content"] for d in deltas(read, 1)] == ["", "cd"]


def test_usage_comes_last_and_only_if_asked_for() -> None:
    """Trap 13: after the finish chunk, before [DONE], without choices; null in chunks before."""
    usage = UsageReported(Usage(5, 7, 3, 2, 1, "reported"))
    quiet = streamed([usage, *said("x")])
    assert all("usage" not in chunk for chunk in quiet)
    read = streamed([usage, *said("x")], stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in read[:-1]] == [None] * (len(read) - 1)
    assert read[-2]["choices"][0]["finish_reason"] == "stop"
    assert read[-1]["choices"] == []
    assert read[-1]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_usage_nobody_knows_is_left_out_or_null() -> None:
    """Zero is a value, never a stand-in for unknown."""
    options = {"stream_options": {"include_usage": True}}
    for unknown in ([], [UsageReported(Usage(output=5))]):
        assert streamed([*said("x"), *unknown], **options)[-1]["choices"]
        assert whole([*said("x"), *unknown])["usage"] is None
    zero = whole([*said("x"), UsageReported(Usage(0, 0))])["usage"]
    assert (zero["prompt_tokens"], zero["completion_tokens"], zero["total_tokens"]) == (0, 0, 0)


def calls_reply() -> list[ChatEvent]:
    tracker = BlockTracker()
    events: list[ChatEvent] = [Started("real")]
    events += tracker.text("Let me see.")
    events += tracker.tool_call("call_a", "look") + tracker.arguments('{"q":')
    events += tracker.arguments(' "x"}')
    events += tracker.tool_call("", "wait")
    return events + tracker.finish("tool_calls")


def test_calls_are_counted_per_stream_and_named_once() -> None:
    """Traps 18, 19: id, type and name in the first delta of an index, then argument deltas only."""
    read = streamed(calls_reply())
    pieces = [d["tool_calls"] for d in deltas(read) if "tool_calls" in d]
    made_up = pieces[3][0]["id"]
    assert pieces == [
        [
            {
                "index": 0,
                "id": "call_a",
                "type": "function",
                "function": {"name": "look", "arguments": ""},
            }
        ],
        [{"index": 0, "function": {"arguments": '{"q":'}}],
        [{"index": 0, "function": {"arguments": ' "x"}'}}],
        [
            {
                "index": 1,
                "id": made_up,
                "type": "function",
                "function": {"name": "wait", "arguments": ""},
            }
        ],
        [{"index": 1, "function": {"arguments": "{}"}}],
    ]
    assert made_up
    assert read[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_vendors_own_accumulator_understands_the_stream() -> None:
    """What the official SDK joins from the chunks is the whole reply."""
    state = ChatCompletionStreamState()
    for chunk in streamed(calls_reply()):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    message = state.get_final_completion().choices[0].message
    assert message.content == "Let me see."
    assert [
        (call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
    ] == [("look", {"q": "x"}), ("wait", {})]


def test_a_whole_reply_of_calls_has_null_content() -> None:
    """Traps 21, 22: calls without words: null; calls without arguments hold an empty object."""
    tracker = BlockTracker()
    events = [*tracker.tool_call("c", "f"), *tracker.finish("tool_calls")]
    (choice,) = whole(events)["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert whole(calls_reply())["choices"][0]["message"]["content"] == "Let me see."
    assert whole(BlockTracker().finish("stop"))["choices"][0]["message"]["content"] == ""


def test_a_legacy_client_gets_its_one_function_call() -> None:
    """A request with functions is answered in the words of its time."""
    functions = [{"name": "look"}]
    read = streamed(calls_reply()[2:], functions=functions)
    assert all("tool_calls" not in delta for delta in deltas(read))
    joined = "".join(d["function_call"]["arguments"] for d in deltas(read) if "function_call" in d)
    assert json.loads(joined) == {"q": "x"}
    assert read[-1]["choices"][0]["finish_reason"] == "function_call"
    (choice,) = whole(calls_reply(), functions=functions)["choices"]
    assert choice["message"]["function_call"] == {"name": "look", "arguments": '{"q": "x"}'}
    assert choice["finish_reason"] == "function_call"


def test_thoughts_and_refusals_have_their_own_fields() -> None:
    """Reasoning never ends up in content; a part of this dialect's own goes back as it came."""
    tracker = BlockTracker()
    events: list[ChatEvent] = [
        *tracker.reasoning("hm", Opaque("openai_chat", '[{"x":1}]')),
        *tracker.reasoning("m", Opaque("other", "secret")),
        *tracker.refusal("No."),
        *tracker.finish("content_filter"),
    ]
    assert deltas(streamed(events))[1:] == [
        {"reasoning_content": "hm", "reasoning_details": [{"x": 1}]},
        {"reasoning_content": "m"},
        {"refusal": "No."},
        {},
    ]
    message = whole(events)["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "reasoning_content": "hmm",
        "reasoning_details": [{"x": 1}],
    }


def test_choices_are_sorted_in_a_whole_reply() -> None:
    """Choices that came interleaved stand by their index."""
    first, second = BlockTracker(0), BlockTracker(1)
    events = [*second.text("b"), *first.text("a"), *second.finish("length"), *first.finish("stop")]
    assert [
        (c["index"], c["message"]["content"], c["finish_reason"]) for c in whole(events)["choices"]
    ] == [(0, "a", "stop"), (1, "b", "length")]


def test_an_error_in_the_stream_is_an_event_and_nothing_follows() -> None:
    """The vendor's error object; no [DONE]."""
    data = encoder(stream=True).failure(UpstreamFailed("broke", said="words"))
    assert data.startswith(b"data: ")
    assert data.endswith(b"}}\n\n")
    assert json.loads(data[6:])["error"] == {
        "message": "broke Upstream said: words",
        "type": "upstream_error",
        "param": None,
        "code": "upstream_error",
    }


def test_a_failure_among_collected_events_is_the_reply() -> None:
    """A reply that failed is no completion."""
    failed = Failed(RateLimited("busy", retry_after=3))
    assert encoder().complete([Started("m"), failed]).status == 429


def test_keep_alives_are_comments() -> None:
    """No client sees them, and they are whole lines."""
    assert encoder().keep_alive() == b": keep-alive\n\n"


@pytest.mark.parametrize("text", ['"\\\n\r\t', "你好 🙂", "\u2028\u2029\x00", "data: [DONE]\n\n"])
def test_any_text_stays_within_its_event(text: str) -> None:
    """Quotes, line ends and control characters are escaped, so no event is split."""
    assert deltas(streamed([TextDelta(text), Finished("stop")]))[1] == {"content": text}
