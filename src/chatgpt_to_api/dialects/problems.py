"""What is wrong with a request, in the dialect's words: where, what was expected, what came."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from chatgpt_to_api.errors import InvalidRequest

_PLACE: Final = re.compile(r" - at .*?`\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_BYTE: Final = re.compile(r" \(byte (?P<at>\d+)\)$")
_QUOTED: Final = re.compile(r"`([^`]*)`")
_NAMES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_ANY: Final = msgspec.json.Decoder()

T = TypeVar("T")


def mistyped(error: msgspec.ValidationError, prefix: str = "") -> InvalidRequest:
    """Say which field has a wrong type or is missing. ``prefix`` is the path decoding began at."""
    text = str(error)
    place = _PLACE.search(text)
    param = prefix
    if place:
        text = text[: place.start()]
        inner = place["path"]
        param += inner if not prefix or inner.startswith("[") else f".{inner}"
    missing = _MISSING.search(text)
    if missing:
        param = f"{param}.{missing['field']}" if param else missing["field"]
        return InvalidRequest(
            f"Missing required parameter: '{param}'.",
            param=param,
            code="missing_required_parameter",
        )
    said = _QUOTED.sub(lambda match: _in_words(match[1]), text)
    said = said[:1].lower() + said[1:]
    if not param:
        return InvalidRequest(f"The body must be a JSON object: {said}.")
    return invalid(param, said)


def invalid(param: str, said: str) -> InvalidRequest:
    """Name the field and what is wrong with it, such as ``expected string, got integer``."""
    return InvalidRequest(f"Invalid '{param}': {said}.", param=param, code="invalid_value")


def malformed(error: msgspec.DecodeError, body: bytes) -> InvalidRequest:
    """Say where the body stops being JSON."""
    text = str(error)
    if "truncated" in text:
        said = f"it ends too early, after {len(body)} bytes"
    else:
        said = _BYTE.sub(r" at byte \g<at>", text.removeprefix("JSON is malformed: "))
    return InvalidRequest(f"The body is not valid JSON: {said}.", code="invalid_json")


def too_deep(limit: int, param: str | None = None) -> InvalidRequest:
    """The JSON is nested deeper than anybody means it to be."""
    where = f"'{param}'" if param else "The body"
    return InvalidRequest(
        f"{where} is nested too deeply: arrays and objects may stand {limit} deep in each other "
        "(CHATGPT_TO_API_MAX_DEPTH).",
        param=param,
        code="nested_too_deeply",
    )


def too_many(param: str, code: str, count: int, limit: int, setting: str) -> InvalidRequest:
    """A list is longer than the setting allows."""
    return InvalidRequest(
        f"'{param}' has {count} entries; at most {limit} are taken ({setting}).",
        param=param,
        code=code,
    )


def decoded(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T], param: str) -> T:
    """Decode a part of the request that stands at ``param``. Raises InvalidRequest."""
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise mistyped(error, param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(param, f"not valid JSON ({error})") from None
    return value


def anything(raw: msgspec.Raw, param: str) -> Any:
    """Decode any JSON that stands at ``param``."""
    return decoded(raw, _ANY, param)


def check_depth(body: bytes, limit: int) -> None:
    """Raise InvalidRequest for a request nested deeper than ``limit``.

    A short body cannot be, nor can one with few brackets; only what is left is decoded for it.
    """
    if len(body) <= 2 * limit or body.count(b"{") + body.count(b"[") <= limit:
        return
    try:
        whole = _ANY.decode(body)
    except RecursionError:
        raise too_deep(limit) from None
    level = [whole]
    for _ in range(limit):
        level = [
            value
            for container in level
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, dict | list)
        ]
        if not level:
            return
    named = [("", whole)]
    for depth in range(limit):
        named = _below(named, named=depth < _NAMED)
    raise too_deep(limit, named[0][0] or None)


_NAMED: Final = 3
"""Levels of a path that an error about depth names."""


def _below(level: list[tuple[str, Any]], *, named: bool) -> list[tuple[str, Any]]:
    """Return the arrays and objects one level further down, with the paths they stand at."""
    below: list[tuple[str, Any]] = []
    for path, container in level:
        if isinstance(container, dict):
            for key, value in container.items():
                if isinstance(value, dict | list):
                    below.append((f"{path}.{key}".lstrip(".") if named else path, value))
        else:
            for index, value in enumerate(container):
                if isinstance(value, dict | list):
                    below.append((f"{path}[{index}]" if named else path, value))
    return below


def _in_words(types: str) -> str:
    """``str | array | null`` → ``string, array or null``."""
    *head, last = (_NAMES.get(name, name) for name in types.split(" | "))
    return f"{', '.join(head)} or {last}" if head else last
