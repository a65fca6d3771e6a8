"""JSON as people write it by hand: keys without quotes, comments, a comma too many or too few.

Readmes of programs of this kind show token files such as ``[{token:"…"}]``, and users copy them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 32

_BLANK: Final = re.compile(r"(?:\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD: Final = re.compile(r"[^\s,:\[\]{}\"'“”]+")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|“[^”]*”', re.DOTALL)
_WORDS: Final = {"null": None, "true": True, "false": False}


class NotJson(ValueError):
    """The text is not even loosely JSON; ``line`` (from 1) is where it stops making sense."""

    def __init__(self, expected: str, line: int) -> None:
        self.line = line
        super().__init__(f"expected {expected} in line {line}")


def read_json(text: str) -> Any:
    """Decode JSON, strict or loose: bare words, quotes of any kind, comments, careless commas.

    Several values one after another (JSON Lines) are read as a list of them.
    Raises NotJson, which repeats nothing of the text.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _Reader(text).read()


class _Reader:
    """A cursor over the text; each method reads one thing and moves behind it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> Any:
        values = [self._value(0)]
        self._comma()
        while self._next():
            values.append(self._value(0))
            self._comma()
        return values[0] if len(values) == 1 else values

    def _next(self) -> str:
        """Skip blanks and comments; return the character that follows, "" at the end."""
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None
        self._at = blank.end()
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._error("less nesting")
        match self._next():
            case "[":
                return self._list(depth)
            case "{":
                return self._object(depth)
            case '"' | "'" | "“":
                return self._string()
            case _:
                word = self._word("a value")
                return _WORDS.get(word, word)

    def _list(self, depth: int) -> list[Any]:
        self._at += 1
        values: list[Any] = []
        while not self._closes("]"):
            values.append(self._value(depth + 1))
            self._comma()
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        while not self._closes("}"):
            key = self._string() if self._next() in ('"', "'", "“") else self._word("a name")
            if self._next() != ":":
                raise self._error("a colon")
            self._at += 1
            members[key] = self._value(depth + 1)
            self._comma()
        return members

    def _closes(self, bracket: str) -> bool:
        if self._next() != bracket:
            return False
        self._at += 1
        return True

    def _comma(self) -> None:
        if self._next() == ",":
            self._at += 1

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._error("the string's end")
        inner = found[0][1:-1]
        if "\\" in inner:
            quoted = inner.replace("\\'", "'") if found[0][0] == "'" else inner
            try:
                inner = msgspec.json.decode(f'"{quoted}"', type=str)
            except (msgspec.DecodeError, UnicodeError):
                raise self._error("a string JSON can hold") from None
        self._at = found.end()
        return inner

    def _word(self, expected: str) -> str:
        found = _WORD.match(self._text, self._at)
        if found is None:
            raise self._error(expected)
        self._at = found.end()
        return found[0]

    def _error(self, expected: str) -> NotJson:
        return NotJson(expected, self._text.count("\n", 0, self._at) + 1)
