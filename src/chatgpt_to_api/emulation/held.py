"""A reply held back until it is known whether it does: nothing of one that does not may leave."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Finished,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.emulation.demands import Complaint, Demand


class HeldReply:
    """Holds a reply of one choice until its first call, or until it is ``settled``; sans-IO.

    A reply that holds a call, or the model's refusal, does, and streams on from there. One that was
    cut for its length or its content leaves too: its finish reason says that it is not whole, as it
    does with a backend that can do all this by itself. What was ``spent`` on an answer that did not
    do is written as well, and added to the usage that the upstream reports.
    """

    __slots__ = ("_demand", "_held", "_open", "_spent", "usage")

    def __init__(self, demand: Demand, spent: Usage | None = None) -> None:
        self._demand = demand
        self._spent = spent
        self.usage: Usage | None = None
        """What the upstream reported last."""
        self._held: list[ChatEvent] = []
        self._open = False

    def feed(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return what may leave: usage, and everything once the demand is met."""
        out: list[ChatEvent] = []
        for event in events:
            if isinstance(event, UsageReported):
                self.usage = _with_writing_of(self._spent, event.usage)
                out.append(UsageReported(self.usage))
                continue
            if self._open:
                out.append(event)
                continue
            self._held.append(event)
            meets = isinstance(event, BlockStarted) and event.kind in ("tool_call", "refusal")
            if meets or (isinstance(event, Finished) and event.reason != "stop"):
                self._open = True
                out += self._held
                self._held = []
        return out

    @property
    def said(self) -> str:
        """The text that is held."""
        return "".join(event.text for event in self._held if isinstance(event, TextDelta))

    def settled(self, revised: str | None) -> list[ChatEvent] | Complaint:
        """The reply is over: return what was held with its text as it may leave, or the complaint.

        ``revised`` is the whole text where the upstream rewrote what it had said.
        """
        if self._open:
            return []
        verdict = self._demand.judge(self.said if revised is None else revised)
        if isinstance(verdict, Complaint):
            return verdict
        return _with_text(self._held, verdict)


def _with_writing_of(spent: Usage | None, usage: Usage) -> Usage:
    if spent is None or spent.output is None or usage.output is None:
        return usage
    reasoning = (spent.reasoning or 0) + (usage.reasoning or 0)
    return structs.replace(
        usage, output=spent.output + usage.output, reasoning=reasoning or usage.reasoning
    )


def _with_text(events: Iterable[ChatEvent], text: str) -> list[ChatEvent]:
    """Replace the text blocks by one of ``text``, where the first of them stood, or at the end."""
    out: list[ChatEvent] = []
    texts: set[int] = set()
    shift = 0
    for event in events:
        match event:
            case BlockStarted(block, "text", choice):
                texts.add(block)
                if len(texts) == 1:
                    out += [event, TextDelta(text, choice), BlockEnded(block, choice)]
                else:
                    shift += 1
            case BlockStarted(block):
                out.append(structs.replace(event, block=block - shift))
            case BlockEnded(block, choice):
                if block not in texts:
                    out.append(BlockEnded(block - shift, choice))
            case TextDelta():
                pass
            case _:
                out.append(event)
    return out
