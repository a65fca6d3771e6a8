"""Stop strings: found across pieces, earliest first, nothing lost, nothing held too long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.emulation.stop import StopStrings
from chatgpt_to_api.errors import UpstreamFailed


def reply(pieces: list[str], choice: int = 0) -> list[ChatEvent]:
    """A choice's events as a decoder gives them."""
    tracker = BlockTracker(choice)
    events = [event for piece in pieces for event in tracker.text(piece)]
    return events + tracker.finish("stop")


def run(events: list[ChatEvent], stops: list[str]) -> tuple[str, ChatEvent]:
    """Feed events one by one; return the joined text and the last event."""
    stage = StopStrings(stops)
    out = [made for event in events for made in stage.feed([event])]
    return "".join(e.text for e in out if isinstance(e, TextDelta)), out[-1]


@given(
    text=st.text("abSTOP", max_size=30),
    stops=st.lists(st.text("abSTOP", min_size=1, max_size=5), min_size=1, max_size=4),
    data=st.data(),
)
def test_any_cutting_ends_before_the_first_complete_stop_string(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    """However the text is cut, it ends before the stop string that is complete first."""
    cuts = data.draw(st.sets(st.integers(0, len(text))))
    pieces = [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    said, last = run(reply(pieces), stops)
    if found:
        _, at = min(found)
        assert said == text[:at]
        assert isinstance(last, Finished)
        assert last.reason == "stop"
        assert last.stop_sequence in stops
        assert text.startswith(last.stop_sequence, at)
    else:
        assert said == text
        assert last == Finished("stop")


def test_text_is_held_back_only_while_it_may_be_a_stop_string() -> None:
    """What cannot become one goes on with the piece it came in."""
    stage = StopStrings(["END", "\n\n"])
    stage.feed([BlockStarted(0, "text")])
    assert stage.feed([TextDelta("one ")]) == [TextDelta("one ")]
    assert stage.feed([TextDelta("two E")]) == [TextDelta("two ")]
    assert stage.feed([TextDelta("N")]) == []
    assert stage.feed([TextDelta("!")]) == [TextDelta("EN!")]
    assert stage.feed([TextDelta("\n")]) == []
    assert stage.feed([BlockEnded(0)]) == [TextDelta("\n"), BlockEnded(0)]


def test_a_hit_ends_block_and_choice_and_names_the_string() -> None:
    """The open block is ended, the reason is stop, and nothing of the choice follows."""
    stage = StopStrings(["X"])
    out = stage.feed([Started("m"), *reply(["ab", "cXd", "e"])])
    assert out == [
        Started("m"),
        BlockStarted(0, "text"),
        TextDelta("ab"),
        TextDelta("c"),
        BlockEnded(0),
        Finished("stop", 0, "X"),
    ]
    assert stage.finished
    assert stage.feed([UsageReported(Usage(1, 2))]) == [UsageReported(Usage(1, 2))]


def test_choices_are_cut_apart_from_each_other() -> None:
    """One choice's hit leaves the other alone; only when all have ended is the reply finished."""
    stage = StopStrings(["X"])
    first, second = reply(["aX"], 0), reply(["b", "c"], 1)
    out = stage.feed(second[:2] + first)
    assert Finished("stop", 0, "X") in out
    assert not stage.finished
    assert stage.feed(second[2:])[-1] == Finished("stop", 1)
    assert stage.finished


@pytest.mark.parametrize("event", [ReasoningDelta("X"), ToolCallDelta("X")])
def test_only_text_is_searched(event: ChatEvent) -> None:
    """Thoughts and arguments may hold a stop string."""
    assert StopStrings(["X"]).feed([event]) == [event]


def test_a_match_does_not_reach_over_a_block_of_another_kind() -> None:
    """Text before and after a thought is two texts."""
    tracker = BlockTracker()
    events = [*tracker.text("E"), *tracker.reasoning("hm"), *tracker.text("ND")]
    said, _ = run([*events, *tracker.finish("stop")], ["END"])
    assert said == "END"


def test_a_failure_does_not_swallow_held_text() -> None:
    """What was held back when the upstream broke off goes out before the failure."""
    stage = StopStrings(["END"])
    failed = Failed(UpstreamFailed("cut"))
    assert stage.feed([BlockStarted(0, "text"), TextDelta("aE"), failed])[-2:] == [
        TextDelta("E"),
        failed,
    ]


def test_a_special_sign_in_a_stop_string_is_itself() -> None:
    """A stop string is no pattern."""
    assert run(reply(["a.b*c"]), [".*"])[0] == "a.b*c"
    assert run(reply(["a.*c"]), [".*"])[0] == "a"


@pytest.mark.parametrize("pieces", [["POO"], ["P", "O", "O"], ["PO", "O"]])
def test_a_string_inside_a_longer_one_stops_first(pieces: list[str]) -> None:
    """A model that stops by itself would never have written the rest of the longer one."""
    said, last = run(reply(pieces), ["O", "POO"])
    assert (said, last) == ("P", Finished("stop", 0, "O"))
