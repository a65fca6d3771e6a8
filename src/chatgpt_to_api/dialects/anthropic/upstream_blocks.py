"""Backend side, the request: parts → content blocks.

Empty and blank texts are left out: the API refuses them nearly everywhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.fitting import ToolNames, cleaned
from chatgpt_to_api.chat.request import (
    Audio,
    File,
    Foreign,
    Image,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    ToolCall,
    ToolResult,
    understood,
)
from chatgpt_to_api.dialects.anthropic.messages import DIALECT
from chatgpt_to_api.dialects.anthropic.seals import thinking_block
from chatgpt_to_api.errors import InvalidRequest

LONGEST_ID: Final = 64
LONGEST_NAME: Final = 128

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_UNSUPPORTED: Final = "unsupported_parameter"

_MAGIC: Final = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def blocks(parts: Iterable[Part], names: ToolNames, param: str) -> list[Any]:
    """Return the blocks of one turn whose parts stand at ``param``.

    Raises InvalidRequest for what this dialect has no block for.
    """
    made: list[Any] = []
    for index, part in enumerate(parts):
        made_of = block_of(part, names, f"{param}[{index}]")
        if made_of is not None:
            made.append(made_of)
    return made


def text_block(text: str) -> dict[str, Any]:
    """A block of plain text."""
    return {"type": "text", "text": text}


def block_of(part: Part, names: ToolNames, param: str) -> Any:
    """Return the block of the part that stands at ``param``; None for one that says nothing here.

    Raises InvalidRequest for what this dialect has no block for.
    """
    match part:
        case Text():
            return _text(part)
        case Refusal(text):
            return text_block(text) if text.strip() else None
        case Reasoning():
            return thinking_block(part)
        case Image(url, _, vendor):
            own = understood(vendor, DIALECT)
            if _is_contained(own):
                return None
            return {"type": "image", "source": _image_source(url, param), **own}
        case File():
            return _file(part, param)
        case ToolCall():
            return {
                "type": "tool_use",
                "id": cleaned(part.id, LONGEST_ID),
                "name": names.fit(part.name),
                "input": _input(part),
                **understood(part.vendor, DIALECT),
            }
        case ToolResult():
            return _result(part, names, param)
        case Foreign(opaque):
            return Raw(opaque.data.encode()) if opaque.dialect == DIALECT else None
        case Audio():
            raise _unsupported("This upstream cannot hear audio.", param)
        case SpokenAnswer():
            raise _unsupported("This upstream has no earlier spoken answers.", param)


def _is_contained(own: Mapping[str, Any]) -> bool:
    """Whether the part before this one, as its own dialect has it, holds it already."""
    return "type" in own and own["type"] is None


def _text(part: Text) -> dict[str, Any] | None:
    own = dict(understood(part.vendor, DIALECT))
    kind = own.get("type")
    if kind == "document" and own["source"].get("type") == "text":
        own["source"] = {**own["source"], "data": part.text}
    if kind is not None:
        return own
    if "citations" in own:
        kept = [c for c in own.pop("citations") if c.get("encrypted_index") != ""]
        own |= {"citations": kept} if kept else {}
    return {**text_block(part.text), **own} if part.text.strip() else None


def _result(result: ToolResult, names: ToolNames, param: str) -> dict[str, Any]:
    block: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": cleaned(result.call_id, LONGEST_ID),
    }
    match result.parts:
        case (Text(text, vendor),) if not understood(vendor, DIALECT):
            block["content"] = text
        case ():
            pass
        case parts:
            block["content"] = blocks(parts, names, f"{param}.content")
    if result.is_error:
        block["is_error"] = True
    return {**block, **understood(result.vendor, DIALECT)}


def _input(call: ToolCall) -> Any:
    """A call's arguments: an object, whatever the model that wrote them made of it."""
    if not call.freeform:
        if not call.arguments.strip():
            return {}
        try:
            _OBJECT.decode(call.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {"input": call.arguments}
        return Raw(call.arguments.encode())
    return {"input": call.arguments}


def _image_source(url: str, param: str) -> dict[str, Any]:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    media_type, data = _split(url, param)
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    return {"type": "base64", "media_type": _true_type(data) or media_type, "data": data}


def _true_type(data: str) -> str | None:
    """What a picture is by its first bytes: the API refuses one that is called another kind."""
    try:
        start = base64.b64decode(data[:16])
    except (binascii.Error, ValueError):
        return None
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), None)


def _file(file: File, param: str) -> dict[str, Any]:
    own = dict(understood(file.vendor, DIALECT))
    kind = own.pop("type", "document")
    named = {"title": file.filename} if file.filename is not None else {}
    if file.file_id is not None:
        if not understood(file.vendor, DIALECT):
            raise _unsupported("This upstream does not have the file with that id.", param)
        source: dict[str, Any] = {"type": "file", "file_id": file.file_id}
    elif file.url is not None:
        source = {"type": "url", "url": file.url}
    else:
        source = _file_source(file.data or "", param)
    return {"type": kind, "source": source, **named, **own}


def _file_source(given: str, param: str) -> dict[str, Any]:
    if not given.startswith("data:"):
        given = f"data:application/pdf;base64,{given}"
    media_type, data = _split(given, param)
    if media_type == "application/pdf":
        if isinstance(data, bytes):
            data = base64.b64encode(data).decode()
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type.startswith("text/"):
        try:
            plain = data if isinstance(data, bytes) else base64.b64decode(data)
            return {"type": "text", "media_type": "text/plain", "data": plain.decode()}
        except (binascii.Error, ValueError):
            pass
    raise _unsupported("This upstream reads PDF documents and plain text.", param)


def _split(url: str, param: str) -> tuple[str, str | bytes]:
    """Return a data URL's media type, and its base64, or its bytes where it has none."""
    if not url.startswith("data:"):
        raise _unsupported("This upstream takes http, https and data URLs.", param)
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, options = head.partition(";")
    if not comma:
        raise InvalidRequest(f"Invalid '{param}': expected a data URL.", param=param)
    media_type = media_type.lower() or "text/plain"
    if options.lower().endswith("base64"):
        return media_type, data.replace("\r", "").replace("\n", "")
    return media_type, unquote_to_bytes(data)


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code=_UNSUPPORTED)
