"""The lean road of a stream's text and the exact one tell the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, TextDelta
from chatgpt_to_api.dialects.openai_chat.upstream_reply import ChatReplyDecoder
from chatgpt_to_api.wire.http import ReplyHead
from support.two_roads import SAID, outcome, streams

HEAD = ReplyHead(200, [(b"content-type", b"text/event-stream")])


class Exact(ChatReplyDecoder):
    """A decoder that looks at every chunk."""

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> tuple[bool, bytes]:
        del events
        return False, lines


def chunk(index: Any = 0, reason: Any = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {"id": "c", "model": "m", "choices": [choice], "usage": None}


CALL = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
PIECE = st.builds(lambda text: chunk(content=text), SAID)
ODD = st.one_of(
    st.builds(lambda text, index: chunk(index, content=text), SAID, st.integers(-1, 2)),
    st.builds(lambda text: chunk(content=text, refusal="no"), SAID),
    st.builds(lambda text: chunk(content=text, reasoning_content="hm"), SAID),
    st.builds(lambda text, reason: chunk(0, reason, content=text), SAID, st.just("length")),
    st.sampled_from(
        [
            chunk(),
            chunk(None, content="a"),
            chunk(content=None),
            chunk(role="assistant", content="a"),
            chunk(tool_calls=[CALL]),
            chunk(0, "stop"),
            chunk(0, "error"),
            chunk(content="a") | {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            chunk(content="a") | {"error": {"message": "Busy"}},
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 3}},
            {"choices": [*chunk(content="a")["choices"], *chunk(1, content="b")["choices"]]},
        ]
    ),
)
RUN = st.lists(PIECE, max_size=8)


@settings(max_examples=300)
@given(runs=st.lists(st.tuples(RUN, ODD), max_size=6), last=RUN, data=st.data())
def test_both_roads_tell_the_same(
    runs: list[tuple[list[dict[str, Any]], dict[str, Any]]],
    last: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    """Pieces of text with anything between them, framed and cut anyhow."""
    events: list[dict[str, Any]] = []
    for run, odd in runs:
        events += [*run, odd]
    events += [*last, *data.draw(st.sampled_from([[], [chunk(0, "stop")]]))]
    chunks = data.draw(streams(events, names=False))
    assert outcome(ChatReplyDecoder(HEAD), chunks) == outcome(Exact(HEAD), chunks)


def test_text_behind_many_other_chunks_is_still_read_together() -> None:
    """Chunks that come alone and are no text do not take the text after them off the lean road."""
    looked = 0

    class Watched(ChatReplyDecoder):
        def _chunk(self, chunk: Any, events: list[ChatEvent]) -> None:
            nonlocal looked
            looked += 1
            super()._chunk(chunk, events)

    def sse(*events: dict[str, Any]) -> bytes:
        return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)

    decoder = Watched(HEAD)
    for _ in range(10):
        decoder.feed(sse(chunk(reasoning_content="hm")))
    assert looked == 10
    found = decoder.feed(sse(chunk(content="a")))
    found += decoder.feed(sse(*[chunk(content="b")] * 20))
    assert looked == 10 + 4
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["a", "b" * 20]
