"""Whether text that comes in pieces can still become one JSON object; sans-IO."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'[^"\\\x00-\x1f]*')
_WORD: Final = re.compile(r"[-+.0-9A-Za-z]+")
_SCALAR: Final = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD_LIMIT: Final = 1024
"""Longest number that is looked at, characters."""

_OPENS: Final = {"{": "}", "[": "]"}


class ObjectPrefix:
    """Takes an object's text piece by piece, cut anywhere.

    ``broken``: what came is no beginning of an object, and never will be. ``whole``: it is one,
    and anything but space behind it breaks it. How escapes in strings go on is not looked at.
    """

    __slots__ = ("_closers", "_escaped", "_expects", "_in_string", "_is_key", "_word", "broken")

    def __init__(self) -> None:
        self._closers: list[str] = []
        self._expects = "{"  # what may come: the object, a value, a key, what stands behind one
        self._in_string = False
        self._is_key = False
        self._escaped = False
        self._word = ""  # a number or a name, as far as it came
        self.broken = False

    @property
    def whole(self) -> bool:
        """Whether the object is complete."""
        return not self.broken and self._expects == "end"

    def feed(self, text: str) -> bool:
        """Take the next piece; return whether all may still become an object."""
        at = 0
        while at < len(text) and not self.broken:
            at = self._inside(text, at) if self._in_string else self._outside(text, at)
        return not self.broken

    def _inside(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _STRING.match(text, at)
        at = at if found is None else found.end()
        if at == len(text):
            return at
        match text[at]:
            case "\\":
                self._escaped = True
            case '"':
                self._in_string = False
                self._expects = "colon" if self._is_key else "next"
            case _:
                self.broken = True
        return at + 1

    def _outside(self, text: str, at: int) -> int:
        word = _WORD.match(text, at)
        if word is not None:
            self._word += word[0]
            if self._expects not in ("value", "value or end") or len(self._word) > _WORD_LIMIT:
                self.broken = True
            return word.end()
        if self._word:
            if _SCALAR.fullmatch(self._word) is None:
                self.broken = True
                return at
            self._word = ""
            self._expects = "next"
        space = _SPACE.match(text, at)
        at = at if space is None else space.end()
        if at < len(text) and _WORD.match(text, at) is None:
            self._sign(text[at])
            at += 1
        return at

    def _sign(self, sign: str) -> None:
        expects = self._expects
        if sign in _OPENS and (
            expects in ("value", "value or end") or (expects == "{" and sign == "{")
        ):
            self._closers.append(_OPENS[sign])
            self._expects = "key or end" if sign == "{" else "value or end"
        elif sign == '"' and expects in ("value", "value or end", "key", "key or end"):
            self._is_key = expects.startswith("key")
            self._in_string = True
        elif sign == ":" and expects == "colon":
            self._expects = "value"
        elif sign == "," and expects == "next":
            self._expects = "key" if self._closers[-1] == "}" else "value"
        elif self._closes(sign):
            self._closers.pop()
            self._expects = "next" if self._closers else "end"
        else:
            self.broken = True

    def _closes(self, sign: str) -> bool:
        if not self._closers or sign != self._closers[-1]:
            return False
        opening = "key or end" if sign == "}" else "value or end"
        return self._expects in ("next", opening)
