"""Client side, what a message holds: its content parts, read and checked, errors with a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import Audio, File, Image, Part, Refusal, Text, Vendor
from chatgpt_to_api.dialects.openai_chat.messages import DIALECT, ChatMessage
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.wire.base64_check import base64_problem, data_url_problem

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def content(given: str | list[Raw] | None, param: str) -> tuple[Part, ...]:
    """Return the parts of a message that stands at ``param``."""
    if not given:
        return ()
    if isinstance(given, str):
        return (Text(given),)
    return tuple(_part(raw, f"{param}.content[{index}]") for index, raw in enumerate(given))


def _part(raw: Raw, param: str) -> Part:
    fields = decoded(raw, _OBJECT, param)
    kind = _string(fields, "type", param)
    read = _PARTS.get(kind)
    if read is None:
        raise invalid(f"{param}.type", f"expected one of {', '.join(_PARTS)}, got {kind[:40]!r}")
    return read(fields, param)


def vendor_fields(fields: Mapping[str, Any], own: str) -> Vendor | None:
    """Return what one vendor alone understands of a part."""
    rest = {k: v for k, v in fields.items() if k not in ("type", own)}
    return Vendor(DIALECT, rest) if rest else None


def _text(fields: Mapping[str, Any], param: str) -> Text:
    return Text(_string(fields, "text", param), vendor_fields(fields, "text"))


def _refusal(fields: Mapping[str, Any], param: str) -> Refusal:
    return Refusal(_string(fields, "refusal", param))


def _image(fields: Mapping[str, Any], param: str) -> Image:
    given = fields.get("image_url")
    where = f"{param}.image_url"
    if isinstance(given, str):
        url, detail = given, None
    else:
        inner = _object(fields, "image_url", param)
        where += ".url"
        url = _string(inner, "url", f"{param}.image_url")
        detail = _optional(inner, "detail", f"{param}.image_url")
    if not url.startswith(("https://", "http://", "data:")):
        raise invalid(where, "expected an http, https or data URL")
    if url.startswith("data:"):
        _check(data_url_problem(url), where)
    return Image(url, detail, vendor_fields(fields, "image_url"))


def _audio(fields: Mapping[str, Any], param: str) -> Audio:
    inner = _object(fields, "input_audio", param)
    where = f"{param}.input_audio"
    data, form = _string(inner, "data", where), _string(inner, "format", where)
    _check(base64_problem(data), f"{where}.data")
    return Audio(data, form, vendor_fields(fields, "input_audio"))


def _file(fields: Mapping[str, Any], param: str) -> File:
    inner = _object(fields, "file", param)
    where = f"{param}.file"
    file = File(
        data=_optional(inner, "file_data", where),
        file_id=_optional(inner, "file_id", where),
        filename=_optional(inner, "filename", where),
        vendor=vendor_fields(fields, "file"),
    )
    if file.data is None and file.file_id is None:
        raise invalid(where, "expected file_data or file_id")
    if file.data is not None:
        of = data_url_problem if file.data.startswith("data:") else base64_problem
        _check(of(file.data), f"{where}.file_data")
    return file


_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Part]]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "refusal": _refusal,
}


def check_embedded(messages: Sequence[ChatMessage]) -> None:
    """Check the sound, files and pictures that a request holds as base64; of the rest, nothing.

    For requests that are passed on as they are: what else a part may hold its reader judges. Text
    is told by how it nearly always begins, so only the parts that are none cost anything.
    """
    for index, message in enumerate(messages):
        if not isinstance(message.content, list):
            continue
        for place, raw in enumerate(message.content):
            if bytes(memoryview(raw)[:15]).startswith(_TEXT):
                continue
            param = f"messages[{index}].content[{place}]"
            fields = decoded(raw, _OBJECT, param)
            kind = fields.get("type")
            if kind in _EMBEDDING:
                _PARTS[kind](fields, param)


_TEXT: Final = (b'{"type":"text"', b'{"type": "text"')
_EMBEDDING: Final = ("image_url", "input_audio", "file")


def _check(problem: str | None, param: str) -> None:
    if problem is not None:
        raise invalid(param, problem)


def _string(fields: Mapping[str, Any], key: str, param: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise invalid(f"{param}.{key}", f"expected string, got {_kind(value)}")
    return value


def _optional(fields: Mapping[str, Any], key: str, param: str) -> str | None:
    return None if fields.get(key) is None else _string(fields, key, param)


def _object(fields: Mapping[str, Any], key: str, param: str) -> Mapping[str, Any]:
    value = fields.get(key)
    if not isinstance(value, dict):
        raise invalid(f"{param}.{key}", f"expected object, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case _:
            return "array"
