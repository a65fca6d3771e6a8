"""A part hands nothing on before its first content, and knows its own usage."""

from __future__ import annotations

from collections.abc import Sequence

from chatgpt_to_api.chat.events import (
    BlockStarted,
    ChatEvent,
    Finished,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.gateway.part import Part, summed


class Taken:
    """What a delivery is, to a part."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []

    def take(self, events: Sequence[ChatEvent]) -> None:
        self.events += events


OPENING: list[ChatEvent] = [Started("m"), BlockStarted(0, "text")]


def test_an_opening_is_held_until_content() -> None:
    """Handshakes commit to nothing; with the first piece all leaves in order."""
    taken = Taken()
    part = Part(taken, 0)
    part.take(OPENING)
    assert not taken.events and not part.said
    part.take([TextDelta("a")])
    assert taken.events == [*OPENING, TextDelta("a")]
    assert part.said


def test_a_failed_try_leaves_nothing_behind() -> None:
    """What was held of it is not in the next one's reply."""
    taken = Taken()
    part = Part(taken, 0)
    part.take(OPENING)
    part.forget()
    part.take([Started("other"), TextDelta("b")])
    assert taken.events == [Started("other"), TextDelta("b")]


def test_an_empty_answer_is_an_answer() -> None:
    """An end without content counts as said."""
    taken = Taken()
    part = Part(taken, 0)
    part.take([Started("m"), Finished("stop")])
    assert part.said and taken.events[-1] == Finished("stop")


def test_a_further_part_is_another_choice_of_one_reply() -> None:
    """Its events carry its number, and the reply begins only once."""
    taken = Taken()
    part = Part(taken, 2)
    part.take([*OPENING, TextDelta("a"), Finished("stop")])
    assert taken.events == [
        BlockStarted(0, "text", 2),
        TextDelta("a", 2),
        Finished("stop", 2),
    ]


def parts(*usages: Usage | None) -> list[Part]:
    made = [Part(Taken(), choice) for choice in range(len(usages))]
    for part, usage in zip(made, usages, strict=True):
        part.usage = usage
    return made


def test_usage_is_kept_and_summed_with_the_prompt_once() -> None:
    """Three choices cost their prompt once; a part that knows nothing makes it partial."""
    taken = Taken()
    part = Part(taken, 0)
    part.take([TextDelta("a"), UsageReported(Usage(input=5, output=1, source="counted"))])
    assert taken.events == [TextDelta("a")]
    assert part.usage == Usage(input=5, output=1, source="counted")
    one = Usage(input=5, output=2, source="counted")
    assert summed(parts(one, one, one)) == Usage(input=5, output=6, source="counted")
    assert summed(parts(one, None)) == Usage(input=5, output=2, source="partial")
    assert summed(parts(None)) is None


def test_each_prompt_is_summed_once() -> None:
    """Two prompts with two choices each: what one part does not know, the other one may."""
    short = Usage(input=2, output=1, cache_read=1, source="counted")
    long = Usage(input=7, output=3, source="counted")
    assert summed(parts(short, short, long, long), 2) == Usage(
        input=9, output=8, cache_read=1, source="counted"
    )
    assert summed(parts(None, short, long, None), 2) == Usage(
        input=9, output=4, cache_read=1, source="partial"
    )
