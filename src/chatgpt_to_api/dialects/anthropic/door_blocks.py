"""Client side, what a turn holds: content blocks → parts, read and checked, errors with a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    File,
    Foreign,
    Image,
    Opaque,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.anthropic.messages import (
    BILLING,
    DIALECT,
    ToolResultBlock,
    ToolUse,
)
from chatgpt_to_api.dialects.anthropic.seals import sealed_thought, signed_thought
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.wire.base64_check import base64_problem

CONTAINED: Final = Vendor(DIALECT, {"type": None})
"""Marks parts that the part before them, as its own dialect has it, already holds."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_TOOL_USE: Final = msgspec.json.Decoder(ToolUse)
_TOOL_RESULT: Final = msgspec.json.Decoder(ToolResultBlock)

_FOREIGN: Final = frozenset({"container_upload", "tool_reference"})
"""Kinds besides those of servers' tools that mean nothing outside of this dialect."""


def system_parts(given: str | list[Raw]) -> tuple[Part, ...]:
    """Return the parts of the top-level ``system``."""
    if isinstance(given, str):
        return (Text(given),)
    parts: list[Part] = []
    for index, raw in enumerate(given):
        param = f"system[{index}]"
        fields = decoded(raw, _OBJECT, param)
        text = _text(fields, param)
        if text.text.startswith(BILLING):
            parts.append(Foreign(Opaque(DIALECT, bytes(raw).decode())))
        else:
            parts.append(text)
    return tuple(parts)


def turn_parts(given: str | list[Raw], param: str) -> tuple[Part, ...]:
    """Return the parts of a turn whose content stands at ``param``."""
    if isinstance(given, str):
        return (Text(given),) if given else ()
    parts: list[Part] = []
    for index, raw in enumerate(given):
        parts += _block(raw, f"{param}[{index}]")
    return tuple(parts)


def _block(raw: Raw, param: str) -> Sequence[Part]:
    fields = decoded(raw, _OBJECT, param)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{param}.type", "expected string")
    match kind:
        case "text":
            return (_text(fields, param),)
        case "tool_use":
            return (_tool_use(raw, fields, param),)
        case "tool_result":
            return (_tool_result(raw, fields, param),)
        case "thinking":
            thought = signed_thought(_string(fields, "thinking", param), fields.get("signature"))
            return (thought,)
        case "redacted_thinking":
            return (sealed_thought(_string(fields, "data", param)),)
        case "image":
            return (_image(fields, param),)
        case "document":
            return _document(fields, param)
        case "search_result":
            return (_search_result(fields, param),)
        case _ if is_foreign(kind):
            return (Foreign(Opaque(DIALECT, bytes(raw).decode())),)
    raise invalid(f"{param}.type", f"expected a kind of content block, got {kind[:40]!r}")


def is_foreign(kind: str) -> bool:
    """Whether a kind of block is the trace of a server's own tools, or of its files."""
    return kind.endswith(("_tool_use", "_tool_result")) or kind in _FOREIGN


def vendor_fields(fields: Mapping[str, Any], *own: str) -> Vendor | None:
    """Return what this dialect alone understands of a block; nulls say nothing."""
    rest = {k: v for k, v in fields.items() if k != "type" and k not in own and v is not None}
    return Vendor(DIALECT, rest) if rest else None


def _text(fields: Mapping[str, Any], param: str) -> Text:
    return Text(_string(fields, "text", param), vendor_fields(fields, "text"))


def _tool_use(raw: Raw, fields: Mapping[str, Any], param: str) -> ToolCall:
    call = decoded(raw, _TOOL_USE, param)
    if not isinstance(fields.get("input", {}), dict):
        raise invalid(f"{param}.input", "expected object")
    arguments = bytes(call.input).decode()
    vendor = vendor_fields(fields, "id", "name", "input")
    return ToolCall(call.id, call.name, arguments, vendor=vendor)


def _tool_result(raw: Raw, fields: Mapping[str, Any], param: str) -> ToolResult:
    result = decoded(raw, _TOOL_RESULT, param)
    parts: list[Text | Image | File | Foreign] = []
    for index, part in enumerate(turn_parts(result.content or "", f"{param}.content")):
        if not isinstance(part, Text | Image | File | Foreign):
            raise invalid(f"{param}.content[{index}].type", "expected text, image or document")
        parts.append(part)
    vendor = vendor_fields(fields, "tool_use_id", "content", "is_error")
    return ToolResult(result.tool_use_id, tuple(parts), bool(result.is_error), vendor)


def _image(fields: Mapping[str, Any], param: str) -> Image | File:
    source, where = _source(fields, param)
    vendor = vendor_fields(fields, "source")
    match source.get("type"):
        case "base64":
            return Image(_data_url(source, where), None, vendor)
        case "url":
            return Image(_url(source, where), None, vendor)
        case "file":
            kept = {"type": "image", **(vendor.fields if vendor else {})}
            return File(file_id=_string(source, "file_id", where), vendor=Vendor(DIALECT, kept))
    raise invalid(f"{where}.type", "expected base64, url or file")


def _document(fields: Mapping[str, Any], param: str) -> Sequence[Part]:
    source, where = _source(fields, param)
    title = fields.get("title")
    title = title if isinstance(title, str) else None
    vendor = vendor_fields(fields, "source", "title")
    match source.get("type"):
        case "base64":
            return (File(_data_url(source, where), filename=title, vendor=vendor),)
        case "url":
            return (File(filename=title, vendor=vendor, url=_url(source, where)),)
        case "file":
            file_id = _string(source, "file_id", where)
            kept = {"type": "document", **(vendor.fields if vendor else {})}
            return (File(file_id=file_id, filename=title, vendor=Vendor(DIALECT, kept)),)
        case "text":
            text = _string(source, "data", where)
            rest = {name: value for name, value in source.items() if name != "data"}
            return (Text(text, Vendor(DIALECT, {**_present(fields), "source": rest})),)
        case "content":
            return _content_document(fields, source, where)
    raise invalid(f"{where}.type", "expected base64, url, file, text or content")


def _content_document(
    fields: Mapping[str, Any], source: Mapping[str, Any], where: str
) -> Sequence[Part]:
    """A document made of blocks: its first part keeps it whole for servers of this dialect."""
    given = source.get("content")
    if isinstance(given, str):
        inner: Sequence[Part] = (Text(given),)
    elif isinstance(given, list):
        blocks = [Raw(msgspec.json.encode(block)) for block in given]
        inner = turn_parts(blocks, f"{where}.content")
    else:
        raise invalid(f"{where}.content", "expected string or array")
    texts = [part.text for part in inner if isinstance(part, Text)]
    whole = Text("\n\n".join(texts), Vendor(DIALECT, _present(fields)))
    pictures = (part for part in inner if isinstance(part, Image))
    return (whole, *(msgspec.structs.replace(part, vendor=CONTAINED) for part in pictures))


def _search_result(fields: Mapping[str, Any], param: str) -> Text:
    title, source = _string(fields, "title", param), _string(fields, "source", param)
    content = fields.get("content")
    if not isinstance(content, list):
        raise invalid(f"{param}.content", "expected array")
    texts = []
    for index, block in enumerate(content):
        where = f"{param}.content[{index}]"
        if not isinstance(block, dict):
            raise invalid(where, "expected object")
        texts.append(_string(block, "text", where))
    told = "\n\n".join((f"{title} ({source})", *texts))
    return Text(told, Vendor(DIALECT, _present(fields)))


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _source(fields: Mapping[str, Any], param: str) -> tuple[Mapping[str, Any], str]:
    source = fields.get("source")
    if not isinstance(source, dict):
        raise invalid(f"{param}.source", "expected object")
    return source, f"{param}.source"


def _data_url(source: Mapping[str, Any], where: str) -> str:
    media_type, data = _string(source, "media_type", where), _string(source, "data", where)
    problem = base64_problem(data)
    if problem is not None:
        raise invalid(f"{where}.data", problem)
    return f"data:{media_type};base64,{data}"


def _url(source: Mapping[str, Any], where: str) -> str:
    url = _string(source, "url", where)
    if not url.startswith(("https://", "http://")):
        raise invalid(f"{where}.url", "expected an http or https URL")
    return url


def _string(fields: Mapping[str, Any], key: str, param: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        found = "nothing" if value is None else "another type"
        raise invalid(f"{param}.{key}", f"expected string, got {found}")
    return value
