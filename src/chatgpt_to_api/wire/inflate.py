"""Compressed bodies of requests and replies: gzip and deflate, decoded piece by piece."""

from __future__ import annotations

import zlib
from typing import Any, Final

CODINGS: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_GZIP_MAGIC: Final = 0x1F


class Inflater:
    """Decodes one body. ``put`` takes compressed bytes, ``take`` gives decoded ones, boundedly.

    A few bytes can stand for a thousand times as many, so ``take`` never makes more than its limit
    at once and the rest waits compressed. Raises ValueError for what is not in that coding.
    """

    __slots__ = ("_coding", "_finished", "_held", "_members", "_more", "_stream")

    def __init__(self, coding: bytes) -> None:
        self._coding = coding
        self._held = b""
        self._stream: Any = None  # the type of zlib.decompressobj() has no public name
        self._members = 0
        self._more = False  # the decoder itself may still hold output
        self._finished = False  # what follows the coded data means nothing

    def put(self, data: bytes) -> None:
        """Add the next compressed bytes."""
        if not self._finished:
            self._held += data

    def take(self, limit: int) -> bytes:
        """Return up to ``limit`` decoded bytes; b"" once more compressed ones are needed."""
        while self._held or self._more:
            if self._stream is None:
                window = self._window()
                if window is None:
                    return b""
                self._stream = zlib.decompressobj(window)
            try:
                out: bytes = self._stream.decompress(self._held, limit)
            except zlib.error:
                raise ValueError(f"not {self._coding.decode('ascii')} data") from None
            self._more = len(out) == limit and not self._stream.eof
            if self._stream.eof:
                self._end_member(self._stream.unused_data)
            else:
                self._held = self._stream.unconsumed_tail
            if out:
                return out
        return b""

    @property
    def cut(self) -> bool:
        """Whether the coded data, if it ended here, would be incomplete."""
        return self._stream is not None or bool(self._held)

    def _end_member(self, rest: bytes) -> None:
        self._stream = None
        self._members += 1
        self._held = rest
        if self._coding == b"deflate":
            self._ignore_the_rest()

    def _ignore_the_rest(self) -> None:
        self._finished = True
        self._held = b""

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
            self._held = self._held.lstrip(b"\0")
            if not self._held:
                return None
            if self._held[0] != _GZIP_MAGIC:
                self._ignore_the_rest()
                return None
        return _GZIP
