"""The lean road of a stream's text and the exact one tell the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, TextDelta
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.anthropic.upstream_reply import MessageDecoder
from chatgpt_to_api.wire.http import ReplyHead
from support.two_roads import SAID, outcome, streams

HEAD = ReplyHead(200, [(b"content-type", b"text/event-stream")])
NO_NAMES = ToolNames(ChatRequest(model="m", messages=()), 64)


class Exact(MessageDecoder):
    """A decoder that looks at every event."""

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> bool:
        del lines, events
        return False


def piece(text: Any, index: int = 0, **more: Any) -> dict[str, Any]:
    delta = {"type": "text_delta", "text": text, **more}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def begun(kind: str, index: int) -> dict[str, Any]:
    block: dict[str, Any] = {"type": kind}
    if kind == "tool_use":
        block |= {"id": "toolu_1", "name": "f", "input": {}}
    return {"type": "content_block_start", "index": index, "content_block": block}


START = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3}}}
INDEX = st.sampled_from([0, 0, 0, 1, 2])
ODD = st.one_of(
    st.just({"type": "ping"}),
    st.builds(begun, st.sampled_from(["text", "thinking", "tool_use", "odd"]), INDEX),
    st.builds(lambda index: {"type": "content_block_stop", "index": index}, INDEX),
    st.builds(piece, SAID, INDEX),
    st.builds(piece, SAID, INDEX, partial_json=st.just("{}")),
    st.builds(piece, st.sampled_from([None, 7])),
    st.builds(
        lambda index, delta: {"type": "content_block_delta", "index": index, "delta": delta},
        INDEX,
        st.sampled_from(
            [
                {"type": "thinking_delta", "thinking": "hm"},
                {"type": "signature_delta", "signature": "c2ln"},
                {"type": "input_json_delta", "partial_json": "{}"},
                {"type": "citations_delta", "citation": {"type": "page_location"}},
            ],
        ),
    ),
    st.just({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    st.just({"type": "message_stop"}),
    st.just({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}),
)
RUN = st.lists(st.builds(piece, SAID), max_size=6)


@settings(max_examples=300)
@given(runs=st.lists(st.tuples(RUN, ODD), max_size=6), last=RUN, data=st.data())
def test_both_roads_tell_the_same(
    runs: list[tuple[list[dict[str, Any]], dict[str, Any]]],
    last: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    """Pieces of text with anything between them, framed and cut anyhow."""
    events = [START, begun("text", 0)]
    for run, odd in runs:
        events += [*run, odd]
    chunks = data.draw(streams([*events, *last]))
    assert outcome(MessageDecoder(HEAD, NO_NAMES), chunks) == outcome(Exact(HEAD, NO_NAMES), chunks)


@pytest.mark.parametrize("thoughts", [0, 5])
def test_a_burst_of_text_is_one_piece(thoughts: int) -> None:
    """Also after thoughts, which do not take the text behind them off the lean road."""
    decoder = MessageDecoder(HEAD, NO_NAMES)

    def fed(*events: dict[str, Any]) -> list[ChatEvent]:
        framed = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
        return decoder.feed("".join(framed).encode())

    fed(START, begun("thinking", 0))
    for _ in range(thoughts):
        delta = {"type": "thinking_delta", "thinking": "hm"}
        fed({"type": "content_block_delta", "index": 0, "delta": delta})
    stop = {"type": "content_block_stop", "index": 1}
    events = fed(begun("text", 1), *(piece(" word", 1) for _ in range(100)), stop)
    assert [e.text for e in events if isinstance(e, TextDelta)] == [" word" * 100]
