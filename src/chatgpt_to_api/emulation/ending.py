"""Ending a choice before its upstream does, so that its blocks are closed and nothing follows."""

from __future__ import annotations

from chatgpt_to_api.chat.events import (
    OF_THE_REPLY,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Finished,
    FinishReason,
)


class Endings:
    """Which choices have ended, and which block of each is open."""

    __slots__ = ("_cut", "_ended", "_open")

    def __init__(self) -> None:
        self._open: dict[int, int | None] = {}
        self._ended: set[int] = set()
        self._cut = False

    @property
    def finished(self) -> bool:
        """Whether a choice was cut and none is left that goes on: nobody needs to read more."""
        return self._cut and self._ended.issuperset(self._open)

    def passes(self, event: ChatEvent) -> bool:
        """Note an event of the upstream; return whether it still counts."""
        if isinstance(event, OF_THE_REPLY):
            return True
        choice = event.choice
        if choice in self._ended:
            return False
        match event:
            case BlockStarted():
                self._open[choice] = event.block
            case BlockEnded():
                self._open[choice] = None
            case Finished():
                self._open.setdefault(choice)
                self._ended.add(choice)
            case _:
                pass
        return True

    def cut(
        self, choice: int, reason: FinishReason, stop_sequence: str | None = None
    ) -> list[ChatEvent]:
        """End a choice here; its later events no longer pass."""
        events: list[ChatEvent] = []
        block = self._open.get(choice)
        if block is not None:
            events.append(BlockEnded(block, choice))
        self._open[choice] = None
        self._ended.add(choice)
        self._cut = True
        events.append(Finished(reason, choice, stop_sequence))
        return events
