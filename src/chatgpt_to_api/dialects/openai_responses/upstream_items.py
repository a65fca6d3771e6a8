"""Backend side, the conversation: canonical messages → the dialect's flat list of items.

Equal turns give equal items: no ids, nothing random or dated is in them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Raw

from chatgpt_to_api.chat.fitting import ToolNames, shortened
from chatgpt_to_api.chat.request import (
    Audio,
    File,
    Foreign,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    ToolCall,
    ToolResult,
    understood,
)
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT

MOST_CALL_ID: Final = 64
"""Longest id of a call, characters, as the vendor has it."""

_SEARCH_CALL: Final = "tool_search_call"
_SEARCH_OUTPUT: Final = "tool_search_output"


def split_instructions(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """Return the instructions the messages begin with, "" without any, and the rest of them.

    Some servers want them, and some take no system messages beside. What a vendor has marked in a
    system message has no place there; nor is a request made of nothing else.
    """
    if len(messages) > 1 and messages[0].role == "system" and messages[0].vendor is None:
        parts = messages[0].parts
        texts = [part.text for part in parts if isinstance(part, Text) and _is_plain(part)]
        if texts and all(texts) and len(texts) == len(parts):
            return "\n\n".join(texts), messages[1:]
    return "", messages


def items_of(messages: Sequence[Message], names: ToolNames, *, own: bool) -> list[Any]:
    """Return the items of messages.

    ``own``: a client of this dialect wrote them, so thoughts without a seal are items it sent;
    elsewhere they are another vendor's, and worth nothing to this one.
    """
    freeform = frozenset(
        part.id
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCall) and part.freeform
    )
    items: list[Any] = []
    for message in messages:
        items += (_result(p, freeform) for p in message.parts if isinstance(p, ToolResult))
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        if message.role == "assistant":
            items += _assistant(message, rest, names, own=own)
        elif rest or not message.parts:
            items += _said(message, rest)
    return items


def _is_plain(text: Text) -> bool:
    return not understood(text.vendor, DIALECT)


def _said(message: Message, parts: tuple[Part, ...]) -> Iterator[Any]:
    """Give what somebody other than the model says; items of this dialect stand by themselves."""
    spoken = tuple(part for part in parts if not isinstance(part, Foreign))
    if spoken or not parts:
        yield _message(message, spoken)
    yield from (item for part in parts if isinstance(part, Foreign) for item in _foreign(part))


def _message(message: Message, parts: Sequence[Part]) -> dict[str, Any]:
    role = "user" if message.role == "tool" else message.role
    content = _content(parts, model=role == "assistant")
    item = {"type": "message", "role": role, "content": content}
    return item | dict(understood(message.vendor, DIALECT))


def _assistant(
    message: Message, parts: Iterable[Part], names: ToolNames, *, own: bool
) -> Iterator[Any]:
    """Give what the model did, in its order; words that follow each other are one message."""
    words: list[Part] = []
    for part in parts:
        if isinstance(part, Text | Refusal | Image | Audio | File):
            words.append(part)
            continue
        if words:
            yield _message(message, words)
            words = []
        match part:
            case Reasoning():
                yield from _thought(part, own=own)
            case ToolCall():
                yield _call(part, names)
            case Foreign():
                yield from _foreign(part)
            case SpokenAnswer() | ToolResult():
                pass  # refused before, or taken by themselves
    if words:
        yield _message(message, words)


def _thought(thought: Reasoning, *, own: bool) -> Iterator[Any]:
    opaque = thought.opaque
    sealed = opaque.data if opaque is not None and opaque.dialect == DIALECT else None
    if sealed is None and (opaque is not None or not own):
        return
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    item: dict[str, Any] = {"type": "reasoning", "summary": summary}
    yield item if sealed is None else item | {"encrypted_content": sealed}


def _foreign(part: Foreign) -> Iterator[Raw]:
    if part.opaque.dialect == DIALECT:
        yield Raw(part.opaque.data.encode())


# -- calls and what they gave back -----------------------------------------------------------


def _call(call: ToolCall, names: ToolNames) -> dict[str, Any]:
    call_id = shortened(call.id, MOST_CALL_ID)
    own = understood(call.vendor, DIALECT)
    if own.get("type") == _SEARCH_CALL:
        arguments = Raw(call.arguments.encode())
        return {"type": _SEARCH_CALL, "call_id": call_id, "execution": "client"} | {
            "arguments": arguments
        }
    item: dict[str, Any] = {
        "type": "custom_tool_call" if call.freeform else "function_call",
        "call_id": call_id,
        "name": own.get("name") or names.fit(call.name),
    }
    if "namespace" in own:
        item["namespace"] = own["namespace"]
    item["input" if call.freeform else "arguments"] = call.arguments
    return item


def _result(result: ToolResult, freeform: Container[str]) -> dict[str, Any]:
    call_id = shortened(result.call_id, MOST_CALL_ID)
    if understood(result.vendor, DIALECT).get("type") == _SEARCH_OUTPUT:
        found = "".join(part.text for part in result.parts if isinstance(part, Text))
        return {
            "type": _SEARCH_OUTPUT,
            "call_id": call_id,
            "execution": "client",
            "tools": Raw(found.encode()),
        }
    kind = "custom_tool_call" if result.call_id in freeform else "function_call"
    parts = tuple(part for part in result.parts if not isinstance(part, Foreign))
    return {
        "type": f"{kind}_output",
        "call_id": call_id,
        "output": _content(parts, model=False),
    }


# -- parts -----------------------------------------------------------------------------------


def _content(parts: Sequence[Part], *, model: bool) -> str | list[Any]:
    """Return text alone as a string, as every server takes it, all else as a list of parts."""
    match parts:
        case ():
            return ""
        case [Text(text) as only] if text and _is_plain(only):
            return text
    return [_part(part, model=model) for part in parts]


def _part(part: Part, *, model: bool) -> dict[str, Any]:
    match part:
        case Text(text, vendor):
            kind = "output_text" if model else "input_text"
            return {"type": kind, "text": text, **understood(vendor, DIALECT)}
        case Refusal(text):
            return {"type": "refusal", "refusal": text}
        case Image(url, detail, vendor):
            return _given(
                "input_image", {"image_url": url, "detail": detail}, understood(vendor, DIALECT)
            )
        case Audio(data, form, vendor):
            sound = {"data": data, "format": form}
            return {"type": "input_audio", "input_audio": sound, **understood(vendor, DIALECT)}
        case File():
            fields = {
                "file_data": part.data,
                "file_url": part.url,
                "file_id": part.file_id,
                "filename": part.filename,
            }
            return _given("input_file", fields, understood(part.vendor, DIALECT))
        case Reasoning() | ToolCall() | ToolResult() | SpokenAnswer() | Foreign():
            raise AssertionError("thoughts, calls, results and foreign blocks are no content")


def _given(kind: str, fields: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of the fields that were given; a picture by id says its own kind."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"type": kind, **given, **own}
