"""One independent part of a reply: a whole one-choice reply, or one choice of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from chatgpt_to_api.chat.events import CONTENT, OF_THE_REPLY, ChatEvent, Finished, UsageReported
from chatgpt_to_api.chat.usage import Usage

_COMMITTING: Final = frozenset({*CONTENT, Finished})


class Taker(Protocol):
    """Where a part's events go: the client's delivery."""

    def take(self, events: Sequence[ChatEvent]) -> None:
        """Take events that are to reach the client."""
        ...


class Part:
    """Holds a part's events until its first content, then hands them on as its choice.

    What fails before the first content leaves nothing behind (:meth:`forget`), so it can be tried
    again. Usage is kept, not handed on: a reply of several parts reports one sum.
    """

    said = False
    """Generated content, or the end of an empty answer, was seen: no further try."""
    usage: Usage | None = None
    anew = False
    """Going on with a conversation was tried: the next try asks with the whole history."""

    def __init__(self, delivery: Taker, choice: int) -> None:
        self._delivery = delivery
        self.choice = choice
        self._held: list[ChatEvent] = []

    def take(self, events: Sequence[ChatEvent]) -> None:
        """Take the next events of the upstream's reply."""
        if not self.said:
            self._held.extend(events)
            if _COMMITTING.isdisjoint(map(type, events)):
                return
            self.said = True
            events, self._held = self._held, []
        if UsageReported in map(type, events):
            self.usage = [event for event in events if type(event) is UsageReported][-1].usage
            events = [event for event in events if type(event) is not UsageReported]
        if self.choice:
            events = [
                msgspec.structs.replace(event, choice=self.choice)
                for event in events
                if type(event) not in OF_THE_REPLY
            ]
        if events:
            self._delivery.take(events)

    def forget(self) -> None:
        """Drop what was held of a failed try."""
        self._held.clear()
        self.usage = None


def summed(parts: Sequence[Part], prompts: int = 1) -> Usage | None:
    """Usage of a reply of several parts: each prompt once, every part's output.

    None where no part knows its usage; a part without it makes the sum ``partial``.
    """
    if len(parts) == 1:
        return parts[0].usage
    known = [part.usage for part in parts if part.usage is not None]
    if not known:
        return None
    each = len(parts) // prompts
    asked = [_first_known(parts[at : at + each]) for at in range(0, len(parts), each)]
    return msgspec.structs.replace(
        known[0],
        input=_sum(usage.input for usage in asked if usage is not None),
        cache_read=_sum(usage.cache_read for usage in asked if usage is not None),
        cache_write=_sum(usage.cache_write for usage in asked if usage is not None),
        output=_sum(usage.output for usage in known),
        reasoning=_sum(usage.reasoning for usage in known) or None,
        source=known[0].source if len(known) == len(parts) else "partial",
    )


def _first_known(parts: Sequence[Part]) -> Usage | None:
    return next((part.usage for part in parts if part.usage is not None), None)


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of what is known, None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
