"""Pieces from snapshots: what of a message's text is new, when each event repeats it whole.

A stream cannot take back what it has sent. So where a snapshot rewrites text that has left, the
stream keeps the old wording and goes on with what is written after the rewritten region; the last
snapshot is what a reply that is not streamed gives.
"""

from __future__ import annotations

from chatgpt_to_api.dialects.conversation.reading import Rope, mended


class Streamed:
    """One message's text: ``sent``, what was streamed of it, and ``last``, what it last was.

    In step, they are the same rope. Behind, ``last`` is a beginning of ``sent``: it shrank, and
    may grow back. Apart, it was rewritten: nothing that is appended makes them meet again.
    """

    __slots__ = ("_apart", "_half", "_last", "_sent")

    def __init__(self) -> None:
        self._sent = Rope()
        self._last = self._sent
        self._apart = False
        self._half = ""  # of a surrogate pair whose other half may still come

    @property
    def in_step(self) -> bool:
        """Whether exactly the text was streamed, with no half character held back."""
        return self._last is self._sent and not self._half

    @property
    def rewritten(self) -> bool:
        """Whether what was streamed is not the text."""
        return self._last is not self._sent

    @property
    def text(self) -> str:
        """The text as it last was."""
        return self._last.text

    @property
    def size(self) -> int:
        """Length of the longer of both texts, characters."""
        return max(self._last.size, self._sent.size)

    def snapshot(self, text: str) -> str:
        """The text is now ``text``: return what to stream."""
        new, self._half = mended(text)
        sent = self._sent.text if self._sent.size else ""
        if new.startswith(sent):
            piece = new[len(sent) :]
            self._sent.add(piece)
            self._last, self._apart = self._sent, False
            return piece
        if sent.startswith(new):
            self._last, self._apart = Rope(new), False
            return ""
        last = self._last.text
        piece = new[len(last) :] if new.startswith(last) else ""
        self._last, self._apart = Rope(new), True
        self._sent.add(piece)
        return piece

    def append(self, text: str) -> str:
        """``text`` was added at the end: return what to stream, as ``snapshot`` would.

        Costs no more than ``text`` is long, however long the whole is.
        """
        piece, self._half = mended(self._half + text)
        if self._last is self._sent:
            self._sent.add(piece)
            return piece
        if self._apart:
            self._last.add(piece)
            self._sent.add(piece)
            return piece
        at = self._last.size
        overlap = self._sent.text[at : at + len(piece)]
        if at + len(overlap) == self._sent.size and piece.startswith(overlap):
            piece = piece[len(overlap) :]
            self._sent.add(piece)
            self._last = self._sent
            return piece
        self._last.add(piece)
        if overlap == piece:
            return ""
        self._apart = True
        self._sent.add(piece)
        return piece

    def end(self) -> str:
        """No more text will come: return what was held back, as a replacement character."""
        if not self._half:
            return ""
        self._half = ""
        return self.append("\ufffd")
