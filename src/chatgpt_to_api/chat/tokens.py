"""Counting tokens: of a text that comes in pieces, and of a whole request.

How a text splits into tokens is decided within pre-tokens (words, numbers, runs of signs). Cut
where one pre-token surely ends, whatever comes next, the parts' counts add up to the whole's.
Source of the pre-token patterns:
https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.request import (
    Audio,
    ChatRequest,
    File,
    Foreign,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

COUNT_AT: Final = 4096
"""How much text is gathered before it is counted, characters: few calls, little memory."""
HARD_CUT: Final = 32 * 1024
"""Text without any safe border is cut here all the same, characters; the count may be one off."""

# Safe borders, in both of the vendor's patterns (cl100k and o200k):
# - before a space that follows anything but white space: a space only ever begins a pre-token;
# - between a letter or number and a line end or a sign that takes no part in words: letters and
#   numbers end there ("'" may begin a contraction, so it is none of them);
# - between line ends and a letter or number: a run of white space ends with its last line end.
_SIGNS: Final = r"""\r\n,.;:!?()\[\]{}"<>…—、。，！？；：（）「」『』《》〈〉【】“”·"""
_BORDER: Final = re.compile(
    rf"(?s:.*)(?:(?<=\S)(?= )|(?<=[^\W_])(?=[{_SIGNS}])|(?<=[\r\n])(?=[^\W_]))"
)


class TokenCounter:
    """Counts a text that comes in pieces, holding a bounded rest of it.

    ``count`` counts a whole text's tokens. The sum is what ``count`` gives for the whole, as long
    as there is a safe border in every ``HARD_CUT`` characters.
    """

    __slots__ = ("_count", "_counted", "_pieces", "_settle_at", "_size")

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._counted = 0
        self._pieces: list[str] = []
        self._size = 0
        self._settle_at = COUNT_AT

    def feed(self, text: str) -> None:
        """Take the next piece."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size >= self._settle_at:
            self._settle()

    def total(self, more: str = "") -> int:
        """Return the tokens of everything so far, and of ``more`` as if it came next."""
        rest = "".join(self._pieces) + more
        return self._counted + (self._count(rest) if rest else 0)

    def _settle(self) -> None:
        """Count up to the last safe border and keep the rest."""
        text = "".join(self._pieces)
        border = _BORDER.match(text)
        at = border.end() if border else 0
        if not at and len(text) >= HARD_CUT:
            at = len(text)
        if at:
            self._counted += self._count(text[:at])
            text = text[at:]
        self._pieces = [text]
        self._size = len(text)
        self._settle_at = self._size + COUNT_AT


# -- whole requests --------------------------------------------------------------------------
# What surrounds the texts is the vendor's own account of it, for messages and for functions:
# https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb

_PER_MESSAGE: Final = 3
_PER_ROLE: Final = 1
"""Every role's name is one token in both tables; each look into a table is dear when it is cold."""
_PER_NAME: Final = 1
_REPLY_PRIMER: Final = 3
_PER_FUNCTION: Final = 7
_PROPERTIES: Final = 3
_PER_PROPERTY: Final = 3
_ENUM: Final = -3
_PER_ENUM_ITEM: Final = 3
_FUNCTIONS_END: Final = 12

# https://platform.openai.com/docs/guides/images-vision#calculating-costs: a base, and tiles of
# 512 pixels. Sizes are not looked at here: a picture counts as the four tiles of 1024 x 1024.
_IMAGE_LOW: Final = 85
_IMAGE: Final = 765


def prompt_tokens(request: ChatRequest, count: Callable[[str], int]) -> int:
    """Return how many tokens a request's prompt has, by the vendor's published reckoning.

    ``count`` counts a text's tokens. Pictures count as one common size, files and sound by the
    length of their text form: for these the number is an estimate.
    """
    total = _REPLY_PRIMER
    for message in request.messages:
        total += _PER_MESSAGE + _message(message, count)
    if request.tools:
        total += _FUNCTIONS_END + sum(_tool(tool, count) for tool in request.tools)
    if request.json is not None and request.json.schema is not None:
        total += count(_compact(request.json.schema))
    return total


def _message(message: Message, count: Callable[[str], int]) -> int:
    total = _PER_ROLE
    if message.name is not None:
        total += _PER_NAME + count(message.name)
    for part in message.parts:
        total += count(part.text) if type(part) is Text else _part(part, count)
    return total


def _part(part: Part, count: Callable[[str], int]) -> int:
    match part:
        case Text(text) | Reasoning(text) | Refusal(text):
            return count(text)
        case ToolCall(call_id, name, arguments):
            return _PER_MESSAGE + count(call_id) + count(name) + count(arguments)
        case ToolResult(call_id, parts):
            return count(call_id) + sum(_part(inner, count) for inner in parts)
        case Image(detail=detail):
            return _IMAGE_LOW if detail == "low" else _IMAGE
        case File(data=data):
            return len(data or "") // 4
        case Audio(data=data):
            return len(data) // 4
        case SpokenAnswer() | Foreign():
            return 0  # only the server which it came from knows how long it is


def _tool(tool: Tool, count: Callable[[str], int]) -> int:
    described = f"{tool.name}:{(tool.description or '').removesuffix('.')}"
    grammar = count(tool.grammar.definition) if tool.grammar is not None else 0
    return _PER_FUNCTION + count(described) + grammar + _properties(tool.schema, count)


def _properties(schema: Mapping[str, Any] | None, count: Callable[[str], int]) -> int:
    """Count an object schema's properties; one that is no plain property counts as its JSON."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return 0
    total = _PROPERTIES
    for name, inner in properties.items():
        total += _PER_PROPERTY
        if not isinstance(inner, Mapping) or not isinstance(inner.get("type"), str):
            total += count(f"{name}:{_compact(inner)}")
            continue
        options = inner.get("enum")
        if isinstance(options, list):
            total += _ENUM + sum(_PER_ENUM_ITEM + count(_words(option)) for option in options)
        described = _words(inner.get("description", "")).removesuffix(".")
        total += count(f"{name}:{inner['type']}:{described}")
        total += _properties(inner, count)
        if isinstance(inner.get("items"), Mapping):
            total += _properties({"properties": {"items": inner["items"]}}, count)
    return total


def _words(value: Any) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()
