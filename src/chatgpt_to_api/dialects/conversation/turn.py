"""One turn of a conversation: which of its messages are the answer, and in which order they stand.

A turn can hold many messages: echoes of the question and of old answers, calls to tools and their
results, what the model thinks, and one or more messages that are meant for the user. The answer is
all of the last kind, in order of first appearance, with a blank line between them.
"""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import ChatEvent, FinishReason, Started
from chatgpt_to_api.chat.request import Branch, Continuation
from chatgpt_to_api.dialects.conversation.reading import CUT, FINISHED, Flags
from chatgpt_to_api.dialects.conversation.streamed import Streamed
from chatgpt_to_api.errors import ReplyTooLong

MAX_TEXT: Final = 8 * 1024 * 1024
"""Longest text of all messages of a turn together, characters."""

MAX_MESSAGES: Final = 256
"""Most messages of a turn that are told apart."""

_BETWEEN: Final = "\n\n"


class Answer:
    """One message that the user is to see.

    ``suspect``: it may be an old answer that is echoed, so it waits, unsent, for what comes next.
    """

    __slots__ = ("dropped", "flags", "joint", "place", "shown", "streamed", "suspect", "waiting")

    def __init__(self, flags: Flags, place: int) -> None:
        self.flags = flags
        self.place = place
        self.streamed = Streamed()
        self.shown = True
        self.dropped = False
        self.joint: str | None = None  # what stands before its text in the answer, once it spoke
        self.waiting = ""
        # An echo of history is complete at first sight and does not end its turn.
        self.suspect = flags.status == FINISHED and flags.end_turn is not True

    @property
    def text(self) -> str:
        """Its whole text, as the backend last had it."""
        return self.waiting if self.suspect else self.streamed.text

    @property
    def size(self) -> int:
        """How much of it is held, characters."""
        return len(self.waiting) if self.suspect else self.streamed.size


class Turn:
    """The messages of one turn. What there is to say is collected for ``take``."""

    __slots__ = (
        "_answers",
        "_begun",
        "_continued",
        "_events",
        "_hidden",
        "_old",
        "_pictures",
        "_pieces",
        "_size",
        "_speaker",
        "_thinker",
        "_torn",
        "_tracker",
        "model",
        "pending",
        "pictured",
    )

    def __init__(self, continuation: Continuation | None, branch: Branch | None = None) -> None:
        self._continued = continuation
        # What is hung under or written on may be echoed: what it says was said before.
        self._old: list[str] = []
        if branch is not None and branch.parent_message_id:
            self._old.append(branch.parent_message_id)
        if continuation is not None and continuation.message_id:
            self._old.append(continuation.message_id)
        if continuation is None:
            self._tracker = BlockTracker()
        else:
            self._tracker = BlockTracker.resumed(
                continuation.blocks, "text" if continuation.in_text else None
            )
        self._begun = continuation is not None
        self._answers: dict[str, Answer] = {}
        self._hidden: set[str] = set()
        self._events: list[ChatEvent] = []
        self._pieces: list[str] = []
        self._pictures: dict[str, tuple[str, ...]] = {}
        self._speaker: Answer | None = None
        self._thinker: Answer | None = None
        self._size = 0
        self._torn = False
        self.model = ""
        """The model of the message that was last seen to name one."""
        self.pending = False
        """Whether other messages came after the last one of the answer: the turn goes on."""
        self.pictured = False
        """Whether a picture or the like was among the messages."""

    # -- what is seen ------------------------------------------------------------------------------

    def see(self, key: str, flags: Flags, text: str) -> Answer | None:
        """A message stands as ``flags`` and ``text`` now; return its answer if it is shown.

        ``key`` tells messages apart. Raises ReplyTooLong.
        """
        if flags.pictures and key not in self._old and len(self._pictures) < MAX_MESSAGES:
            self._pictures[key] = flags.pictures
        if flags.kind is None or (flags.kind == "recap" and self._has_thoughts()):
            self._pass_by(key, flags)
            return None
        answer = self._answers.get(key)
        if answer is None:
            answer = self._meet(key, flags)
            held, before = answer.suspect, 0
        else:
            # What changes, or ends the turn, is no echo of an old answer.
            held = answer.suspect and flags.end_turn is not True and answer.waiting == text
            before = answer.size
        if answer.dropped:
            return None
        self._mark(answer, flags)
        if held:
            answer.waiting = text
            self._grow(answer.size - before)
            return answer
        answer.suspect = False
        piece = answer.streamed.snapshot(text)
        self._grow(answer.size - before)
        self._say(answer, piece)
        return answer

    def append(self, answer: Answer, text: str) -> None:
        """``text`` was added at the end of a shown message's text. Raises ReplyTooLong."""
        if answer.suspect:
            answer.suspect = False
            self._say(answer, answer.streamed.snapshot(answer.waiting))
        self._grow(len(text))
        self._say(answer, answer.streamed.append(text))

    def mark(self, key: str, flags: Flags) -> None:
        """A message stands as ``flags`` now, its text unchanged."""
        answer = self._answers.get(key)
        if answer is not None and not answer.dropped:
            if answer.suspect and flags.end_turn is True:
                self.append(answer, "")
            self._mark(answer, flags)

    def answer(self, key: str) -> Answer | None:
        """The answer under ``key``, if it is still shown."""
        answer = self._answers.get(key)
        return answer if answer is not None and answer.shown and not answer.dropped else None

    def speaks_last(self, answer: Answer) -> bool:
        """Whether the next piece of ``answer`` goes out as it comes, with nothing around it."""
        return answer is self._speaker and answer.streamed.in_step and not answer.suspect

    def _meet(self, key: str, flags: Flags) -> Answer:
        if len(self._answers) >= MAX_MESSAGES:
            raise ReplyTooLong(limit=MAX_MESSAGES, what="messages in one reply")
        answer = self._answers[key] = Answer(flags, len(self._answers))
        if key in self._old:
            answer.dropped = True
        elif flags.kind != "text":
            self.pending = True
        return answer

    def _mark(self, answer: Answer, flags: Flags) -> None:
        answer.flags = flags
        if flags.model:
            self.model = flags.model
        if flags.kind == "text":
            self.pending = False
        shown = flags.kind is not None
        if shown is not answer.shown:
            answer.shown = shown
            self._torn = self._torn or answer.joint is not None

    def _pass_by(self, key: str, flags: Flags) -> None:
        """A message that is not shown goes by; an answer that becomes hidden is taken back."""
        hidden = self._answers.get(key)
        if hidden is not None and flags.kind is None and flags.role == "assistant":
            self._mark(hidden, flags)
        if key in self._hidden:
            return
        if len(self._hidden) < MAX_MESSAGES:
            self._hidden.add(key)
        if flags.role == "user":
            if self._speaker is None:
                self._pictures.clear()  # echoes of history, like the answers below
            for answer in self._answers.values():
                answer.dropped = answer.dropped or answer.suspect
        elif flags.role in ("assistant", "tool"):
            self.pending = True
            self.pictured = self.pictured or flags.picture

    def _has_thoughts(self) -> bool:
        return any(answer.flags.kind == "reasoning" for answer in self._answers.values())

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_TEXT:
            raise ReplyTooLong(limit=MAX_TEXT, what="characters in one answer")

    # -- what is said ------------------------------------------------------------------------------

    def _say(self, answer: Answer, piece: str) -> None:
        if not piece:
            return
        if not answer.shown:
            self._torn = True
            return
        if answer.flags.kind != "text":
            self._think(answer, piece)
            return
        speaker = self._speaker
        if answer is not speaker:
            if answer.place:
                self._release(answer.place)
                speaker = self._speaker
            if speaker is not None and answer.place < speaker.place:
                # Something that stands after it has left already.
                self._torn = True
                return
            self._speaker = answer
            answer.joint = _joint(speaker, answer)
            if answer.joint:
                self._pieces.append(answer.joint)
        self._pieces.append(piece)

    def _think(self, answer: Answer, piece: str) -> None:
        if self._thinker is not answer:
            piece = _BETWEEN + piece if self._thinker is not None else piece
            self._thinker = answer
        self._flush()
        self._begin()
        self._events += self._tracker.reasoning(piece)

    def _release(self, before: int) -> None:
        """Say what waits and stands before place ``before``: it belongs to this turn."""
        for answer in self._answers.values():
            if answer.place < before and answer.suspect and not answer.dropped:
                self.append(answer, "")

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._events.append(Started(self.model))

    def _flush(self) -> None:
        if self._pieces:
            self._begin()
            self._events += self._tracker.text("".join(self._pieces))
            self._pieces = []

    def take(self) -> list[ChatEvent]:
        """Return the events since the last call; text that came together is one piece."""
        if self._pieces:
            self._flush()
        events, self._events = self._events, []
        return events

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """No more messages will come: say what waited and what was held back."""
        self._release(len(self._answers))
        for answer in self._answers.values():
            if not answer.dropped and (held := answer.streamed.end()):
                self._say(answer, held)

    def finish(self, reason: FinishReason) -> list[ChatEvent]:
        """The end of the answer, after everything that was said and the pictures beside it."""
        if self._pictures:
            self._pieces.append(self.beside)
        self._flush()
        self._begin()
        self._events += self._tracker.finish(reason)
        return self.take()

    @property
    def pictures(self) -> str:
        """Where the pictures of the answer are, as text; "" where it has none.

        Told at the end: a picture may be named anew until then, and takes no part in the text.
        """
        notes = [note for notes in self._pictures.values() for note in notes]
        return _BETWEEN.join(dict.fromkeys(notes))

    @property
    def beside(self) -> str:
        """What the pictures add to the text of the answer."""
        pictures = self.pictures
        return _BETWEEN + pictures if pictures and self._speaker is not None else pictures

    def _spoken(self) -> list[Answer]:
        return [answer for answer in self._answers.values() if _is_spoken(answer)]

    @property
    def last(self) -> Answer | None:
        """The last message of the answer: a follow-up hangs under it."""
        for answer in reversed(self._answers.values()):
            if _is_spoken(answer):
                return answer
        return None

    @property
    def over(self) -> bool:
        """Whether the answer is finished, and nothing shows that its turn goes on."""
        last = self.last
        if last is None or not last.flags.over:
            return False
        return last.flags.end_turn is True or not self.pending

    @property
    def silent(self) -> bool:
        """Whether this turn has said nothing so far."""
        return self._speaker is None and self._thinker is None

    @property
    def text(self) -> str:
        """The whole answer, as the backend last had it, with what was continued before it."""
        pieces = [self._continued.text] if self._continued is not None else []
        before = None
        for answer in self._spoken():
            if answer.text:
                said = before is not None and answer.joint is not None
                pieces.append(answer.joint or "" if said else _joint(before, answer))
                pieces.append(answer.text)
                before = answer
        return "".join(pieces)

    @property
    def revised(self) -> bool:
        """Whether what was said differs from the answer."""
        if self._torn or (self._continued is not None and self._continued.revised):
            return True
        for answer in self._answers.values():
            if answer.streamed.rewritten and _is_spoken(answer):
                return True
        return False

    def continuation(self, conversation_id: str, message_id: str) -> Continuation:
        """Where this answer stands, for the turn that writes it on."""
        return Continuation(
            conversation_id,
            message_id,
            blocks=self._tracker.begun,
            in_text=self._tracker.open_kind == "text",
            text=self.text,
            revised=self.revised,
        )


def _is_spoken(answer: Answer) -> bool:
    return answer.flags.kind == "text" and answer.shown and not answer.dropped


def _joint(before: Answer | None, answer: Answer) -> str:
    """What stands between two messages: nothing where the second writes on the first."""
    if before is None or before.flags.finish == CUT or answer.flags.message_type == "continue":
        return ""
    return _BETWEEN
