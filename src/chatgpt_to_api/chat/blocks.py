"""The block tracker: the only way a decoder opens, feeds and ends blocks.

Most of what breaks clients behind gateways is a block born twice, never ended, or fed after its
end. Every decoder sends its pieces through a tracker, which makes any other order impossible.
"""

from __future__ import annotations

import msgspec

from chatgpt_to_api.chat.events import (
    AudioDelta,
    BlockEnded,
    BlockKind,
    BlockStarted,
    ChatEvent,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import Opaque


class BlockTracker:
    """The blocks of one choice: numbered from 0, one open at a time.

    Each method returns the events to emit, in order; an empty piece gives none.
    """

    __slots__ = ("_choice", "_count", "_finished", "_kind")

    def __init__(self, choice: int = 0) -> None:
        self._choice = choice
        self._count = 0
        self._kind: BlockKind | None = None
        self._finished = False

    @classmethod
    def resumed(cls, begun: int, open_kind: BlockKind | None, choice: int = 0) -> BlockTracker:
        """Go on with a choice in which ``begun`` blocks have begun; the last may still be open."""
        tracker = cls(choice)
        tracker._count = begun
        tracker._kind = open_kind
        return tracker

    @property
    def begun(self) -> int:
        """How many blocks have begun."""
        return self._count

    @property
    def open_kind(self) -> BlockKind | None:
        """Kind of the open block, None where none is open."""
        return self._kind

    @property
    def finished(self) -> bool:
        """Whether the choice has ended; pieces after that are dropped."""
        return self._finished

    def text(self, text: str) -> list[ChatEvent]:
        """A piece of text, in a text block opened where needed."""
        if not text or self._finished:
            return []
        if self._kind == "text":
            return [TextDelta(text, self._choice)]
        return [*self._open("text"), TextDelta(text, self._choice)]

    def reasoning(self, text: str, opaque: Opaque | None = None) -> list[ChatEvent]:
        """A piece of reasoning, in a reasoning block opened where needed."""
        if self._finished or not (text or opaque):
            return []
        return [*self._open_unless("reasoning"), ReasoningDelta(text, self._choice, opaque)]

    def refusal(self, text: str) -> list[ChatEvent]:
        """A piece of a refusal, in a refusal block opened where needed."""
        if not text or self._finished:
            return []
        return [*self._open_unless("refusal"), RefusalDelta(text, self._choice)]

    def audio(self, piece: AudioDelta) -> list[ChatEvent]:
        """A piece of a spoken answer, in an audio block opened where needed."""
        if self._finished:
            return []
        return [*self._open_unless("audio"), msgspec.structs.replace(piece, choice=self._choice)]

    def tool_call(
        self, tool_id: str, name: str, *, freeform: bool = False, opaque: Opaque | None = None
    ) -> list[ChatEvent]:
        """A new tool call begins; whatever was open ends first."""
        if self._finished:
            return []
        return self._open("tool_call", tool_id, name, freeform=freeform, opaque=opaque)

    def foreign(self, opaque: Opaque) -> list[ChatEvent]:
        """A whole block that only its own dialect has a meaning for."""
        if self._finished:
            return []
        return [*self._open("foreign", opaque=opaque), *self.end_block()]

    def arguments(self, piece: str) -> list[ChatEvent]:
        """A piece of the open tool call's arguments; dropped where no call is open."""
        if not piece or self._finished or self._kind != "tool_call":
            return []
        return [ToolCallDelta(piece, self._choice)]

    def end_block(self) -> list[ChatEvent]:
        """End the open block, if any."""
        if self._kind is None:
            return []
        self._kind = None
        return [BlockEnded(self._count - 1, self._choice)]

    def finish(self, reason: FinishReason, stop_sequence: str | None = None) -> list[ChatEvent]:
        """End the open block and the choice; a second finish gives nothing."""
        if self._finished:
            return []
        events = [*self.end_block(), Finished(reason, self._choice, stop_sequence)]
        self._finished = True
        return events

    def _open_unless(self, kind: BlockKind) -> list[ChatEvent]:
        return [] if self._kind == kind else self._open(kind)

    def _open(
        self,
        kind: BlockKind,
        tool_id: str = "",
        name: str = "",
        *,
        freeform: bool = False,
        opaque: Opaque | None = None,
    ) -> list[ChatEvent]:
        events = self.end_block()
        started = BlockStarted(self._count, kind, self._choice, tool_id, name, freeform, opaque)
        events.append(started)
        self._count += 1
        self._kind = kind
        return events
