"""How much work a JSON Schema makes, told before it is done: a short one can ask for any amount.

References are written out wherever they stand, so each that leads to two more doubles the work; and
to say why none of several alternatives fits, each is gone through, with all alternatives inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

MOST_PLACES: Final = 20_000
"""Most places of a schema once its references are written out; within itself none is again."""

MOST_VISITS: Final = 20_000
"""Most visits of a place of a schema to a value that are made to say why a reply does not fit."""

MOST_TRIED: Final = 1000
"""Most of them within alternatives, where each costs a hundred times as much."""

_ONE: Final = ("not", "if", "then", "else")
_LISTS: Final = ("allOf",)
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_OF_ITEMS: Final = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
_OF_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
_OF_NAMES: Final = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_IDS: Final = ("$id", "id")

_MOST_NAMED: Final = 200
"""Most parts of a schema that have an address of their own."""


class TooMuchWork(Exception):
    """It is more than the bounds allow."""


def check_places(root: Mapping[str, Any]) -> None:
    """Raise TooMuchWork for a schema that has more than MOST_PLACES, references written out."""
    try:
        if _Places(_References(root)).of(root) > MOST_PLACES:
            raise TooMuchWork
    except RecursionError:
        raise TooMuchWork from None


class _Places:
    """Counts each part of a schema once, though it be referred to from many places."""

    def __init__(self, references: _References) -> None:
        self._references = references
        self._known: dict[int, int] = {}

    def of(self, schema: Any) -> int:
        if not isinstance(schema, Mapping):
            return 0
        known = self._known.get(id(schema))
        if known is None:
            self._known[id(schema)] = 0  # within itself: a validator looks at it once
            known = self._known[id(schema)] = 1 + sum(map(self.of, self._inner(schema)))
        return known

    def _inner(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        yield from self._references.of(schema)
        for name in (*_ONE, *_LISTS, *_ALTERNATIVES, *_OF_ITEMS, *_OF_MEMBERS, "propertyNames"):
            inner = schema.get(name)
            yield from inner if isinstance(inner, list) else (inner,)
        for name in _OF_NAMES:
            named = schema.get(name)
            if isinstance(named, Mapping):
                yield from named.values()


def can_explain(root: Mapping[str, Any], value: object) -> bool:
    """Whether it is little work to say where and why a value does not fit a schema."""
    try:
        _Visits(_References(root)).make(root, value, tried=False)
    except (TooMuchWork, RecursionError):
        return False
    return True


class _Visits:
    """Goes wherever a validator may go, and counts."""

    def __init__(self, references: _References) -> None:
        self._references = references
        self._left = MOST_VISITS
        self._tries_left = MOST_TRIED

    def make(self, schema: Any, value: object, *, tried: bool) -> None:
        """Visit ``value`` with a schema. Raises TooMuchWork."""
        self._left -= 1
        self._tries_left -= tried
        if self._left < 0 or self._tries_left < 0:
            raise TooMuchWork
        if not isinstance(schema, Mapping):
            return
        for target in self._references.of(schema):
            self.make(target, value, tried=tried)
        for name in _ONE:
            if name in schema:
                self.make(schema[name], value, tried=tried)
        for name in (*_LISTS, *_ALTERNATIVES):
            inner = schema.get(name)
            for one in inner if isinstance(inner, list) else ():
                self.make(one, value, tried=tried or name in _ALTERNATIVES)
        if isinstance(value, Mapping):
            self._members(schema, value, tried=tried)
        elif isinstance(value, list):
            self._items(schema, value, tried=tried)

    def _members(self, schema: Mapping[str, Any], value: Mapping[str, Any], *, tried: bool) -> None:
        for name, one in _named(schema, "properties"):
            if name in value:
                self.make(one, value[name], tried=tried)
        everywhere = [one for _, one in _named(schema, "patternProperties")]
        everywhere += [schema[name] for name in _OF_MEMBERS if name in schema]
        for one in everywhere:
            for member in value.values():
                self.make(one, member, tried=tried)
        for keyword in ("dependentSchemas", "dependencies"):
            for _, one in _named(schema, keyword):
                self.make(one, value, tried=tried)

    def _items(self, schema: Mapping[str, Any], value: list[Any], *, tried: bool) -> None:
        for name in _OF_ITEMS:
            inner = schema.get(name)
            if isinstance(inner, list):
                for one, item in zip(inner, value, strict=False):
                    self.make(one, item, tried=tried)
            elif inner is not None:
                for item in value:
                    self.make(inner, item, tried=tried)


def _named(schema: Mapping[str, Any], keyword: str) -> Iterator[tuple[str, Any]]:
    named = schema.get(keyword)
    return iter(named.items() if isinstance(named, Mapping) else ())


class _References:
    """Where the references of a schema may lead: every place that has the name they tell.

    Which one it is depends on the addresses around the reference; for a bound all of them count.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._resources: list[tuple[str, Any]] = [("", root)]
        self._anchors: dict[str, list[Any]] = {}
        self._collect(root)

    def of(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        """Give what a schema refers to."""
        for keyword in _REFERENCES:
            reference = schema.get(keyword)
            if isinstance(reference, str):
                yield from self._named(reference)

    def _named(self, reference: str) -> Iterator[Any]:
        address, _, fragment = reference.partition("#")
        if fragment and not fragment.startswith("/"):
            yield from self._anchors.get(fragment, ())
            return
        last = address.rpartition("/")[2]
        for name, resource in self._resources:
            if not last or name == last:
                target = _pointed_at(resource, fragment)
                if target is not None:
                    yield target

    def _collect(self, part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                self._collect(one)
        elif isinstance(part, Mapping):
            for keyword in _IDS:
                name = part.get(keyword)
                if isinstance(name, str):
                    address, _, fragment = name.partition("#")
                    if fragment:  # an anchor, as older drafts have it
                        self._anchors.setdefault(fragment, []).append(part)
                    self._resources.append((address.rpartition("/")[2], part))
            for keyword in _ANCHORS:
                name = part.get(keyword)
                if isinstance(name, str):
                    self._anchors.setdefault(name, []).append(part)
            if len(self._resources) + len(self._anchors) > _MOST_NAMED:
                raise TooMuchWork
            for inner in part.values():
                self._collect(inner)


def _pointed_at(resource: Any, pointer: str) -> Any:
    """Return what a JSON pointer within a resource points at, None where there is nothing."""
    found = resource
    for step in unquote(pointer).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found
