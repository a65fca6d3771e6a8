"""The two spellings of a field: ``inlineData`` and ``inline_data`` mean the same in a request.

Protocol Buffers' JSON has both, and people who write requests by hand use the second. Names are put
right only where the dialect has its fields: never inside arguments, results and JSON Schemas.
Source: https://protobuf.dev/programming-guides/json/#field-names
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import UNREADABLE

_SUSPECT: Final = re.compile(rb'"[a-z]+(?:_[a-z]+)+"\s*:')
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])

_Place: TypeAlias = Mapping[str, Any]
"""Field → what stands in it: a place of its own. Fields that are not named hold no fields."""

_BLOB: Final[_Place] = {}
_RESPONSE: Final[_Place] = {"parts": {"inlineData": _BLOB, "fileData": _BLOB}}
_PART: Final[_Place] = {
    "inlineData": _BLOB,
    "fileData": _BLOB,
    "functionCall": {},
    "functionResponse": _RESPONSE,
    "executableCode": {},
    "codeExecutionResult": {},
    "videoMetadata": {},
}
_CONTENT: Final[_Place] = {"parts": _PART}
_GENERATE: Final[_Place] = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "safetySettings": {},
    "tools": {"functionDeclarations": {}, "googleSearch": {}, "codeExecution": {}},
    "toolConfig": {"functionCallingConfig": {}, "retrievalConfig": {}},
    "generationConfig": {"thinkingConfig": {}, "speechConfig": {}, "imageConfig": {}},
}
_REQUEST: Final[_Place] = {
    **_GENERATE,
    "generateContentRequest": _GENERATE,
    "content": _CONTENT,
    "requests": {"content": _CONTENT},
}


def spelled(body: bytes) -> bytes:
    """Return a request with every field of the dialect in its first spelling.

    A body that is no JSON object comes back as it is: whoever decodes it says what is wrong.
    """
    if _SUSPECT.search(body) is None:
        return body
    try:
        return _object(body, _REQUEST)
    except UNREADABLE:
        return body


def _object(raw: bytes | Raw, place: _Place) -> bytes:
    fields = {_camel(name): value for name, value in _OBJECT.decode(raw).items()}
    for name, inside in place.items():
        if name in fields:
            fields[name] = _value(fields[name], inside)
    return msgspec.json.encode(fields)


def _value(raw: Raw, place: _Place) -> Raw:
    """Put right an object, or each one of a list; anything else stays."""
    match bytes(memoryview(raw)[:1]):
        case b"{":
            return Raw(_object(raw, place))
        case b"[":
            return Raw(msgspec.json.encode([_value(item, place) for item in _LIST.decode(raw)]))
    return raw


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest) if rest else name
