"""One JSON value that comes in pieces, mended on the way: what models write is nearly JSON.

Valid JSON passes byte for byte. What is nearly JSON becomes JSON: commas too many or too few,
brackets left open or closed in the wrong order, raw line ends in strings, Python's words and
quotes, names and words without quotes. Pieces leave as soon as nothing behind can change them.
"""

from __future__ import annotations

import json
import re
from typing import Final, Literal, TypeAlias

_State: TypeAlias = Literal["value", "name", "colon", "after", "string", "word", "done"]

_SPACE: Final = re.compile(r"[ \t\n\r]+")
_PLAIN: Final = re.compile(r'[^"\'\\\x00-\x1f]+')
_WORD: Final = re.compile(r"[^\s,:\[\]{}\"'<]+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_ESCAPE: Final = re.compile(
    r'\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))'
)
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BEGUN: Final = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}"
    r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?"
)
"""An escape, or a surrogate pair of two, that may yet become whole."""

_WORDS: Final = {
    "True": "true",
    "False": "false",
    "None": "null",
    "NaN": "null",
    "undefined": "null",
}
_CLOSERS: Final = {"{": "}", "[": "]"}
_AFTER_STRING: Final = (",", ":", "]", "}", "<")
_MOST_HELD: Final = 64  # characters looked at behind a quote of Python's
_LOST: Final = "\\ufffd"  # stands for half a surrogate pair, which no text can hold


class JsonMender:
    """Takes text from a value's first character on; hands on JSON. Never raises.

    The value ends with its last bracket or quote; a ``<`` outside a string ends it too, because it
    can only be the beginning of a closing tag. ``end`` completes a value that just stopped.
    """

    __slots__ = ("_comma", "_held", "_open_now", "_out", "_quote", "_stack", "_state", "_word")

    def __init__(self) -> None:
        self._state: _State = "value"
        self._stack: list[str] = []
        self._open_now = {"{": 0, "[": 0}  # how many of each are on the stack, which may be long
        self._out: list[str] = []
        self._comma = ""  # a comma, and the space after it, that the next token shows to be wanted
        self._word: list[str] = []
        self._quote = '"'
        self._held = ""

    @property
    def done(self) -> bool:
        """Whether the value is complete."""
        return self._state == "done"

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece; return the JSON that is sure, and the rest that is not the value's.

        The rest is "" while the value goes on.
        """
        text, self._held = self._held + text, ""
        at, size = 0, len(text)
        while at < size and self._state != "done":
            if self._state == "string":
                at = self._string(text, at)
                if self._held:
                    return self._taken(), ""
            elif self._state == "word":
                at = self._more_word(text, at)
            elif (space := _SPACE.match(text, at)) is not None:
                self._blank(space[0])
                at = space.end()
            else:
                at = self._token(text, at)
        return self._taken(), text[at:] if self._state == "done" else ""

    def end(self) -> str:
        """Complete the value where it stopped; return what was missing."""
        if self._state == "string":
            held, self._held = self._held, ""
            if held and held != "\\" and held[0] == "\\":
                self._out.append(_LOST)
            self._close_string()
        self._finish()
        return self._taken()

    def _taken(self) -> str:
        out, self._out = "".join(self._out), []
        return out

    # -- outside strings ---------------------------------------------------------------------------

    def _blank(self, space: str) -> None:
        if self._comma:
            self._comma += space
        elif self._stack:
            self._out.append(space)

    def _token(self, text: str, at: int) -> int:
        """Take one token that begins at ``at``; return where the next begins."""
        sign = text[at]
        match sign:
            case "<":
                self._finish()
                return at
            case "," | ":":
                self._separator(sign)
                return at + 1
            case "]" | "}":
                self._closer(sign)
                return at + 1
            case "{" | "[":
                self._before_value()
                if self._state == "name":  # a bracket where a name should be: it has none
                    self._out.append('"":')
                self._open(sign)
                return at + 1
            case '"' | "'":
                self._before_value()
                self._quote = sign
                self._state = "string" if self._state == "value" else self._begin_name()
                self._out.append('"')
                return at + 1
            case _ if _WORD.match(text, at):
                self._before_value()
                self._word = [":" if self._state == "name" else ""]
                self._state = "word"
                return at
            case _:  # white space that is none in JSON
                return at + 1

    def _begin_name(self) -> _State:
        self._stack.append(":")
        return "string"

    def _before_value(self) -> None:
        """A value or name begins: put before it what is missing."""
        if self._state == "colon":
            self._out.append(":")
            self._state = "value"
        elif self._state == "after":
            self._out.append(self._comma or ",")
            self._comma = ""
            self._state = "name" if self._stack[-1] == "{" else "value"

    def _open(self, bracket: str) -> None:
        self._out.append(bracket)
        self._stack.append(bracket)
        self._open_now[bracket] += 1
        self._state = "name" if bracket == "{" else "value"

    def _separator(self, sign: str) -> None:
        if sign == ":" and self._state == "colon":
            self._out.append(":")
            self._state = "value"
        elif sign == ",":
            self._complete_pair()
            if self._state == "after" and not self._comma:
                self._comma = ","

    def _complete_pair(self) -> None:
        """A name that was given no value gets one."""
        if self._state == "colon":
            self._out.append(":null")
            self._state = "after"
        elif self._state == "value" and self._stack and self._stack[-1] == "{":
            self._out.append("null")
            self._state = "after"

    def _closer(self, sign: str) -> None:
        """Close up to the bracket that is meant; one that closes nothing is left out."""
        bracket = "{" if sign == "}" else "["
        if not self._open_now[bracket]:
            return
        self._complete_pair()
        self._comma = ""
        while self._stack:
            opened = self._stack.pop()
            self._open_now[opened] -= 1
            self._out.append(_CLOSERS[opened])
            self._after_value()
            if opened == bracket:
                return

    def _after_value(self) -> None:
        self._state = "after" if self._stack else "done"

    def _more_word(self, text: str, at: int) -> int:
        word = _WORD.match(text, at)
        if word is not None:
            self._word.append(word[0])
            return word.end()
        self._close_word()
        return at

    def _close_word(self) -> None:
        is_name, word = self._word[0], "".join(self._word[1:])
        self._word = []
        word = _WORDS.get(word, word)
        if is_name or not (word in ("true", "false", "null") or _NUMBER.fullmatch(word)):
            word = json.dumps(word, ensure_ascii=False)
        self._out.append(word)
        if is_name:
            self._state = "colon"
        else:
            self._after_value()

    def _finish(self) -> None:
        """Close everything that is open."""
        if self._state == "word":
            self._close_word()
        if self._state == "value" and not self._stack:
            self._out.append("null")
        self._complete_pair()
        self._comma = ""
        while self._stack:
            self._out.append(_CLOSERS[self._stack.pop()])
        self._state = "done"

    # -- inside strings ----------------------------------------------------------------------------

    def _string(self, text: str, at: int) -> int:
        plain = _PLAIN.match(text, at)
        if plain is not None:
            self._out.append(plain[0])
            return plain.end()
        sign = text[at]
        if sign == "\\":
            return self._escape(text, at)
        if sign == '"' and self._quote == "'":
            self._out.append('\\"')
        elif sign == "'" and self._quote == "'":
            return self._apostrophe(text, at)
        elif sign == '"':
            self._close_string()
        elif sign == "'":
            self._out.append(sign)
        else:
            self._out.append(json.dumps(sign)[1:-1])
        return at + 1

    def _apostrophe(self, text: str, at: int) -> int:
        """A quote of Python's, or an apostrophe: what comes after it tells."""
        space = _SPACE.match(text, at + 1)
        after = space.end() if space is not None else at + 1
        if after == len(text) and after - at < _MOST_HELD:
            self._held = text[at:]
            return at
        if text[after : after + 1] in _AFTER_STRING:
            self._close_string()
        else:
            self._out.append("'")
        return at + 1

    def _escape(self, text: str, at: int) -> int:
        whole = _ESCAPE.match(text, at) or _PAIR.match(text, at)
        if whole is not None:
            self._out.append(whole[0])
            return whole.end()
        if _BEGUN.fullmatch(text, at):
            self._held = text[at:]
            return at
        if text.startswith("\\'", at):
            self._out.append("'")
            return at + 2
        if (half := _HALF.match(text, at)) is not None:
            self._out.append(_LOST)
            return half.end()
        self._out.append("\\\\")
        return at + 1

    def _close_string(self) -> None:
        self._out.append('"')
        if self._stack and self._stack[-1] == ":":
            self._stack.pop()
            self._state = "colon"
        else:
            self._after_value()
