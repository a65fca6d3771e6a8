"""The list of settings, read from the types: what the loader fills, the docs and ``show`` list."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.wire.secret import Secret

ANY_NAME: Final = "NAME"
"""Stands for the name of an upstream in a key of the catalogue."""


class Setting(msgspec.Struct, frozen=True):
    """One setting.

    ``key``: its path in TOML, ``upstreams.NAME.base_url`` for a field of every upstream. ``env``:
    the variables that give it, in the order they are looked at; for a field of an upstream they
    belong to the upstream in ``env_upstream``. ``kinds``: the kinds of upstream that have it, empty
    for all. ``not_in_file``: the configuration file cannot hold it.
    """

    key: str
    type: inspect.Type
    description: str
    default: object
    env: tuple[str, ...] = ()
    env_upstream: tuple[str, ...] = ()
    unit: str = ""
    kinds: tuple[str, ...] = ()
    not_in_file: bool = False

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def expected(self) -> str:
        """What its value has to be, in words."""
        return describe(self.type) + (f" ({self.unit})" if self.unit else "")

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return holds_secret(self.type)


@cache
def catalogue() -> tuple[Setting, ...]:
    """Return every setting that has one place, in the order they are documented."""
    return tuple(_settings(Settings, ""))


@cache
def upstream_catalogue() -> tuple[Setting, ...]:
    """Return the fields of an upstream, their keys beginning with ``upstreams.NAME.``."""
    return tuple(_settings(UpstreamSettings, f"upstreams.{ANY_NAME}."))


def holds_secret(kind: inspect.Type) -> bool:
    """Whether a value of this type is a secret or has one inside."""
    match kind:
        case inspect.CustomType():
            return kind.cls is Secret
        case inspect.VarTupleType():
            return holds_secret(kind.item_type)
        case inspect.DictType():
            return holds_secret(kind.value_type)
        case inspect.UnionType():
            return any(holds_secret(part) for part in kind.types)
        case _:
            return False


def describe(kind: inspect.Type) -> str:
    """Say in words what a value of this type is."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.LiteralType():
            *most, last = (str(value) for value in kind.values)
            return f"{', '.join(most)} or {last}"
        case inspect.VarTupleType():
            return "a list, each " + describe(kind.item_type)
        case inspect.DictType(value_type=inspect.AnyType()):
            return "a table"
        case inspect.DictType():
            return "a table, each value " + describe(kind.value_type)
        case inspect.UnionType():
            return describe(plain(without_none(kind)))
        case inspect.StructType():
            return "a table"
        case _:
            return "text"


def without_none(kind: inspect.UnionType) -> inspect.Type:
    """Return the one type of ``X | None`` that is not None."""
    (only,) = (part for part in kind.types if not isinstance(part, inspect.NoneType))
    return only


def plain(kind: inspect.Type) -> inspect.Type:
    """Return a type without the wrapping that holds its description."""
    return plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


@cache
def struct_fields(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """Return the fields of a struct with their types."""
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)
    return found.fields


def _settings(struct: type[msgspec.Struct], prefix: str) -> Iterator[Setting]:
    for field in struct_fields(struct):
        kind = plain(field.type)
        described = field.type if isinstance(field.type, inspect.Metadata) else None
        if described is None:
            if isinstance(kind, inspect.StructType) and kind.cls is not UpstreamSettings:
                yield from _settings(kind.cls, f"{prefix}{field.name}.")
            continue
        extra: dict[str, Any] = described.extra or {}
        variables: dict[str, str] = extra.get("variables", {})
        default = field.default_factory() if callable(field.default_factory) else field.default
        yield Setting(
            key=prefix + field.name,
            type=kind,
            description=str((described.extra_json_schema or {}).get("description", "")),
            default=default,
            env=extra.get("env", tuple(variables.values())),
            env_upstream=tuple(variables),
            unit=extra.get("unit", ""),
            kinds=extra.get("kinds", ()),
            not_in_file=extra.get("not_in_file", False),
        )


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    limits = {">=": kind.ge, ">": kind.gt, "<=": kind.le, "<": kind.lt}
    said = [f"{sign} {limit:g}" for sign, limit in limits.items() if limit is not None]
    return " " + " and ".join(said) if said else ""
