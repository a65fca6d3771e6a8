"""A JSON array that comes in pieces: its items, whole, as they arrive; sans-IO.

Some servers stream this way: each event is an item, and the closing bracket is the end. Only
brackets and strings are looked at; whether an item is JSON is its reader's business.
"""

from __future__ import annotations

import re
from typing import Final

MAX_ITEM: Final = 8 * 1024 * 1024
"""Longest item held in memory, bytes."""

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')
_BETWEEN: Final = b" \t\r\n,"


class ArraySplitter:
    """Bytes in, complete items out, the same ones however the bytes are cut.

    Items are objects or arrays. ``done``: the array's own end was seen. ``broken``: what came is no
    such array. ``overflow``: an item is longer than ``limit``. After any of them every byte is
    ignored.
    """

    __slots__ = (
        "_at",
        "_depth",
        "_held",
        "_in_string",
        "_limit",
        "_opened",
        "broken",
        "done",
        "overflow",
    )

    def __init__(self, *, limit: int = MAX_ITEM) -> None:
        self._limit = limit
        self._held = bytearray()
        self._at = 0  # how far of what is held was looked at
        self._depth = 0
        self._in_string = False
        self._opened = False
        self.done: bool = False
        self.broken: bool = False
        self.overflow: bool = False

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished item are held."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the items they complete."""
        if self.done or self.broken or self.overflow:
            return []
        self._held += data
        items: list[bytes] = []
        if not self._opened and not self._open():
            return items
        start = 0
        while True:
            if self._depth == 0:
                start = self._next(start)
                if start >= len(self._held) or self.done or self.broken:
                    break
                self._at = start
            token = self._token()
            if token is None:
                break
            if token == b"{" or token == b"[":
                self._depth += 1
            elif token == b"}" or token == b"]":
                self._depth -= 1
                if self._depth == 0:
                    items.append(bytes(self._held[start : self._at]))
                    start = self._at
        self._forget(start)
        if len(self._held) > self._limit or any(len(item) > self._limit for item in items):
            items = self._within_limit(items)
        return items

    def _open(self) -> bool:
        rest = self._held.lstrip(_BETWEEN[:4])
        if not rest:
            return False
        self._opened = True
        self.broken = rest[0] != 91
        del self._held[: len(self._held) - len(rest) + 1]
        return not self.broken

    def _next(self, at: int) -> int:
        """Return where the next item begins; see the array's end."""
        held, size = self._held, len(self._held)
        while at < size and held[at] in _BETWEEN:
            at += 1
        if at < size:
            self.done = held[at] == 93
            self.broken = held[at] not in b"]{["
        return at

    def _token(self) -> bytes | None:
        """Return the next bracket, passing over strings; None where more bytes are needed."""
        held = self._held
        while True:
            found = (_INSIDE if self._in_string else _OUTSIDE).search(held, self._at)
            if found is None:
                self._at = len(held)
                return None
            token = found[0]
            if token == b"\\":
                if found.end() == len(held):  # what it escapes has not come yet
                    self._at = found.start()
                    return None
                self._at = found.end() + 1
                continue
            self._at = found.end()
            if token != b'"':
                return token
            self._in_string = not self._in_string

    def _forget(self, start: int) -> None:
        del self._held[:start]
        self._at = max(0, self._at - start)
        if self.done or self.broken:
            self._held.clear()

    def _within_limit(self, items: list[bytes]) -> list[bytes]:
        self.overflow = True
        self._held.clear()
        kept = []
        for item in items:
            if len(item) > self._limit:
                break
            kept.append(item)
        return kept
