"""A token limit, for backends that know none: what goes beyond ``max_tokens`` is cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chatgpt_to_api.chat.events import (
    ChatEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.tokens import TokenCounter
from chatgpt_to_api.emulation.ending import Endings


class TokenLimit:
    """Cuts each choice after ``limit`` generated tokens, thoughts and arguments included; sans-IO.

    ``count`` counts a text's tokens. The cut stands after the longest beginning of the text that is
    ``limit`` tokens long at most: at a border of the tokens counted, which need not be the model's.
    """

    __slots__ = ("_choices", "_count", "_endings", "_limit")

    def __init__(self, limit: int, count: Callable[[str], int]) -> None:
        self._limit = limit
        self._count = count
        self._choices: dict[int, _Budget] = {}
        self._endings = Endings()

    @property
    def finished(self) -> bool:
        """Whether every choice has ended, one of them by the limit."""
        return self._endings.finished

    def feed(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return the events that lie within the limit."""
        out: list[ChatEvent] = []
        for event in events:
            if not self._endings.passes(event):
                continue
            match event:
                case (
                    TextDelta(piece)
                    | ReasoningDelta(piece)
                    | RefusalDelta(piece)
                    | ToolCallDelta(piece)
                ):
                    fits = self._fits(event.choice, piece)
                    if fits == len(piece):
                        out.append(event)
                        continue
                    if fits:
                        out.append(type(event)(piece[:fits], event.choice))
                    out += self._endings.cut(event.choice, "length")
                case _:
                    out.append(event)
        return out

    def _fits(self, choice: int, piece: str) -> int:
        budget = self._choices.get(choice)
        if budget is None:
            budget = self._choices[choice] = _Budget(self._limit, self._count)
        return budget.take(piece)


class _Budget:
    """How much of one choice's text fits."""

    __slots__ = ("_counter", "_limit", "_sure")

    def __init__(self, limit: int, count: Callable[[str], int]) -> None:
        self._counter = TokenCounter(count)
        self._limit = limit
        self._sure = limit
        """Bytes that fit without being counted: a token is a byte at least."""

    def take(self, piece: str) -> int:
        """Take a piece; return how many of its characters fit."""
        size = len(piece.encode())
        if size <= self._sure:
            self._sure -= size
            self._counter.feed(piece)
            return len(piece)
        total = self._counter.total(piece)
        if total <= self._limit:
            self._counter.feed(piece)
            self._sure = self._limit - total
            return len(piece)
        fits, beyond = 0, len(piece)
        while fits + 1 < beyond:
            middle = (fits + beyond) // 2
            if self._counter.total(piece[:middle]) <= self._limit:
                fits = middle
            else:
                beyond = middle
        return fits
