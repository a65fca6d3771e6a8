"""What a request needs of its upstream, read without translating it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Need, Needs
from chatgpt_to_api.dialects.anthropic.messages import InputMessage, MessagesRequest
from chatgpt_to_api.dialects.bodies import UNREADABLE, present


class _Typed(msgspec.Struct):
    type: str = ""
    content: Raw = Raw()


class _Tool(msgspec.Struct):
    type: str | None = None


class _Choice(msgspec.Struct):
    type: str = "auto"


class _Output(msgspec.Struct):
    format: Raw = Raw()


_TYPED: Final = msgspec.json.Decoder(_Typed)
_TOOL: Final = msgspec.json.Decoder(_Tool)
_CHOICE: Final = msgspec.json.Decoder(_Choice)
_OUTPUT: Final = msgspec.json.Decoder(_Output)
_LIST: Final = msgspec.json.Decoder(list[Raw])

_BLOCKS: Final[dict[str, Need]] = {"image": "images", "document": "files"}


def needs_of(asked: MessagesRequest) -> Needs:
    """Return the needs; what is mistyped inside is left to whoever translates or answers it."""
    fields: dict[Need, str] = {}
    length = 0
    if asked.tools and any(map(_is_own, asked.tools)) and not _forbids(asked.tool_choice):
        fields["tools"] = "tools"
    if _has_format(asked.output_config):
        fields["json"] = "output_config.format"
    for param, content in _contents(asked):
        if isinstance(content, str):
            length += len(content) if content.isascii() else len(content.encode())
            continue
        for place, raw in enumerate(content):
            where = f"{param}[{place}]"
            for path, need, size in _blocks(raw, where):
                length += size
                if need is not None:
                    fields.setdefault(need, path)
    length += sum(map(len, asked.tools or ()))
    return Needs(fields, length // BYTES_PER_TOKEN)


def may_need(asked: MessagesRequest, feature: Feature) -> bool:
    """Return whether a request may ask for ``feature``; calls of the past count too."""
    match feature:
        case "tools":
            given = asked.tools or present(asked.tool_choice)
            return bool(given) or any(map(_is_of_a_call, asked.messages))
        case "json":
            return present(asked.output_config)
        case "stop":
            return bool(asked.stop_sequences)
        case "max_tokens":
            return asked.max_tokens is not None
        case "freeform" | "n":
            return False


def _is_of_a_call(message: InputMessage) -> bool:
    content = message.content
    return not isinstance(content, str) and any(b'"tool_' in bytes(raw) for raw in content)


def _contents(asked: MessagesRequest) -> Iterator[tuple[str, str | list[Raw]]]:
    if asked.system:
        yield "system", asked.system
    for number, message in enumerate(asked.messages):
        yield f"messages[{number}].content", message.content


def _blocks(raw: Raw, param: str) -> Iterator[tuple[str, Need | None, int]]:
    """Give a block's path, need and length; of a tool's result those of the blocks inside.

    A result holds no results: whoever nests them is not followed down, which would read what is
    innermost once for each.
    """
    block = _typed(raw)
    if block.type == "tool_result" and bytes(memoryview(block.content)[:1]) == b"[":
        try:
            inside = _LIST.decode(block.content)
        except UNREADABLE:
            inside = []
        for place, inner in enumerate(inside):
            yield _block(inner, _typed(inner), f"{param}.content[{place}]")
    else:
        yield _block(raw, block, param)


def _block(raw: Raw, block: _Typed, param: str) -> tuple[str, Need | None, int]:
    need = _BLOCKS.get(block.type)
    return param, need, 0 if need is not None else len(raw)


def _typed(raw: Raw) -> _Typed:
    try:
        return _TYPED.decode(raw)
    except UNREADABLE:
        return _Typed()


def _is_own(raw: Raw) -> bool:
    """Whether a tool is one the client runs, and not one of servers of this dialect."""
    try:
        return _TOOL.decode(raw).type in (None, "custom")
    except UNREADABLE:
        return True


def _forbids(choice: Raw) -> bool:
    if not present(choice):
        return False
    try:
        return _CHOICE.decode(choice).type == "none"
    except UNREADABLE:
        return False


def _has_format(output: Raw) -> bool:
    if not present(output):
        return False
    try:
        return present(_OUTPUT.decode(output).format)
    except UNREADABLE:
        return False
