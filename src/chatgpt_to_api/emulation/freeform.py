"""Freeform tools for upstreams that have functions alone: text wrapped in JSON, and unwrapped.

The tool becomes a function with one string, ``input``; what the model calls it with becomes the
plain text that the caller gets, piece by piece; and calls of earlier turns are wrapped again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import structs

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Grammar, Message, Part, Tool, ToolCall
from chatgpt_to_api.emulation.mender import JsonMender

INPUT: Final = "input"
"""The one argument of the function."""

MOST_HELD: Final = 1024 * 1024
"""How much of a call that is not wrapped as it should be is held to find its text, characters."""

_WRAPPED: Final = re.compile(r'\{\s{0,32}"input"\s{0,32}:\s{0,32}"')
_WRAPPED_BEGUN: Final = re.compile(
    r'(?:\{\s{0,32}(?:"(?:i|in|inp|inpu|input)?(?:(?<=input)"\s{0,32}(?::\s{0,32})?)?)?)?'
)
_INSIDE: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*')
_PLAIN_TEXT: Final = "It takes plain text, not JSON: write it as the string `input`, just as it is."

_State: TypeAlias = Literal["begin", "head", "whole", "inside", "raw", "over"]


def freeform_tools(request: ChatRequest) -> frozenset[str]:
    """Return the names of the tools that take plain text."""
    return frozenset(tool.name for tool in request.tools if tool.freeform)


def has_freeform(request: ChatRequest) -> bool:
    """Whether a request has freeform tools, or calls of one in its past."""
    return any(tool.freeform for tool in request.tools) or any(
        isinstance(part, ToolCall) and part.freeform
        for message in request.messages
        for part in message.parts
    )


def as_functions(request: ChatRequest) -> ChatRequest:
    """Return the request with its freeform tools, and the calls of them, as those of functions."""
    return structs.replace(
        request,
        tools=tuple(_function(tool) if tool.freeform else tool for tool in request.tools),
        messages=tuple(map(_wrapped, request.messages)),
    )


def _function(tool: Tool) -> Tool:
    said = [tool.description, _PLAIN_TEXT, _told(tool.grammar)]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {INPUT: {"type": "string"}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return Tool(tool.name, "\n\n".join(filter(None, said)), schema, vendor=tool.vendor)


def _told(grammar: Grammar | None) -> str:
    if grammar is None:
        return ""
    what = "regular expression" if grammar.syntax == "regex" else f"{grammar.syntax} grammar"
    return f"The text must match this {what}:\n\n{grammar.definition}"


def _wrapped(message: Message) -> Message:
    if message.role != "assistant":
        return message
    return structs.replace(message, parts=tuple(map(_call, message.parts)))


def _call(part: Part) -> Part:
    if not isinstance(part, ToolCall) or not part.freeform:
        return part
    arguments = msgspec.json.encode({INPUT: part.arguments}).decode()
    return structs.replace(part, arguments=arguments, freeform=False)


# -- the reply -------------------------------------------------------------------------------------


class FreeformCalls:
    """Turns calls of the functions that stand for freeform ``tools`` into theirs; sans-IO."""

    __slots__ = ("_open", "_tools")

    def __init__(self, tools: Container[str]) -> None:
        self._tools = tools
        self._open: dict[int, Unwrapper] = {}  # by choice

    def feed(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return the events with the arguments of these calls as plain text."""
        out: list[ChatEvent] = []
        for event in events:
            match event:
                case BlockStarted(kind="tool_call", tool_name=name) if name in self._tools:
                    self._open[event.choice] = Unwrapper()
                    out.append(structs.replace(event, freeform=True))
                case ToolCallDelta(arguments, choice) if choice in self._open:
                    self._say(self._open[choice].feed(arguments), choice, out)
                case BlockEnded(choice=choice) if choice in self._open:
                    self._say(self._open.pop(choice).end(), choice, out)
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _say(self, text: str, choice: int, out: list[ChatEvent]) -> None:
        if text:
            out.append(ToolCallDelta(text, choice))


class Unwrapper:
    """Takes ``{"input": "text"}`` as it comes, hands on the text as it gets sure; never raises.

    Models wrap it otherwise, too. Where ``input`` does not come first, is no string or goes by
    another name, the text is found once all is there; what is no JSON at all is itself the text.
    """

    __slots__ = ("_head", "_mended", "_mender", "_size", "_source", "_state")

    def __init__(self) -> None:
        self._state: _State = "begin"
        self._mender = JsonMender()
        self._mended: list[str] = []
        self._source: list[str] = []  # as long as it may be the text
        self._size = 0
        self._head = ""

    def feed(self, piece: str) -> str:
        """Take the next piece of the arguments; return the text that is sure."""
        match self._state:
            case "inside":
                return self._inside(self._mend(piece))
            case "raw":
                return piece
            case "over":
                return ""
        self._source.append(piece)
        self._size += len(piece)
        if self._state == "begin":
            piece = piece.lstrip()
            if not piece:
                return ""
            self._state = "head" if piece[0] == "{" else "whole" if piece[0] == '"' else "raw"
        if self._state == "raw":
            return self._let_go()
        text = self._look(self._mend(piece))
        if self._source and self._size > MOST_HELD:
            self._state = "raw"
            return self._let_go()
        return text

    def end(self) -> str:
        """Nothing more comes: return what is left of the text."""
        state, self._state = self._state, "over"
        match state:
            case "inside":
                return self._inside(self._mender.end())
            case "head" | "whole":
                return self._found()
        return self._let_go()

    def _mend(self, piece: str) -> str:
        return "" if self._mender.done else self._mender.feed(piece)[0]

    def _look(self, mended: str) -> str:
        """Look whether the text begins here; return what there is of it."""
        if self._state == "whole":
            self._mended.append(mended)
            return ""
        self._head += mended
        wrapped = _WRAPPED.match(self._head)
        if wrapped is not None:
            self._state = "inside"
            self._source = []
            return self._inside(self._head[wrapped.end() :])
        if not _WRAPPED_BEGUN.fullmatch(self._head):
            self._state = "whole"
            self._mended = [self._head]
        return ""

    def _inside(self, mended: str) -> str:
        """Read on in the string, of which no piece ends within an escape: the mender sees to it."""
        part = _INSIDE.match(mended)
        assert part is not None, "it matches nothing at all, too"
        if part.end() < len(mended):
            self._state = "over"
        text: str = json.loads(f'"{part[0]}"')
        return text

    def _let_go(self) -> str:
        source, self._source = self._source, []
        return "".join(source)

    def _found(self) -> str:
        """Return the text in an object, or string, that is whole now."""
        source = self._let_go()
        given = _parsed(source)
        value = given
        if value is None:
            rest = "" if self._mender.done else self._mender.end()
            value = _parsed("".join([*self._mended, rest]) or self._head + rest)
        match value:
            case {"input": str(text)}:
                return text
            case {"input": other}:
                return msgspec.json.encode(other).decode()
        match given:
            case str(text):
                return text
            case dict() if not given:
                return ""
            case dict() if len(given) == 1:
                [text] = given.values()
                return text if isinstance(text, str) else source
        return source


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
