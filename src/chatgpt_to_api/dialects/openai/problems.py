"""What is wrong with a request, in the dialect's words: where, what was expected, what came."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from chatgpt_to_api.errors import InvalidRequest

MAX_DEPTH: Final = 100
"""Deepest nesting of JSON that is taken apart (schemas, metadata)."""

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


def too_deep(param: str | None = None) -> InvalidRequest:
    """The JSON is nested deeper than anybody means it to be."""
    where = f"'{param}'" if param else "The body"
    return InvalidRequest(
        f"{where} is nested too deeply: at most {MAX_DEPTH} levels.",
        param=param,
        code="nested_too_deeply",
    )


def decoded(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T], param: str) -> T:
    """Decode a part of the request that stands at ``param``. Raises InvalidRequest."""
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise mistyped(error, param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(param, f"not valid JSON ({error})") from None
    except RecursionError:
        raise too_deep(param) from None
    _check_depth(bytes(raw), param)
    return value


def anything(raw: msgspec.Raw, param: str) -> Any:
    """Decode any JSON that stands at ``param``. Raises InvalidRequest where it is too deep."""
    return decoded(raw, _ANY, param)


def _check_depth(raw: bytes, param: str) -> None:
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return
    level = _containers([_ANY.decode(raw)])
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for container in level
            for inner in _containers(
                container.values() if isinstance(container, dict) else container
            )
        ]
    if level:
        raise too_deep(param)


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _in_words(types: str) -> str:
    """``str | array | null`` → ``string, array or null``."""
    *head, last = (_NAMES.get(name, name) for name in types.split(" | "))
    return f"{', '.join(head)} or {last}" if head else last
