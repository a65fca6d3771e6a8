"""The token limit: exact by the handed-in count, however the text comes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    BlockEnded,
    ChatEvent,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.emulation.limit import TokenLimit


def characters(text: str) -> int:
    """A tokenizer whose tokens are characters."""
    return len(text)


def words(text: str) -> int:
    """A tokenizer whose tokens are words with the space before them."""
    return len(text.split())


def texts(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@given(text=st.text(max_size=50), limit=st.integers(1, 60), data=st.data())
def test_any_cutting_keeps_exactly_what_fits(text: str, limit: int, data: st.DataObject) -> None:
    """The longest beginning within the limit comes out, and the reason tells whether it was all."""
    cuts = data.draw(st.sets(st.integers(0, len(text))))
    pieces = [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]
    tracker = BlockTracker()
    stage = TokenLimit(limit, characters)
    events = [event for piece in pieces for event in tracker.text(piece)] + tracker.finish("stop")
    out = [made for event in events for made in stage.feed([event])]
    assert texts(out) == text[:limit]
    cut = len(text) > limit
    assert out[-1] == Finished("length" if cut else "stop")
    assert stage.finished == cut
    assert not cut or out[-2] == BlockEnded(0)


def test_a_word_is_kept_whole_while_it_fits() -> None:
    """The cut is where the count would pass the limit, not before."""
    stage = TokenLimit(3, words)
    out = stage.feed(BlockTracker().text("one two three four five"))
    assert texts(out).split() == ["one", "two", "three"]


def test_thoughts_and_arguments_count_too() -> None:
    """Everything generated is paid for from the same budget, in order."""
    tracker = BlockTracker()
    stage = TokenLimit(6, characters)
    out = stage.feed([*tracker.reasoning("abc"), *tracker.tool_call("i", "f")])
    assert ReasoningDelta("abc") in out
    out = stage.feed(tracker.arguments('{"a": 1}'))
    assert out == [ToolCallDelta('{"a'), BlockEnded(1), Finished("length")]


def test_each_choice_has_its_own_limit() -> None:
    """One choice's length says nothing about another's."""
    stage = TokenLimit(2, characters)
    first, second = BlockTracker(0), BlockTracker(1)
    stage.feed([*first.text("abc"), *second.text("x")])
    assert not stage.finished
    assert texts(stage.feed(second.text("yz"))) == "y"
    assert stage.finished


def test_counting_is_rare() -> None:
    """A token is a byte at least, so most pieces need no counting."""
    calls = 0

    def count(text: str) -> int:
        nonlocal calls
        calls += 1
        return len(text) // 4

    tracker = BlockTracker()
    stage = TokenLimit(1000, count)
    for _ in range(900):
        stage.feed(tracker.text("abcd"))
    assert calls < 60
