"""Recorded replies: each file's decoding is written beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.conversation.faults import fault_of_reply
from chatgpt_to_api.errors import UpstreamChallenge
from chatgpt_to_api.wire.http import ReplyHead
from support.conversation_replies import Decoded, bytewise, cut, decode

FOLDER = Path(__file__).parents[2] / "fixtures" / "conversation"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))
EXPECTED: dict[str, dict[str, Any]] = {
    name: msgspec.json.decode((FOLDER / f"{name}.json").read_bytes()) for name in NAMES
}
BODIES = {name: (FOLDER / f"{name}.sse").read_bytes() for name in NAMES}
STREAMS = [name for name in NAMES if EXPECTED[name].get("http", {}).get("status", 200) == 200]
REFUSALS = [name for name in NAMES if name not in STREAMS]
CODES = {"stream": "upstream_error", "http": "upstream_error", "truncated": "upstream_truncated"}


def decoded(name: str, chunks: list[bytes]) -> Decoded:
    content_type = EXPECTED[name].get("http", {}).get("content_type", "text/event-stream")
    return decode(chunks, content_type=content_type)


def check(name: str, reply: Decoded) -> None:
    """Hold a decoded reply against what is written beside its bytes."""
    expected = EXPECTED[name]
    decoder = reply.decoder
    assert reply.text == expected["text"]
    assert reply.said.endswith(expected.get("stream_tail", ""))
    assert reply.thought == expected.get("reasoning", "")
    assert (decoder.conversation_id or None) == expected["conversation_id"]
    assert (decoder.model or None) == expected["model"]
    assert (decoder.message_id or None) == expected["message_id"]
    assert decoder.finish_type == expected["raw_finish_type"]
    assert decoder.title == expected.get("title", "")
    if expected["finish_reason"] == "length":
        assert decoder.follow_up() is not None
        reply.events += decoder.conclude()
    assert reply.reason == expected["finish_reason"]
    if expected["error"] is None:
        assert reply.error is None
    else:
        assert reply.error is not None
        assert reply.error.code == CODES[expected["error"]["kind"]]
        assert reply.error.said == (expected["error"]["message"] or "")


def test_every_file_is_tried() -> None:
    """A file that is added is tested by being there."""
    assert len(STREAMS) >= 18
    assert len(REFUSALS) >= 5


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_reply_means_what_is_written_beside_it(name: str) -> None:
    """Fed whole."""
    check(name, decoded(name, [BODIES[name]]))


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_reply_means_the_same_byte_by_byte(name: str) -> None:
    """Fed in the smallest pieces."""
    check(name, decoded(name, bytewise(BODIES[name])))


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_any_chunking_gives_the_same_events(name: str, data: st.DataObject) -> None:
    """However a recorded reply is cut, its events are the same."""
    body = BODIES[name]
    chunks = cut(body, data.draw(st.sets(st.integers(0, len(body)), max_size=12)))
    reply = decoded(name, chunks)
    assert reply.outline == decoded(name, [body]).outline
    check(name, reply)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_recorded_refusal_keeps_the_backends_words(name: str) -> None:
    """What the backend said stays readable, and never as anything but text."""
    expected = EXPECTED[name]
    head = ReplyHead(
        expected["http"]["status"],
        [(b"content-type", expected["http"]["content_type"].encode())],
    )
    fault = fault_of_reply(head, BODIES[name], now=0.0)
    if expected["error"]["kind"] == "challenge":
        assert isinstance(fault.error, UpstreamChallenge)
    else:
        assert fault.error.said == expected["error"]["message"]
