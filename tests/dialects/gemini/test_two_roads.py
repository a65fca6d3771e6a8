"""The lean road of a stream's text and the exact one tell the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, TextDelta
from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.dialects.gemini.messages import LeanChunk
from chatgpt_to_api.dialects.gemini.upstream_reply import GenerateReplyDecoder
from chatgpt_to_api.wire.http import ReplyHead
from support.two_roads import SAID, outcome, streams

HEAD = ReplyHead(200, [(b"content-type", b"text/event-stream")])
ASKED = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),))


class Exact(GenerateReplyDecoder):
    """A decoder that looks at every chunk."""

    def _lean(self, lines: bytes) -> list[LeanChunk] | None:
        del lines
        return None


def chunk(*parts: Any, index: Any = 0, tokens: int = 0, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [*parts], "role": "model"}, "index": index, **more}
    said: dict[str, Any] = {"candidates": [candidate], "modelVersion": "m-1"}
    if tokens:
        said["usageMetadata"] = {"promptTokenCount": 3, "candidatesTokenCount": tokens}
    return said


def piece(text: str, tokens: int = 0) -> dict[str, Any]:
    return chunk({"text": text}, tokens=tokens)


PIECE = st.builds(piece, SAID, st.integers(0, 5))
RATINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
ODD = st.one_of(
    st.builds(lambda text: chunk({"text": text, "thought": True}), SAID),
    st.builds(lambda text, index: chunk({"text": text}, index=index), SAID, st.integers(-1, 2)),
    st.builds(lambda text: chunk({"text": text, "thoughtSignature": "c2ln"}), SAID),
    st.builds(lambda text: chunk({"text": text}, {"text": text}), SAID),
    st.builds(lambda text: chunk({"text": text}, safetyRatings=RATINGS), SAID),
    st.builds(
        lambda text, reason: chunk({"text": text}, finishReason=reason),
        SAID,
        st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "FINISH_REASON_UNSPECIFIED"]),
    ),
    st.sampled_from(
        [
            chunk({"functionCall": {"name": "f", "args": {}}}),
            chunk({"text": None}),
            chunk({"text": "a", "thought": None}),
            chunk({"text": "a"}, index=None),
            chunk(),
            {"candidates": [{"finishReason": "STOP"}]},
            {"usageMetadata": {"promptTokenCount": 9}},
            piece("a") | {"usageMetadata": None},
            {"promptFeedback": {"blockReason": "SAFETY"}},
            piece("a") | {"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}},
            {"nothing": "known"},
        ]
    ),
)
RUN = st.lists(PIECE, max_size=6)
END = chunk({"text": ""}, finishReason="STOP", tokens=6)


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
    events += [*last, *data.draw(st.sampled_from([[], [END]]))]
    chunks = data.draw(streams(events, names=False))
    assert outcome(GenerateReplyDecoder(ASKED, HEAD), chunks) == outcome(Exact(ASKED, HEAD), chunks)


def test_a_burst_of_text_is_one_piece() -> None:
    """What says who answers, and what ends the answer, do not take the rest off the lean road."""
    decoder = GenerateReplyDecoder(ASKED, HEAD)
    events = [piece(" word"), *(piece(" word", n) for n in range(100)), END]
    found = decoder.feed("".join(f"data: {json.dumps(e)}\n\n" for e in events).encode())
    assert [e.text for e in found if isinstance(e, TextDelta)] == [" word", " word" * 100]


def test_empty_events_are_nothing() -> None:
    """An event without a payload says nothing, at the beginning neither."""
    body = b"data: \n\n" + b"".join(b"data: %b\n\n" % json.dumps(e).encode() for e in (piece("a"),))
    decoder = GenerateReplyDecoder(ASKED, HEAD)
    found: list[ChatEvent] = decoder.feed(body)
    assert decoder.fault is None
    assert [e.text for e in found if isinstance(e, TextDelta)] == ["a"]
