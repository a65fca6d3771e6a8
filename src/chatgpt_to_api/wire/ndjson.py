"""JSON lines, split from bytes that may be cut anywhere; sans-IO.

Source: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 8 * 1024 * 1024
"""Longest line held in memory, bytes; a picture inside one line still fits."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r"


class LineSplitter:
    """Bytes in, complete lines out, the same ones however the bytes are cut.

    Blank lines mean nothing and are left out. A line longer than ``limit`` bytes is not given out:
    ``overflow`` becomes true, lines before it are still returned, and every byte after is ignored.
    """

    __slots__ = ("_held", "_held_size", "_limit", "_started", "overflow")

    def __init__(self, *, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._held_size = 0
        self._started = False
        self.overflow: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the lines they complete, without their ends."""
        if self.overflow or not data:
            return []
        end = data.rfind(b"\n")
        if end < 0:
            self._hold(data)
            return []
        block = b"".join([*self._held, data[:end]])
        self._held.clear()
        self._held_size = 0
        lines: list[bytes] = []
        for line in block.split(b"\n"):
            if len(line) > self._limit:
                self._give_up()
                return lines
            self._add(line, lines)
        self._hold(data[end + 1 :])
        return lines

    def eof(self) -> bytes:
        """The body has ended: return the last line where only its end is missing, else b""."""
        lines: list[bytes] = []
        if not self.overflow:
            self._add(b"".join(self._held), lines)
        self._held.clear()
        return lines[0] if lines else b""

    def _add(self, line: bytes, lines: list[bytes]) -> None:
        if not self._started:
            line = line.removeprefix(_BOM)
        line = line.strip(_BLANK)
        if line:
            self._started = True
            lines.append(line)

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > self._limit:
            self._give_up()

    def _give_up(self) -> None:
        self.overflow = True
        self._held.clear()
        self._held_size = 0
