"""The relay lane of Responses: what a reply means while its bytes pass."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.openai_responses.scanner import ResponseScanner
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.errors import RateLimited
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import MAX_EVENT
from support.responses_replies import call, events, message, response, sse, thought

UPSTREAM = ResponsesUpstream("http://upstream.example/v1")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
USED = Usage(4, 5, 8, None, 3, "reported")
FAILED: dict[str, Any] = {
    "type": "response.failed",
    "response": response(
        [], status="failed", error={"code": "rate_limit_exceeded", "message": "Slow."}
    ),
}


def scan(chunks: list[bytes], head: ReplyHead = SSE) -> tuple[bytes, bool, ResponseScanner]:
    """What passes, whether content was seen, and the scanner after the end."""
    scanner = UPSTREAM.scanner(head, hide_usage=True)
    out, content = b"", False
    for chunk in [*chunks, b""]:
        passed = scanner.feed(chunk) if chunk else scanner.eof()
        out += passed.data
        content = content or passed.content
        if passed.failed is not None:
            assert scanner.fault is not None
    return out, content, scanner


@given(st.data())
def test_a_stream_passes_byte_for_byte_however_it_is_cut(data: st.DataObject) -> None:
    """And what it used and who answered is known at its end."""
    reply = [thought("Hm.", "gAAA="), message('"response.completed" "error"'), call("f", "{}")]
    stream = b"".join(sse(events(reply)))
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=9))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    out, content, scanner = scan([piece for piece in pieces if piece])
    assert out == stream
    assert content
    assert scanner.done
    assert scanner.fault is None
    assert (scanner.usage, scanner.model) == (USED, "gpt-x-2026")


def test_nothing_is_content_before_something_was_generated() -> None:
    """Trap 8: what begins a response can be asked for again; a piece of a thought cannot."""
    sent = sse(events([thought("Hm.")]))
    scanner = UPSTREAM.scanner(SSE, hide_usage=False)
    content = [scanner.feed(chunk).content for chunk in sent[:5]]
    assert content == [False, False, False, False, True]


@pytest.mark.parametrize(
    "event", [FAILED, {"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}]
)
def test_a_failure_before_any_content_is_not_passed_on(event: Any) -> None:
    """Trap 7: the client never hears of it, and another credential answers."""
    sent = sse(events([message("Hi")]))[:3]
    out, content, scanner = scan([b"".join([*sent, *sse([event])])])
    assert out == b""
    assert not content
    assert scanner.fault is not None
    assert isinstance(scanner.fault.error, RateLimited)


def test_a_failure_after_content_ends_at_a_border() -> None:
    """Traps 4 and 5: what was whole passes, the failure is told, nothing follows it."""
    sent = sse(events([message("Hello")]))[:6]
    for chunks in ([*sent, *sse([FAILED])], [b"".join([*sent, *sse([FAILED]), b"data: more\n\n"])]):
        out, content, scanner = scan(chunks)
        assert out == b"".join(sent)
        assert content
        assert scanner.fault is not None


def test_a_stream_that_just_ends_was_cut() -> None:
    """Trap 3: the half event behind its last border is dropped."""
    sent = sse(events([message("Hello")]))
    out, _, scanner = scan([*sent[:6], sent[6][:20]])
    assert out == b"".join(sent[:6])
    assert scanner.fault is not None
    assert scanner.fault.error.code == "upstream_truncated"


def test_an_incomplete_response_is_an_end() -> None:
    """Trap 54: also one that has said nothing."""
    sent = sse(events([], ends="response.incomplete"))
    out, content, scanner = scan(sent)
    assert (out, content, scanner.done) == (b"".join(sent), True, True)


def test_an_event_without_end_is_too_long() -> None:
    """What is held has a bound, before content and after it."""
    for before in ([], sse(events([message("Hello")]))[:6]):
        scanner = UPSTREAM.scanner(SSE, hide_usage=False)
        for chunk in before:
            scanner.feed(chunk)
        passed = scanner.feed(b"data: " + b"x" * (MAX_EVENT + 1))
        assert passed.failed is not None


def test_a_whole_answer_to_a_stream_is_told_as_one() -> None:
    """Line ends in its JSON do not break the events; every item and the end are there."""
    body = json.dumps(response([message("Hi"), call("f", "{}")]), indent=1).encode()
    out, content, scanner = scan([body[:50], body[50:]], JSON)
    assert content
    assert scanner.done
    assert scanner.usage == USED
    told = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")]
    assert [event["type"] for event in told] == [
        "response.created",
        *["response.output_item.added", "response.output_item.done"] * 2,
        "response.completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(6))
    assert told[-1]["response"] == json.loads(body)


def test_what_a_whole_reply_says() -> None:
    """Usage and model; a failed response, an error and anything else are faults."""
    good = UPSTREAM.facts(JSON, json.dumps(response([message("Hi")])).encode())
    assert (good.usage, good.model, good.fault) == (USED, "gpt-x-2026", None)
    failed = UPSTREAM.facts(JSON, json.dumps(FAILED["response"]).encode())
    assert failed.fault is not None
    assert isinstance(failed.fault.error, RateLimited)
    for body in (b"{}", b"<html>", b'{"error":{"message":"Oh"}}'):
        assert UPSTREAM.facts(JSON, body).fault is not None
