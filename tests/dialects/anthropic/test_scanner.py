"""The relay lane's reader: whole events go on as they are, errors before content do not."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.anthropic.scanner import MessageScanner, read_whole
from chatgpt_to_api.wire.http import ReplyHead
from support.anthropic_server import answer, event, streamed

SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
ASKED = {
    "model": "claude-x",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "think of message_stop and error 潮😀 use f"}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
}
STREAM = b"".join(streamed(answer(ASKED)))
ERROR = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


@given(data=st.data())
def test_any_chunking_passes_the_same_bytes(data: st.DataObject) -> None:
    """Trap 1: however a stream is cut, it goes on byte for byte, and says the same of itself."""
    cuts = data.draw(st.sets(st.integers(0, len(STREAM)), max_size=30))
    scanner = MessageScanner(SSE)
    passed = b""
    for a, b in pairwise([0, *sorted(cuts), len(STREAM)]):
        passed += scanner.feed(STREAM[a:b]).data
        assert passed == b"" or passed.endswith(b"\n\n")  # always at an event's border
    assert passed == STREAM
    assert scanner.done
    assert scanner.model == "claude-x"
    assert scanner.usage is not None
    assert (scanner.usage.cache_read, scanner.usage.cache_write) == (5, 7)
    assert scanner.eof().failed is None


def test_an_error_before_any_content_is_not_passed_on() -> None:
    """Trap 7: so that another credential can be asked."""
    scanner = MessageScanner(SSE)
    begin = b"".join(list(streamed(answer(ASKED)))[:3])
    assert not scanner.feed(begin).content
    passed = scanner.feed(ERROR)
    assert passed.data == b""
    assert passed.failed is not None
    assert scanner.fault is not None
    assert scanner.fault.retry == "again"


def test_what_came_before_an_error_in_one_read_is_passed_on() -> None:
    """Trap 5: whole events, and not the error: the gateway tells that itself."""
    events = list(streamed(answer(ASKED)))
    before = b"".join(events[:5])
    passed = MessageScanner(SSE).feed(before + ERROR)
    assert passed.data == before
    assert passed.failed is not None


def test_a_stream_that_ends_early_is_a_failure() -> None:
    """Trap 3: also one whose last event lacks its blank line."""
    events = list(streamed(answer(ASKED)))
    scanner = MessageScanner(SSE)
    scanner.feed(b"".join(events[:-1]))
    assert scanner.eof().failed is not None
    whole = MessageScanner(SSE)
    whole.feed(STREAM[:-1])
    assert whole.eof().data == events[-1]
    assert whole.done


def test_a_whole_message_and_what_is_none() -> None:
    """A reply that was not streamed: its usage, or that it is an error in spite of its status."""
    import json

    facts = read_whole(SSE, json.dumps(answer(ASKED)).encode())
    assert facts.fault is None
    assert facts.model == "claude-x"
    assert facts.usage is not None
    failed = read_whole(SSE, b'{"type":"error","error":{"type":"api_error","message":"no"}}')
    assert failed.fault is not None
    assert read_whole(SSE, b"[]").fault is not None
