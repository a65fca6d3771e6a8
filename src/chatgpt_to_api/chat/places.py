"""Places in a text that grows: some dialects count its characters, others its bytes in UTF-8."""

from __future__ import annotations


class Places:
    """A text's characters and bytes, each found by the other.

    Nothing is kept of a text as long as both are the same.
    """

    __slots__ = ("_pieces", "_same")

    def __init__(self) -> None:
        self._same = 0  # characters before the first that is more than one byte
        self._pieces: list[str] = []

    def grow(self, text: str) -> None:
        """Text follows what was there."""
        if self._pieces or not text.isascii():
            self._pieces.append(text)
        else:
            self._same += len(text)

    def byte(self, character: int) -> int:
        """Return how many bytes stand before a character; beyond the end, all of them."""
        if character <= self._same:
            return max(character, 0)
        return self._same + len(_bytes(self._rest()[: character - self._same]))

    def character(self, byte: int) -> int | None:
        """Return how many whole characters stand before a byte; None for one beyond the end."""
        if byte <= self._same:
            return max(byte, 0)
        rest = _bytes(self._rest())
        if byte - self._same > len(rest):
            return None
        return self._same + len(rest[: byte - self._same].decode("utf-8", "ignore"))

    def _rest(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return "".join(self._pieces)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
