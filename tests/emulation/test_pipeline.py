"""The emulations together: in order, and only those that were asked for."""

from __future__ import annotations

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import Finished, TextDelta
from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.emulation.features import EMULATED
from chatgpt_to_api.emulation.pipeline import Pipeline


def request(max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> ChatRequest:
    messages = (Message("user", (Text("hi"),)),)
    return ChatRequest(model="m", messages=messages, max_tokens=max_tokens, stop=stop)


def pipeline_for(asked: ChatRequest) -> Pipeline | None:
    return Pipeline.for_request(asked, EMULATED, len)


def run(pipeline: Pipeline | None, text: str) -> tuple[str, Finished]:
    assert pipeline is not None
    tracker = BlockTracker()
    events = [*tracker.text(text[:3]), *tracker.text(text[3:]), *tracker.finish("stop")]
    out = [made for event in events for made in pipeline.feed([event])]
    last = out[-1]
    assert isinstance(last, Finished)
    return "".join(e.text for e in out if isinstance(e, TextDelta)), last


def test_nothing_is_built_when_nothing_is_asked_for() -> None:
    """A plain request costs nothing and never counts."""
    assert pipeline_for(request()) is None


def test_what_comes_first_ends_the_reply() -> None:
    """A stop string within the limit is a stop, one beyond it a length, even half within."""
    assert run(pipeline_for(request(6, ("X",))), "abcdX") == (
        "abcd",
        Finished("stop", 0, "X"),
    )
    assert run(pipeline_for(request(3, ("X",))), "abcdX") == (
        "abc",
        Finished("length"),
    )
    assert run(pipeline_for(request(5, ("XY",))), "abcdXY") == (
        "abcdX",
        Finished("length"),
    )


def test_the_upstream_may_be_left_once_the_reply_is_cut() -> None:
    """``finished`` comes with the cut, not with the upstream's own end."""
    pipeline = pipeline_for(request(stop=("X",)))
    assert pipeline is not None
    tracker = BlockTracker()
    pipeline.feed(tracker.text("ab"))
    assert not pipeline.finished
    pipeline.feed(tracker.text("Xc"))
    assert pipeline.finished
    assert pipeline.feed([*tracker.text("d"), *tracker.finish("stop")]) == []
