"""The block tracker: blocks are born once, fed while open, ended once."""

from __future__ import annotations

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import Opaque


def test_blocks_of_different_kinds_follow_each_other() -> None:
    """Numbered from 0, each ended before the next begins."""
    tracker = BlockTracker()
    events = [
        *tracker.reasoning("hm"),
        *tracker.text("a"),
        *tracker.text("b"),
        *tracker.tool_call("id", "f"),
        *tracker.arguments("{}"),
        *tracker.refusal("no"),
        *tracker.finish("stop"),
    ]
    assert events == [
        BlockStarted(0, "reasoning"),
        ReasoningDelta("hm"),
        BlockEnded(0),
        BlockStarted(1, "text"),
        TextDelta("a"),
        TextDelta("b"),
        BlockEnded(1),
        BlockStarted(2, "tool_call", 0, "id", "f"),
        ToolCallDelta("{}"),
        BlockEnded(2),
        BlockStarted(3, "refusal"),
        RefusalDelta("no"),
        BlockEnded(3),
        Finished("stop"),
    ]
    assert tracker.begun == 4


def test_a_foreign_block_comes_whole() -> None:
    """It ends what was open, and is over at once."""
    tracker = BlockTracker()
    search = Opaque("anthropic", '{"type":"server_tool_use"}')
    events = [*tracker.text("a"), *tracker.foreign(search), *tracker.text("b")]
    assert events == [
        BlockStarted(0, "text"),
        TextDelta("a"),
        BlockEnded(0),
        BlockStarted(1, "foreign", opaque=search),
        BlockEnded(1),
        BlockStarted(2, "text"),
        TextDelta("b"),
    ]


def test_empty_pieces_open_nothing() -> None:
    """But an opaque part alone is a piece."""
    tracker = BlockTracker()
    assert tracker.text("") == tracker.refusal("") == tracker.reasoning("") == []
    assert tracker.arguments("x") == []
    assert tracker.open_kind is None
    opaque = Opaque("anthropic", "sig")
    assert tracker.reasoning("", opaque)[-1] == ReasoningDelta("", 0, opaque)


def test_nothing_comes_after_the_finish() -> None:
    """Not even a second one."""
    tracker = BlockTracker(choice=2)
    assert tracker.finish("length", "###") == [Finished("length", 2, "###")]
    assert tracker.finished
    assert tracker.finish("stop") == tracker.text("x") == tracker.tool_call("a", "b") == []
    assert tracker.reasoning("x") == tracker.refusal("x") == tracker.arguments("x") == []


def test_a_resumed_choice_goes_on_in_its_open_block() -> None:
    """A continued answer opens no second block for the same text."""
    tracker = BlockTracker.resumed(3, "text")
    assert tracker.text("more") == [TextDelta("more")]
    assert tracker.reasoning("hm") == [
        BlockEnded(2),
        BlockStarted(3, "reasoning"),
        ReasoningDelta("hm"),
    ]
    assert BlockTracker.resumed(1, None).text("new")[0] == BlockStarted(1, "text")
