"""One call in the prompted protocol, read as it comes: its name, then its arguments in pieces."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Final, Literal, TypeAlias

from chatgpt_to_api.emulation.mender import JsonMender

_NAMES: Final = frozenset(("name", "function", "tool"))
_ARGUMENTS: Final = frozenset(("arguments", "parameters", "args", "input"))
_BESIDE: Final = frozenset(("id", "type", "index"))
"""Keys that say nothing we need."""

_QUOTES: Final = "\"'"
_FILLING: Final = " \t\r\n,"
_COLON: Final = " \t\r\n:"

_State: TypeAlias = Literal["open", "key", "colon", "read", "done", "failed"]


class CallReader:
    """Takes ``{"name": …, "arguments": {…}}`` from its bracket on; sans-IO, never raises.

    It takes what models make of it, too: the vendor's ``{"function": {…}}`` around it,
    ``parameters`` for ``arguments``, arguments as a string of JSON, or in front of the name.
    ``name`` is set as soon as it is sure that one of ``tools`` is called; from then on its
    arguments are handed on as they come. Whatever else has ``failed`` before anything was.
    """

    __slots__ = (
        "_collected",
        "_depth",
        "_early",
        "_given",
        "_key",
        "_mender",
        "_named",
        "_state",
        "_streams",
        "_tools",
        "_unknown",
        "name",
    )

    def __init__(self, tools: Container[str]) -> None:
        self._tools = tools
        self._state: _State = "open"
        self._depth = 0
        self._key: str | None = None
        self._mender: JsonMender | None = None
        self._collected: list[str] = []
        self._streams = False  # the value being read is the arguments, and leaves as it comes
        self._named = ""
        self._early: str | None = None  # arguments that came before the name
        self._given = False
        self._unknown = False
        self.name: str | None = None

    @property
    def done(self) -> bool:
        """Whether the call is complete."""
        return self._state == "done"

    @property
    def failed(self) -> bool:
        """Whether this is no call."""
        return self._state == "failed"

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece; return the arguments that are sure, and the rest behind the call."""
        out: list[str] = []
        while text and self._state not in ("done", "failed"):
            match self._state:
                case "open":
                    text = self._open(text)
                case "key":
                    text = self._before_key(text, out)
                case "colon":
                    text = self._before_value(text)
                case _:
                    text = self._value(text, out)
        return "".join(out), text

    def end(self) -> str:
        """Nothing more comes: return what completes the arguments, where this is a call."""
        out: list[str] = []
        if self._mender is not None:
            self._piece(self._mender.end(), out)
            self._took(out)
        if self._state not in ("done", "failed"):
            self._complete(out)
        return "".join(out)

    # -- the envelope ------------------------------------------------------------------------------

    def _open(self, text: str) -> str:
        text = text.lstrip()
        if text:
            self._state = "key" if text[0] == "{" else "failed"
            self._depth = 1
        return text[1:] if self._state == "key" else text

    def _before_key(self, text: str, out: list[str]) -> str:
        text = text.lstrip(_FILLING)
        if not text:
            return ""
        if text[0] == "}":
            self._depth -= 1
            if self._depth == 0:
                self._complete(out)
            return text[1:]
        if text[0] in _QUOTES:
            self._begin(None)
        elif self.name is None:
            self._state = "failed"
        else:  # a call that has been handed on, and something else where a key or its end should be
            self._complete(out)
        return text

    def _before_value(self, text: str) -> str:
        text = text.lstrip(_COLON)
        if not text:
            return ""
        if self._key == "function" and text[0] == "{":
            self._depth += 1
            self._state = "key"
            return text[1:]
        self._begin(self._key)
        if self._named and not self._given and self._key in _ARGUMENTS and text[0] == "{":
            self.name, self._given, self._streams = self._named, True, True
        return text

    def _begin(self, key: str | None) -> None:
        """A key begins, or the value of ``key``."""
        self._key = key
        self._mender = JsonMender()
        self._collected = []
        self._state = "read"

    # -- keys and values ---------------------------------------------------------------------------

    def _value(self, text: str, out: list[str]) -> str:
        assert self._mender is not None
        piece, rest = self._mender.feed(text)
        self._piece(piece, out)
        if self._mender.done:
            self._took(out)
        return rest

    def _piece(self, piece: str, out: list[str]) -> None:
        (out if self._streams else self._collected).append(piece)

    def _took(self, out: list[str]) -> None:
        """A key or a value is whole."""
        self._mender = None
        if self._streams:
            self._streams = False
            self._state = "key"
            return
        try:
            value = json.loads("".join(self._collected))
        except (ValueError, RecursionError):  # thousands of digits, or of brackets
            self._state = "failed" if self.name is None else "key"
            return
        key = self._key
        if key is None:
            self._key = str(value)
            self._state = "colon"
            return
        self._state = "key"
        if key in _NAMES and isinstance(value, str) and not self._named:
            self._named = value
            if value not in self._tools:
                self._state = "failed"
        elif key in _ARGUMENTS and not self._given and self._early is None:
            self._early = _arguments(value, "".join(self._collected))
            if self._early is None:
                self._state = "failed"
        elif key not in _BESIDE:
            self._unknown = True
            if not self._named:
                self._state = "failed"
        if self._named and self._early is not None and self._state == "key":
            self._give(self._early, out)

    def _give(self, arguments: str, out: list[str]) -> None:
        if not self._given:
            self.name, self._given = self._named, True
            out.append(arguments)

    def _complete(self, out: list[str]) -> None:
        """The call ends here: without arguments it has none, unless it put them somewhere else."""
        self._state = "done"
        if self._named and not self._unknown:
            self._give("{}", out)
        if not self._given:
            self._state = "failed"


def _arguments(value: object, text: str) -> str | None:
    """Return arguments that were not handed on as they came, None where they are none."""
    if isinstance(value, dict):
        return text
    if value is None or value == "":
        return "{}"
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    mender = JsonMender()
    mended, _ = mender.feed(value.strip())
    return mended + ("" if mender.done else mender.end())
