"""Compressed bodies of requests and replies: gzip and deflate, decoded piece by piece."""

from __future__ import annotations

import zlib
from typing import Any, Final

CODINGS: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_GZIP_MAGIC: Final = 0x1F

_AT_ONCE: Final = 16 * 1024
"""Compressed bytes given to zlib at once: it copies what it does not use of them."""

MOST_MEMBERS: Final = 1000
"""Most gzip members of a body in which they hold next to nothing."""

LEAST_HELD: Final = 128
"""Fewest bytes that more members hold on an average: each costs as much as thousands of bytes."""


class Inflater:
    """Decodes one body. ``put`` takes compressed bytes, ``take`` gives decoded ones, boundedly.

    A few bytes can stand for a thousand times as many, so ``take`` never makes more than its limit
    at once and the rest waits compressed. Raises ValueError for what is not in that coding.
    """

    __slots__ = ("_at", "_coding", "_finished", "_held", "_made", "_members", "_more", "_stream")

    def __init__(self, coding: bytes) -> None:
        self._coding = coding
        self._held = b""
        self._at = 0  # how much of it has been used
        self._made = 0
        self._stream: Any = None  # the type of zlib.decompressobj() has no public name
        self._members = 0
        self._more = False  # the decoder itself may still hold output
        self._finished = False  # what follows the coded data means nothing

    def put(self, data: bytes) -> None:
        """Add the next compressed bytes."""
        if not self._finished:
            self._held = self._held[self._at :] + data if self._at < len(self._held) else data
            self._at = 0

    def take(self, limit: int) -> bytes:
        """Return up to ``limit`` decoded bytes; b"" once more compressed ones are needed."""
        while self._at < len(self._held) or self._more:
            if self._stream is None:
                window = self._window()
                if window is None:
                    return b""
                self._stream = zlib.decompressobj(window)
            stream = self._stream
            piece = self._held[self._at : self._at + _AT_ONCE]
            try:
                out: bytes = stream.decompress(piece, limit)
            except zlib.error:
                raise ValueError(f"not {self._coding.decode('ascii')} data") from None
            self._more = len(out) == limit and not stream.eof
            self._made += len(out)
            self._at += len(piece) - len(
                stream.unused_data if stream.eof else stream.unconsumed_tail
            )
            if stream.eof:
                self._end_member()
            if out:
                return out
        return b""

    @property
    def cut(self) -> bool:
        """Whether the coded data, if it ended here, would be incomplete."""
        return self._stream is not None or self._at < len(self._held)

    def _end_member(self) -> None:
        self._stream = None
        self._members += 1
        if self._coding == b"deflate":
            self._ignore_the_rest()
        elif self._members > MOST_MEMBERS and self._made < LEAST_HELD * self._members:
            raise ValueError("gzip data in too many parts")

    def _ignore_the_rest(self) -> None:
        self._finished = True
        self._held = b""
        self._at = 0

    def _window(self) -> int | None:
        """What zlib is to expect next; None while too little has come to say, or nothing will."""
        if self._coding == b"deflate":
            # It means zlib's wrapper (RFC 9110, 8.4.1.2), yet some servers leave that out.
            if len(self._held) < 2:
                return None
            first, second = self._held[0], self._held[1]
            wrapped = first & 0x0F == 8 and (first << 8 | second) % 31 == 0
            return _ZLIB if wrapped else _RAW
        if self._members:  # another gzip member may follow; some writers pad with zeros instead
            while piece := self._held[self._at : self._at + _AT_ONCE]:
                rest = piece.lstrip(b"\0")
                self._at += len(piece) - len(rest)
                if rest:
                    break
            else:
                return None
            if rest[0] != _GZIP_MAGIC:
                self._ignore_the_rest()
                return None
        return _GZIP
