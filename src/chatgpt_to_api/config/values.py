"""From what a source holds to a value of a setting's type; a ValueError says what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import inspect

from chatgpt_to_api.config.catalogue import describe, holds_secret, without_none
from chatgpt_to_api.wire.secret import Secret

_WORDS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN: Final = 40
"""Most characters of a wrong value that an error repeats."""

Resolve: TypeAlias = Callable[[str], Secret]
"""Turns a secret as the file holds it (a text or a reference) into the secret itself."""


def from_text(text: str, kind: inspect.Type) -> Any:
    """Read the value of a variable: words for booleans, commas between the items of a list.

    Raises ValueError that says what was expected, and what was found unless it is a secret.
    """
    value: Any
    match kind:
        case inspect.UnionType():
            return from_text(text, without_none(kind))
        case inspect.CustomType():
            return Secret(text)
        case inspect.BoolType():
            value = _WORDS.get(text.lower())
            if value is None:
                raise _wrong("true, false, yes, no, on, off, 1 or 0", text)
            return value
        case inspect.IntType():
            if not _WHOLE.fullmatch(text):
                raise _wrong(describe(kind), text)
            return _within(int(text), kind, text)
        case inspect.FloatType():
            try:
                value = float(text)
            except ValueError:
                raise _wrong(describe(kind), text) from None
            return _within(value, kind, text)
        case inspect.LiteralType():
            if text.lower() not in kind.values:
                raise _wrong(describe(kind), text)
            return text.lower()
        case inspect.VarTupleType():
            parts = (part.strip() for part in text.split(","))
            return tuple(from_text(part, kind.item_type) for part in parts if part)
        case inspect.StrType():
            return text
        case _:
            raise TypeError(f"no variable holds {kind}")


def from_toml(value: object, kind: inspect.Type, resolve: Resolve) -> Any:
    """Read a value of the configuration file, which has its type already.

    Raises ValueError as :func:`from_text` does, or what ``resolve`` raises.
    """
    match kind:
        case inspect.UnionType():
            return from_toml(value, without_none(kind), resolve)
        case inspect.CustomType():
            if isinstance(value, str) and value:
                return resolve(value)
        case inspect.BoolType():
            if isinstance(value, bool):
                return value
        case inspect.IntType():
            if isinstance(value, int) and not isinstance(value, bool):
                return _within(value, kind, value)
        case inspect.FloatType():
            if isinstance(value, int | float) and not isinstance(value, bool):
                try:
                    return _within(float(value), kind, value)
                except OverflowError:
                    pass
        case inspect.LiteralType():
            if isinstance(value, str) and value in kind.values:
                return value
        case inspect.VarTupleType():
            if isinstance(value, list):
                return tuple(_each(enumerate(value), kind.item_type, resolve).values())
        case inspect.DictType():
            if isinstance(value, Mapping):
                return _each(value.items(), kind.value_type, resolve)
        case inspect.StrType():
            if isinstance(value, str):
                return value
    raise _wrong(describe(kind), None if holds_secret(kind) else value)


def _each(items: Any, kind: inspect.Type, resolve: Resolve) -> dict[Any, Any]:
    found = {}
    for place, item in items:
        try:
            found[place] = from_toml(item, kind, resolve)
        except ValueError as error:
            raise ValueError(f"at [{place!r}]: {error}") from None
    return found


def _within(value: Any, kind: inspect.IntType | inspect.FloatType, shown: object) -> Any:
    if (
        (isinstance(value, float) and not math.isfinite(value))
        or (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    ):
        raise _wrong(describe(kind), shown)
    return value


def _wrong(expected: str, got: object | None) -> ValueError:
    if got is None:
        return ValueError(f"expected {expected}")
    text = repr(got)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return ValueError(f"expected {expected}, got {shown}")
