"""Stop strings, for backends that know none: the text ends where the first of them begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chatgpt_to_api.chat.events import (
    Annotated,
    ChatEvent,
    Failed,
    LogprobsReported,
    ReplyNoted,
    Started,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.emulation.ending import Endings


class StopStrings:
    """Cuts each choice's text before the first stop string that is complete in it; sans-IO.

    A string may come in pieces, so the end of a text that could be the beginning of one is held
    back until the next piece, or the end of its block, shows what it is. The first to be complete
    counts, as it would with a model that stops by itself; of several that end at one place the
    longest. Thoughts, refusals and tool calls are not searched.
    """

    __slots__ = ("_endings", "_held", "_stops")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held: dict[int, str] = {}
        self._endings = Endings()

    @property
    def finished(self) -> bool:
        """Whether every choice has ended, one of them by a stop string."""
        return self._endings.finished

    def feed(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return the events with each text cut where it has to be."""
        out: list[ChatEvent] = []
        for event in events:
            if isinstance(event, Started | ReplyNoted | UsageReported):
                out.append(event)
            elif isinstance(event, Failed):
                for choice in list(self._held):
                    self._release(choice, out)
                out.append(event)
            elif isinstance(event, Annotated | LogprobsReported):
                # They speak of text that may still be held back; it does not wait for them.
                if self._endings.passes(event):
                    out.append(event)
            elif isinstance(event, TextDelta):
                if self._endings.passes(event):
                    self._text(event, out)
            else:
                self._release(event.choice, out)
                if self._endings.passes(event):
                    out.append(event)
        return out

    def _text(self, event: TextDelta, out: list[ChatEvent]) -> None:
        choice = event.choice
        text = self._held.pop(choice, "") + event.text
        found = [(at + len(s), at, s) for s in self._stops if (at := text.find(s)) >= 0]
        if found:
            _, start, stop = min(found)
            if start:
                out.append(TextDelta(text[:start], choice))
            out += self._endings.cut(choice, "stop", stop)
            return
        sure = self._sure(text)
        if sure:
            out.append(TextDelta(text[:sure], choice))
        if sure < len(text):
            self._held[choice] = text[sure:]

    def _sure(self, text: str) -> int:
        """Return where the end of ``text`` begins that may yet become a stop string."""
        sure = len(text)
        for stop in self._stops:
            at = max(0, len(text) - len(stop) + 1)
            while (at := text.find(stop[0], at, sure)) >= 0:
                if stop.startswith(text[at:]):
                    sure = at
                    break
                at += 1
        return sure

    def _release(self, choice: int, out: list[ChatEvent]) -> None:
        """Hand on what was held back: no stop string has come of it."""
        text = self._held.pop(choice, "")
        if text:
            out.append(TextDelta(text, choice))
