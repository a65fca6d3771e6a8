"""Backend side of Responses: what becomes of servers' replies, whole, streamed, odd and cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    Annotated,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Citation,
    Failed,
    Finished,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import ChatRequest, Message, Opaque, Text, Tool
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.dialects.openai_responses.upstream_reply import ResponseDecoder
from chatgpt_to_api.errors import RateLimited, ReplyTooLong, Unavailable, UpstreamRejected
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.secret import ANONYMOUS
from chatgpt_to_api.wire.sse import MAX_EVENT
from support.responses_replies import (
    USAGE,
    call,
    custom_call,
    events,
    message,
    response,
    sse,
    thought,
)

UPSTREAM = ResponsesUpstream("http://upstream.example/v1")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
ACCESS = ANONYMOUS


class NoIds:
    """This dialect puts no ids on the wire."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


IDS = NoIds()
ASKED = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),))

REFUSED = message("") | {"content": [{"type": "refusal", "refusal": "I cannot."}]}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"query": "x"}}
REPLIES: list[list[Any]] = [
    [message("Hello, 世界 😀!")],
    [thought("Let me see.", "gAAA="), message("Done."), call("weather", '{"city":"Paris"}')],
    [
        call("a", '{"x":1}'),
        call("b", "{}", id="fc_2", call_id="call_2"),
        custom_call("patch", "*** Begin\n+é", id="ctc_3", call_id="call_3"),
    ],
    [SEARCH, REFUSED],
    [],
]


def decode(chunks: Iterable[bytes], head: ReplyHead = SSE, asked: ChatRequest = ASKED) -> Any:
    decoder = UPSTREAM.decoder(asked, head)
    found = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.eof()
    in_order(found, decoder)
    return found


def in_order(found: Sequence[ChatEvent], decoder: ResponseDecoder) -> None:
    """One start; blocks one after the other; one end, last but for usage."""
    assert [type(event) for event in found].count(Started) <= 1
    begun, kind, ended = 0, "", False
    for event in found:
        match event:
            case BlockStarted(block, opened):
                assert not kind
                assert block == begun
                begun, kind = begun + 1, opened
            case TextDelta(text):
                assert kind == "text"
                assert text
            case ToolCallDelta(arguments):
                assert kind == "tool_call"
                assert arguments
            case ReasoningDelta():
                assert kind == "reasoning"
            case BlockEnded(block):
                assert kind
                assert block == begun - 1
                kind = ""
            case Finished():
                assert not kind
                assert not ended
                ended = True
    failed = bool(found) and isinstance(found[-1], Failed)
    assert failed == (decoder.fault is not None)
    assert ended == decoder.done == (not failed)


def meaning(found: Iterable[ChatEvent]) -> list[Any]:
    """The blocks with all they hold, and what is said of the reply."""
    said: list[Any] = []
    for event in found:
        match event:
            case BlockStarted(_, kind, _, call_id, name, freeform, opaque):
                said.append([kind, call_id, name, freeform, opaque, ""])
            case TextDelta(piece) | ToolCallDelta(piece) | RefusalDelta(piece):
                said[-1][5] += piece
            case ReasoningDelta(piece, _, opaque):
                said[-1][5] += piece
                said[-1][4] = opaque or said[-1][4]
            case BlockEnded():
                pass
            case _:
                said.append(event)
    return said


def blocks(found: Iterable[ChatEvent]) -> list[tuple[str, str]]:
    """Kind and content of each block; of a call its name, too."""
    return [
        (block[0], f"{block[2]} {block[5]}".strip())
        for block in meaning(found)
        if isinstance(block, list)
    ]


def test_a_stream_is_read_in_the_vendors_order() -> None:
    """Trap 47: every event of a thought, words and a call, in its place."""
    found = decode(sse(events(REPLIES[1])))
    assert meaning(found) == [
        Started("gpt-x-2026"),
        ["reasoning", "", "", False, Opaque("openai_responses", "gAAA="), "Let me see."],
        ["text", "", "", False, None, "Done."],
        ["tool_call", "call_1", "weather", False, None, '{"city":"Paris"}'],
        Finished("tool_calls"),
        UsageReported(Usage(4, 5, 8, None, 3, "reported")),
    ]


def test_words_leave_as_they_come() -> None:
    """Nothing waits for the end of a text or a thought."""
    decoder = UPSTREAM.decoder(ASKED, SSE)
    found = [decoder.feed(chunk) for chunk in sse(events([thought("abcdef"), message("ghijkl")]))]
    pieces = [e.text for part in found for e in part if isinstance(e, TextDelta | ReasoningDelta)]
    assert pieces == ["abc", "def", "ghi", "jkl"]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("named", [True, False])
@settings(max_examples=25)
@given(data=st.data())
def test_any_chunking_gives_the_same_meaning(
    reply: list[Any], named: bool, data: st.DataObject
) -> None:
    """Trap 1: however a stream is cut, inside characters too; with event names or without."""
    stream = b"".join(sse(events(reply)))
    if not named:
        stream = b"\n".join(line for line in stream.split(b"\n") if not line.startswith(b"event"))
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=9))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert meaning(decode(pieces)) == meaning(decode([stream]))


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_response_means_what_its_stream_means(reply: list[Any]) -> None:
    """And a stream in answer to a question that asked for none is read all the same."""
    whole = decode([json.dumps(response(reply)).encode()], JSON)
    assert meaning(whole) == meaning(decode(sse(events(reply))))


def without(*kinds: str) -> Callable[[list[Any]], list[dict[str, Any]]]:
    """The events of a reply but for those whose type ends in one of these."""
    return lambda reply: [e for e in events(reply) if not e["type"].endswith(kinds)]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize(
    "left_out",
    [
        (".delta",),
        (".delta", "text.done", "refusal.done", "arguments.done", "input.done", "part.done"),
        (".delta", ".done", ".added"),
        ("part.added", "part.done", "text.done", "arguments.done", "input.done"),
        ("item.added", "part.added"),
        ("created", "in_progress"),
    ],
)
def test_what_never_came_in_pieces_is_read_from_the_whole(
    reply: list[Any], left_out: tuple[str, ...]
) -> None:
    """Trap 48: arguments only in ``.done``, items only in the terminal one: nothing is lost."""
    assert blocks(decode(sse(without(*left_out)(reply)))) == blocks(decode(sse(events(reply))))


@pytest.mark.parametrize("reply", REPLIES[:3])
def test_a_terminal_without_output_repeats_nothing(reply: list[Any]) -> None:
    """Some servers leave it empty: what came is what there is."""
    sent = events(reply)
    sent[-1]["response"]["output"] = []
    assert blocks(decode(sse(sent))) == blocks(decode(sse(events(reply))))


def test_final_arguments_count_whatever_the_pieces_said() -> None:
    """Trap 48: a provider repeats or garbles its pieces; what is run is what it ended with."""
    sent = events([call("write", '{"a":1}'), custom_call("patch", "+x", call_id="call_2")])
    for event in sent:
        if event["type"].endswith(".delta"):
            event["delta"] = "?" + event["delta"]
        if event["type"] == "response.output_item.added":
            event["item"]["arguments"] = '{"a":'
    assert blocks(decode(sse(sent))) == [("tool_call", 'write {"a":1}'), ("tool_call", "patch +x")]


def test_calls_whose_pieces_alternate_keep_their_own() -> None:
    """Trap 18: two calls are written at once; each piece says whose it is."""
    one, two = call("a", '{"x":1}'), call("b", '{"y":2}', id="fc_2", call_id="call_2")
    sent = events([one, two])
    of = [[e for e in sent if e.get("output_index") == n] for n in (0, 1)]
    mixed = [event for pair in zip(*of, strict=True) for event in pair]
    for event in mixed:
        if event["type"].endswith("item.done"):
            event["item"] = event["item"] | {"arguments": ""}
        if event["type"].endswith("arguments.done"):
            del event["arguments"]
    end = {"type": "response.completed", "response": response([])}
    assert blocks(decode(sse([*sent[:2], *mixed, end]))) == [
        ("tool_call", 'a {"x":1}'),
        ("tool_call", 'b {"y":2}'),
    ]


@pytest.mark.parametrize("odd", ["no ids", "other ids", "one place", "no places"])
def test_items_that_are_named_badly_are_told_apart(odd: str) -> None:
    """Ids that change with every event, or are not there; one place for all, or none."""
    reply = [message("Hi."), call("a", "{}"), call("b", "{}", id="fc_2", call_id="call_2")]
    sent = events(reply)
    for number, event in enumerate(sent):
        if odd in ("no ids", "other ids"):
            event.pop("item_id", None)
            items = [event.get("item", {}), *event.get("response", {}).get("output", ())]
            for item in items:
                item.pop("id", None)
                if odd == "other ids" and item:
                    item["id"] = f"x{number}"
        if odd == "one place" and "output_index" in event:
            event["output_index"] = 0
        if odd == "no places":
            event.pop("output_index", None)
    assert blocks(decode(sse(json.loads(json.dumps(sent))))) == blocks(decode(sse(events(reply))))


def fed(sent: Iterable[Any], upstream: ResponsesUpstream = UPSTREAM) -> list[list[ChatEvent]]:
    """What each event of a stream gives."""
    decoder = upstream.decoder(ASKED, SSE)
    return [decoder.feed(chunk) for chunk in sse(sent)]


def test_arguments_leave_as_they_come() -> None:
    """The call begins as soon as it is named, and each piece is handed on when it arrives."""
    found = fed(events([message("Hi."), call("write", '{"text":"é 😀"}')]))
    told = [[type(e) for e in part if not isinstance(e, TextDelta)] for part in found]
    named = told.index([BlockStarted], 1 + told.index([BlockStarted]))
    pieces = told[named + 1 : -3]
    assert len(pieces) == 5
    assert pieces == [[ToolCallDelta]] * 5
    assert told[-3:] == [[], [BlockEnded], [Finished, UsageReported]]


def test_a_call_that_alternates_with_another_waits_for_its_turn_only() -> None:
    """Trap 18: the first goes on leaving; what came of the second follows at once when it ends."""
    one, two = call("a", '{"x":1}'), call("b", '{"y":2}', id="fc_2", call_id="call_2")
    of = [[e for e in events([one, two]) if e.get("output_index") == n] for n in (0, 1)]
    mixed = [event for pair in zip(*of, strict=True) for event in pair]
    found = fed([*events([])[:2], *mixed[:-1]])
    assert found[4] == [ToolCallDelta('{"x')]
    assert found[5] == []
    ended = found[-1]
    assert isinstance(ended[0], BlockEnded)
    assert blocks([*(e for part in found for e in part)])[1] == ("tool_call", 'b {"y":2}')


def test_words_in_the_middle_of_a_call_follow_it() -> None:
    """One block is open at a time; a call whose text is whole does not keep them waiting."""
    reply = events([call("a", '{"x":1}'), message("Hello.", id="msg_1")])
    at = next(n for n, e in enumerate(reply) if e["type"].endswith("arguments.delta"))
    words = [e for e in reply if e.get("output_index") == 1]
    rest = [e for e in reply if e.get("output_index") == 0][2:]
    expected = [("tool_call", 'a {"x":1}'), ("text", "Hello.")]
    assert blocks(decode(sse([*reply[: at + 1], *words, *rest, reply[-1]]))) == expected
    unended = [e for e in reply if not (e.get("output_index") == 0 and "done" in e["type"])]
    found = fed(unended)
    assert blocks([e for part in found for e in part]) == expected
    assert not any(isinstance(e, TextDelta) for e in found[-1])


def test_a_whole_that_takes_back_what_has_left_fails_once() -> None:
    """A client may be running the call: the answer fails, and later calls wait for their whole."""
    sent = events([call("write", '{"a":1}')])
    for event in sent:
        if event["type"].endswith(".delta"):
            event["delta"] = event["delta"].replace("a", "b")
    upstream = ResponsesUpstream("http://upstream.example/v1")
    first = [e for part in fed(sent, upstream) for e in part]
    assert isinstance(first[-1], Failed)
    assert "other arguments" in first[-1].error.text
    second = [e for part in fed(sent, upstream) for e in part]
    assert blocks(second) == [("tool_call", 'write {"a":1}')]


@pytest.mark.parametrize("final", ['{"a": 1}', '{"a":1}\n', {"a": 1}])
def test_another_layout_of_the_same_arguments_is_the_same(final: Any) -> None:
    """What left means what the whole means: nothing has to follow."""
    sent = events([call("write", '{"a":1}')])
    for event in sent:
        if event["type"].endswith("item.done"):
            event["item"] = event["item"] | {"arguments": final}
    [block] = meaning(decode(sse(sent)))[1:2]
    assert json.loads(block[5]) == {"a": 1}


def test_pieces_that_come_twice_wait_for_the_whole() -> None:
    """Trap 48: what can be no more of the arguments is not handed on; the whole says the rest."""
    sent = events([call("write", '{"text":"abc"}')])
    twice = [e for e in sent for _ in range(1 + e["type"].endswith("arguments.delta"))]
    assert blocks(decode(sse(twice))) == [("tool_call", 'write {"text":"abc"}')]


def test_many_calls_that_alternate_are_no_depth() -> None:
    """However many calls are under way at once, each has its own arguments."""
    calls = [call(f"f{n}", "{}", id=f"fc_{n}", call_id=f"call_{n}") for n in range(400)]
    whole = events(calls)
    of = [[e for e in whole if e.get("output_index") == n] for n in range(400)]
    mixed = [event for row in zip(*of, strict=True) for event in reversed(row)]
    found = decode(sse([*whole[:2], *mixed, whole[-1]]))
    assert sorted(blocks(found)) == sorted(("tool_call", f"f{n} {{}}") for n in range(400))


def test_a_call_that_was_never_ended_is_one_as_far_as_it_came() -> None:
    """The response is over, its call was not: what was written of it is handed on."""
    sent = [e for e in events([call("a", '{"x":1}')]) if not e["type"].endswith(".done")]
    sent[-1] = {
        "type": "response.incomplete",
        "response": response([], incomplete_details={"reason": "max_output_tokens"}),
    }
    found = decode(sse(sent))
    assert blocks(found) == [("tool_call", 'a {"x":1}')]
    assert Finished("length") in found


def test_a_calls_id_is_never_its_items() -> None:
    """Trap 49: what the call gave back will name ``call_id``."""
    [started] = [e for e in decode(sse(events([call("a", "{}")]))) if isinstance(e, BlockStarted)]
    assert started.tool_id == "call_1"


def test_a_tool_of_a_namespace_has_its_flat_name() -> None:
    """As the door calls it; a name that was shortened for the server is its own again."""
    long = "n" * 70
    asked = ChatRequest(model="m", messages=ASKED.messages, tools=(Tool(long),))
    sent = json.loads(UPSTREAM.encode(asked, "m", ACCESS, IDS).body)
    short = sent["tools"][0]["name"]
    assert len(short) <= 64
    reply = [call("read", "{}", namespace="files"), call(short, "{}", call_id="call_2")]
    assert blocks(decode(sse(events(reply)), asked=asked)) == [
        ("tool_call", "files__read {}"),
        ("tool_call", f"{long} {{}}"),
    ]


def test_a_clients_own_search_for_tools_is_a_call() -> None:
    """One that the server makes is an item of its own kind."""
    mine = {
        "id": "ts_1",
        "type": "tool_search_call",
        "call_id": "call_1",
        "execution": "client",
        "arguments": {"query": "x"},
    }
    theirs = {"id": "ts_2", "type": "tool_search_call", "execution": "server", "arguments": {}}
    found = decode(sse(events([mine, theirs])))
    kinds = [(b[0], b[2], b[5]) for b in meaning(found) if isinstance(b, list)]
    assert kinds == [
        ("tool_call", "tool_search", '{"query": "x"}'),
        ("foreign", "", ""),
    ]


def test_items_of_hosted_tools_are_kept_whole() -> None:
    """Only this dialect has a meaning for them, and its clients send them back."""
    [block] = [b for b in meaning(decode(sse(events([SEARCH])))) if isinstance(b, list)]
    assert block[0] == "foreign"
    assert json.loads(block[4].data) == SEARCH


def test_thoughts_are_paragraphs_and_told_in_one_form() -> None:
    """Parts of a summary are apart; a thought that comes in full and in short comes once."""
    item = thought("One.") | {
        "summary": [{"type": "summary_text", "text": t} for t in ("One.", "Two.")],
        "content": [{"type": "reasoning_text", "text": "In full."}],
    }
    assert blocks(decode(sse(events([item])))) == [("reasoning", "One.\n\nTwo.")]
    assert blocks(decode([json.dumps(response([item])).encode()], JSON)) == [
        ("reasoning", "One.\n\nTwo.")
    ]


def test_open_models_thoughts_come_as_reasoning_text() -> None:
    """Servers of open models tell thoughts in full, and no summary."""
    where = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }
    sent: list[Any] = [
        {"type": "response.reasoning_text.delta", **where, "delta": "H"},
        {"type": "response.reasoning_text.delta", **where, "delta": "m."},
        {"type": "response.reasoning_text.done", **where, "text": "Hm."},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response([item])},
    ]
    assert blocks(decode(sse(sent))) == [("reasoning", "Hm.")]


def test_two_thoughts_are_two_blocks_each_with_its_seal() -> None:
    """Trap 42: a seal belongs to its own thought."""
    reply = [thought("A", "s1"), thought("B", "s2", id="rs_2"), thought("", "s3", id="rs_3")]
    found = [(b[5], b[4].data) for b in meaning(decode(sse(events(reply)))) if isinstance(b, list)]
    assert found == [("A", "s1"), ("B", "s2"), ("", "s3")]


def test_notes_and_likelihoods_of_a_text() -> None:
    """Citations count from the beginning of all the text; of both there is one each."""
    page = {
        "type": "url_citation",
        "url": "https://a.example",
        "title": "A",
        "start_index": 1,
        "end_index": 2,
    }
    file = {"type": "file_citation", "file_id": "f", "index": 0}
    likely = {"token": "B", "logprob": -0.5, "bytes": [66], "top_logprobs": []}
    reply = [message("AA"), message("BB", id="msg_2", annotations=[page, file], logprobs=[likely])]
    for found in (decode(sse(events(reply))), decode([json.dumps(response(reply)).encode()], JSON)):
        notes = [e.note for e in found if isinstance(e, Annotated)]
        assert notes[0] == Citation("https://a.example", "A", 3, 4)
        assert isinstance(notes[1], Opaque)
        assert json.loads(notes[1].data) == file
        told = [e for e in found if isinstance(e, LogprobsReported)]
        assert told == [LogprobsReported((TokenLogprob("B", -0.5, (66,)),))]


# -- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        (None, "length"),
    ],
)
def test_an_incomplete_response_is_an_answer_with_its_reason(details: Any, reason: str) -> None:
    """Trap 54: streamed and whole; its usage is told."""
    more = {"incomplete_details": details}
    streamed = decode(sse(events([message("Hal")], ends="response.incomplete", **more)))
    whole = decode([json.dumps(response([message("Hal")], status="incomplete", **more)).encode()])
    for found in (streamed, whole):
        [end] = [e for e in found if isinstance(e, Finished)]
        assert end.reason == reason
        assert isinstance(found[-1], UsageReported)


@pytest.mark.parametrize(
    ("error", "kind", "retry"),
    [
        ({"code": "server_error", "message": "Oh."}, None, "again"),
        (
            {"code": "rate_limit_exceeded", "message": "Try again in 7s."},
            RateLimited,
            "next_credential",
        ),
        ({"code": "server_is_overloaded", "message": "Busy."}, Unavailable, "again"),
        ({"code": "context_length_exceeded", "message": "Long."}, UpstreamRejected, "never"),
        ({"code": "invalid_prompt", "message": "No."}, UpstreamRejected, "never"),
        ({"code": "usage_limit_reached", "message": "Up."}, RateLimited, "next_credential"),
    ],
)
@pytest.mark.parametrize("shape", ["failed", "event", "inner", "whole", "bare"])
def test_a_failed_response_says_what_it_means(
    error: Any, kind: type | None, retry: str, shape: str
) -> None:
    """Traps 4 and 54: in ``response.failed``, in an ``error`` event of either shape, and whole."""
    failed = response([], status="failed", error=error, usage=None)
    sent: dict[str, list[bytes]] = {
        "failed": sse([{"type": "response.failed", "response": failed}]),
        "event": sse([{"type": "error", **error, "param": None}]),
        "inner": sse([{"type": "error", "error": {"type": "x", **error}}]),
        "whole": [json.dumps(failed).encode()],
        "bare": [f"event: error\ndata: {json.dumps({'error': error})}\n\n".encode()],
    }
    decoder = UPSTREAM.decoder(ASKED, SSE)
    found = [e for chunk in sent[shape] for e in decoder.feed(chunk)] + decoder.eof()
    assert isinstance(found[-1], Failed)
    assert decoder.fault is not None
    assert decoder.fault.retry == retry
    assert decoder.fault.error.said == error["message"] or error["message"] in found[-1].error.text
    assert kind is None or isinstance(found[-1].error, kind)
    assert decoder.feed(sse(events([message("more")]))[4]) == []


@pytest.mark.parametrize("upto", [2, 5, 9])
def test_a_stream_that_just_ends_was_cut(upto: int) -> None:
    """Trap 3: without its terminal event it is a fault, ``[DONE]`` or not."""
    sent = sse(events([message("Hello there.")]))[:upto]
    for end in ([], [b"data: [DONE]\n\n"]):
        found = decode([*sent, *end])
        assert isinstance(found[-1], Failed)
        assert found[-1].error.code == "upstream_truncated"


def test_an_end_without_its_blank_line_is_an_end() -> None:
    """Trap 2: what is whole counts, though the last line end is missing."""
    stream = b"".join(sse(events([message("Hi.")]))).rstrip()
    assert blocks(decode([stream])) == [("text", "Hi.")]


def test_nothing_after_the_end_matters() -> None:
    """``[DONE]``, more text, a second end."""
    sent = sse(events([message("Hi.")]))
    assert meaning(decode([*sent, b"data: [DONE]\n\n", *sent[3:]])) == meaning(decode(sent))


@pytest.mark.parametrize(
    ("body", "head", "said"),
    [
        (b'{"hello": 1}', JSON, "no response"),
        (b"<html><title>Just a moment</title></html>", JSON, "web page"),
        (b'{"error": {"message": "Bad.", "code": "invalid_x"}}', JSON, "Bad."),
        (b'{"id": "r", "status": "queued", "output": []}', JSON, "no response"),
        (b"data: {broken\n\n", SSE, "not JSON"),
        (b'data: {"type": 7}\n\n', SSE, "none"),
        (b"", SSE, "no response"),
    ],
)
def test_what_is_no_response_is_a_fault(body: bytes, head: ReplyHead, said: str) -> None:
    """Never a quiet success."""
    found = decode([body], head)
    assert isinstance(found[-1], Failed)
    assert said in found[-1].error.text


def test_an_event_without_end_is_too_long() -> None:
    """What is held has a bound."""
    decoder = UPSTREAM.decoder(ASKED, SSE)
    found = decoder.feed(b"data: " + b"x" * (MAX_EVENT + 1))
    assert isinstance(found[-1], Failed)
    assert isinstance(found[-1].error, ReplyTooLong)


@given(st.lists(st.sampled_from(sse([*events(REPLIES[1]), *events(REPLIES[2])])), max_size=30))
def test_events_in_any_order_keep_the_blocks_in_order(sent: list[bytes]) -> None:
    """However odd a server is: blocks open, are fed and end, and nothing is raised."""
    decode(sent)


def test_usage_counts_what_was_cached_apart() -> None:
    """Traps 39 and 54."""
    [told] = [e for e in decode(sse(events([message("Hi")]))) if isinstance(e, UsageReported)]
    assert (told.usage.input, told.usage.cache_read) == (4, 8)
    assert told.usage.prompt == USAGE["input_tokens"]
    assert told.usage.reasoning == 3
