"""A reply held until it is known whether it does."""

from __future__ import annotations

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    BlockStarted,
    ChatEvent,
    Finished,
    FinishReason,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import JsonFormat
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.emulation.demands import CallDemanded, Complaint, JsonDemanded
from chatgpt_to_api.emulation.held import HeldReply


def reply(text: str, reason: FinishReason = "stop") -> list[ChatEvent]:
    """Thoughts around a text in two blocks."""
    blocks = BlockTracker()
    events: list[ChatEvent] = [Started("m"), *blocks.reasoning("hm"), *blocks.text(text[:4])]
    events += [*blocks.reasoning("hm"), *blocks.text(text[4:]), *blocks.finish(reason)]
    return events


def test_nothing_leaves_before_the_end_but_usage() -> None:
    """Thoughts wait too: an answer that does not do leaves no trace."""
    held = HeldReply(JsonDemanded(JsonFormat()))
    usage = UsageReported(Usage(output=1))
    assert held.feed([*reply('{"a": 1}'), usage]) == [usage]
    assert held.said == '{"a": 1}'


def test_what_an_answer_that_did_not_do_has_cost_is_added() -> None:
    """The writing of both counts, the reading of the last; what nobody reported is not made up."""
    first = HeldReply(JsonDemanded(JsonFormat()))
    first.feed([*reply("no"), UsageReported(Usage(input=5, output=3, reasoning=1))])
    second = HeldReply(JsonDemanded(JsonFormat()), first.usage)
    [told] = second.feed([*reply('{"a": 1}'), UsageReported(Usage(input=9, output=4))])
    assert told == UsageReported(Usage(input=9, output=7, reasoning=1))
    unknown = HeldReply(JsonDemanded(JsonFormat()), Usage(input=5))
    assert unknown.feed([UsageReported(Usage(input=9, output=4))]) == [
        UsageReported(Usage(input=9, output=4))
    ]


def test_what_does_leaves_whole_and_in_order() -> None:
    """One text block with the JSON, the others numbered as if there had never been two."""
    held = HeldReply(JsonDemanded(JsonFormat()))
    held.feed(reply('Hm: {"a": 1}'))
    events = held.settled(None)
    assert isinstance(events, list)
    opened = [(e.block, e.kind) for e in events if isinstance(e, BlockStarted)]
    assert opened == [(0, "reasoning"), (1, "text"), (2, "reasoning")]
    assert [e.text for e in events if isinstance(e, TextDelta)] == ['{"a": 1}']
    assert events[-1] == Finished("stop")


def test_what_does_not_is_complained_of() -> None:
    """Also where only the rewritten text shows it."""
    held = HeldReply(JsonDemanded(JsonFormat()))
    held.feed(reply('{"a": 1}'))
    assert isinstance(held.settled("rewritten"), Complaint)


def test_a_cut_reply_leaves_as_it_is() -> None:
    """Its reason says that it is not whole."""
    held = HeldReply(JsonDemanded(JsonFormat()))
    events = reply('{"a": ', "length")
    assert held.feed(events) == events
    assert held.settled(None) == []


def test_a_call_lets_everything_go() -> None:
    """What was held before it leaves first; what follows streams."""
    held = HeldReply(CallDemanded("tool_choice"))
    blocks = BlockTracker()
    before = [Started("m"), *blocks.text("Look: ")]
    assert held.feed(before) == []
    call = blocks.tool_call("", "now")
    assert held.feed(call) == [*before, *call]
    rest = [*blocks.arguments("{}"), *blocks.finish("tool_calls")]
    assert held.feed(rest) == rest
