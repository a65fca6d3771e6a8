"""Schemas, both ways between JSON Schema and the dialect's own subset of OpenAPI's.

The server refuses a whole request for one keyword it does not know, so only what it is known to
take is sent. What has another form here gets it (``const``, ``["string", "null"]``, ``$ref``); what
has none is left out and named.
Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

MOST_PLACES: Final = 5000
"""Most places of one schema once its references are written out; the rest is any object."""

MOST_DEEP: Final = 120
"""How deep places may stand in each other, references written out."""

_KEPT: Final = (
    "title",
    "description",
    "default",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "pattern",
)
_SILENT: Final = frozenset(
    {
        "$schema",
        "$id",
        "$anchor",
        "$comment",
        "$defs",
        "definitions",
        "deprecated",
        "example",
        "examples",
        "readOnly",
        "writeOnly",
        "strict",
        "propertyOrdering",
    }
)
"""Keywords that say nothing about which values fit."""
_HANDLED: Final = frozenset(
    {
        "type",
        "nullable",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "format",
        "exclusiveMinimum",
        "exclusiveMaximum",
        *_KEPT,
    }
)
_SAYS_NOTHING: Final[Mapping[str, tuple[Any, ...]]] = {
    "additionalProperties": (True, False, {}),
    "uniqueItems": (False,),
}
"""Values of keywords that change nothing here: the server writes only what is declared."""
_FORMATS: Final[Mapping[str, frozenset[str]]] = {
    "STRING": frozenset({"date-time", "enum"}),
    "NUMBER": frozenset({"float", "double"}),
    "INTEGER": frozenset({"int32", "int64"}),
}
_OF_TYPE: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "minProperties", "maxProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern"}),
}
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties")
_SPELLED: Final[Mapping[str, str]] = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "max_length": "maxLength",
    "max_properties": "maxProperties",
    "min_items": "minItems",
    "min_length": "minLength",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
}
_DIGITS: Final = 19
"""Fewer are a number of 64 bits for sure; one that is longer cannot be written as JSON here."""
_ANY_OBJECT: Final = {"type": "OBJECT"}
_ANYTHING: Final = ("STRING", "NUMBER", "BOOLEAN")
"""What a value of no stated type may be here, where every value has to have one."""


def own_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a JSON Schema in the dialect's form, and the keywords that had to be left out."""
    conversion = _Conversion(schema)
    made = conversion.of(schema, ())
    return made, tuple(conversion.dropped)


class _Conversion:
    """One schema on its way; ``dropped`` has each keyword once, in the order they were met."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._places = self._deep = 0
        self.dropped: dict[str, None] = {}

    def of(self, schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """Convert what stands in one place. ``within``: the references being written out."""
        self._places += 1
        if self._places > MOST_PLACES or self._deep >= MOST_DEEP:
            self.dropped["$ref"] = None
            return dict(_ANY_OBJECT)
        self._deep += 1
        try:
            return self._place(schema, within)
        finally:
            self._deep -= 1

    def _place(self, schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(schema, Mapping):  # true: anything; false is nothing anybody asks for
            schema = {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(schema, reference, within)
        if schema.get("allOf"):
            schema, within = self._together(schema, within)
        kinds = _kinds(schema)
        if len(kinds - {"null"}) > 1:
            return self._several(schema, kinds, within)
        return self._plain(schema, kinds, within)

    def _referred(
        self, schema: Mapping[str, Any], reference: str, within: tuple[str, ...]
    ) -> dict[str, Any]:
        target = _target(self._root, reference)
        if target is None or reference in within:  # a schema within itself has no end
            self.dropped["$ref"] = None
            return dict(_ANY_OBJECT)
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return self.of({**target, **beside}, (*within, reference))

    def _together(
        self, schema: Mapping[str, Any], within: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Put the parts of ``allOf`` into one; what two of them say differently the first says.

        What they refer to is being written out from there on.
        """
        whole: dict[str, Any] = {name: v for name, v in schema.items() if name != "allOf"}
        parts = schema["allOf"]
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
                reference = part["$ref"]
                target = None if reference in within else _target(self._root, reference)
                if target is None:
                    self.dropped["$ref"] = None
                part, within = target or {}, (*within, reference)
            if not isinstance(part, Mapping):
                continue
            for name, value in part.items():
                mine = whole.get(name)
                if name == "properties" and isinstance(value, Mapping):
                    whole[name] = {**value, **(mine if isinstance(mine, Mapping) else {})}
                elif name == "required" and isinstance(value, list):
                    whole[name] = list(dict.fromkeys([*_names(mine), *_names(value)]))
                elif name == "allOf" or (
                    whole.setdefault(name, value) != value and name not in _SILENT
                ):
                    self.dropped["allOf"] = None
        return whole, within

    def _several(
        self, schema: Mapping[str, Any], kinds: frozenset[str], within: tuple[str, ...]
    ) -> dict[str, Any]:
        """A list of types becomes alternatives, each with the keywords that concern it."""
        said = {"title", "description", "default"}
        made = {name: schema[name] for name in ("title", "description") if name in schema}
        alternatives = []
        for kind in schema["type"]:
            if kind == "null":
                continue
            others = frozenset().union(*(w for k, w in _OF_TYPE.items() if k != kind)) | said
            one = {name: value for name, value in schema.items() if name not in others}
            alternatives.append(self.of({**one, "type": kind}, within))
        made["anyOf"] = alternatives
        if "null" in kinds:
            made["nullable"] = True
        return made

    def _plain(
        self, schema: Mapping[str, Any], kinds: frozenset[str], within: tuple[str, ...]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        kind = next(iter(kinds - {"null"} or kinds), _inferred(schema)).upper()
        if kind:
            made["type"] = kind
        made |= {name: schema[name] for name in _KEPT if name in schema}
        if ("null" in kinds and len(kinds) > 1) or schema.get("nullable") is True:
            made["nullable"] = True
        self._format(schema, kind, made)
        self._limits(schema, kind, made)
        self._values(schema, made)
        self._members(schema, kind, made, within)
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list):
                made = self._alternatives(schema[name], made, within)
        if "type" not in made and "anyOf" not in made:
            made["anyOf"] = [{"type": kind} for kind in _ANYTHING]
            self.dropped["type"] = None
        for name in schema:
            if (
                name not in _HANDLED
                and name not in _SILENT
                and schema[name] not in _SAYS_NOTHING.get(name, ())
            ):
                self.dropped[name] = None
        return made

    def _format(self, schema: Mapping[str, Any], kind: str, made: dict[str, Any]) -> None:
        form = schema.get("format")
        if form is None:
            return
        if isinstance(form, str) and form in _FORMATS.get(kind, ()):
            made["format"] = form
        else:
            self.dropped["format"] = None

    def _limits(self, schema: Mapping[str, Any], kind: str, made: dict[str, Any]) -> None:
        """A limit that is itself no fitting value: for whole numbers it is the next one."""
        for name, inclusive, step in (
            ("exclusiveMinimum", "minimum", 1),
            ("exclusiveMaximum", "maximum", -1),
        ):
            limit = schema.get(name)
            if limit is None or limit is False:
                continue
            if kind == "INTEGER" and _is_whole(limit):
                made.setdefault(inclusive, limit + step)
                continue
            self.dropped[name] = None
            if not isinstance(limit, bool) and isinstance(limit, int | float):
                made.setdefault(inclusive, limit)

    def _values(self, schema: Mapping[str, Any], made: dict[str, Any]) -> None:
        """``enum`` and ``const``: here only strings can be listed."""
        name = "const" if "const" in schema else "enum"
        given = [schema["const"]] if name == "const" else schema.get("enum")
        if not isinstance(given, list):
            return
        values = [value for value in given if value is not None]
        if len(values) < len(given):
            made["nullable"] = True
        fits = [value for value in values if isinstance(value, str) and value]
        if fits and len(fits) == len(values):
            made["type"] = "STRING"
            made["enum"] = fits
        elif len(values) == 1 and _is_number(values[0]):
            made.setdefault("type", "INTEGER" if isinstance(values[0], int) else "NUMBER")
            made["minimum"] = made["maximum"] = values[0]
        elif values:
            self.dropped[name] = None

    def _members(
        self, schema: Mapping[str, Any], kind: str, made: dict[str, Any], within: tuple[str, ...]
    ) -> None:
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and properties:
            made["properties"] = {
                name: self.of(inner, within) for name, inner in properties.items()
            }
        required = schema.get("required")
        if isinstance(required, list) and required:
            known = [name for name in _names(required) if name in made.get("properties", ())]
            if known:
                made["required"] = known
            if len(known) < len(required):  # the server refuses what it does not know of
                self.dropped["required"] = None
        if kind != "ARRAY":
            return
        items = schema.get("items")
        if isinstance(items, Mapping) and items:
            made["items"] = self.of(items, within)
        else:  # an array has to say what it is of
            made["items"] = {"type": "STRING"}
            self.dropped["items"] = None

    def _alternatives(
        self, given: Iterable[Any], made: dict[str, Any], within: tuple[str, ...]
    ) -> dict[str, Any]:
        """``anyOf`` and ``oneOf``; an alternative that is null is what is called nullable here."""
        alternatives = []
        for one in given:
            if isinstance(one, Mapping) and one.get("type") == "null":
                made["nullable"] = True
            else:
                alternatives.append(self.of(one, within))
        if len(alternatives) == 1 and "anyOf" not in made:
            return {**alternatives[0], **made}
        if alternatives:
            made["anyOf"] = [*made.get("anyOf", ()), *alternatives]
            made.pop("type", None)
        return made


def _names(given: Any) -> list[str]:
    """Return the names in what should be a list of them: nobody has checked a client's schema."""
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def _kinds(schema: Mapping[str, Any]) -> frozenset[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind.lower()})
    if isinstance(kind, list):
        return frozenset(k.lower() for k in kind if isinstance(k, str))
    return frozenset()


def _inferred(schema: Mapping[str, Any]) -> str:
    if isinstance(schema.get("properties"), Mapping):
        return "object"
    return "array" if isinstance(schema.get("items"), Mapping) else ""


def _is_whole(value: Any) -> bool:
    """Whether a value is an integer, and the ones beside it can be written as JSON, too."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _target(root: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """Return what a JSON pointer within the schema points at."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found if isinstance(found, Mapping) else None


# -- the other way ---------------------------------------------------------------------------


def json_schema(schema: Any) -> dict[str, Any]:
    """Return a schema of the dialect as JSON Schema."""
    if not isinstance(schema, Mapping):
        return {}
    given: dict[str, Any] = {_SPELLED.get(n, n): value for n, value in schema.items()}
    made: dict[str, Any] = {}
    for name, value in given.items():
        convert = _BACK.get(name)
        if name not in ("nullable", "propertyOrdering", "example"):
            made[name] = value if convert is None else convert(value)
    if made.get("format") == "enum":
        del made["format"]
    if given.get("example") is not None:
        made["examples"] = [given["example"]]
    order = given.get("propertyOrdering")
    if isinstance(order, list) and isinstance(made.get("properties"), dict):
        properties = made["properties"]
        first = {name: properties[name] for name in _names(order) if name in properties}
        made["properties"] = {**first, **properties}
    return _nullable(made) if given.get("nullable") is True else made


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    if isinstance(made.get("enum"), list):
        made["enum"] = [*made["enum"], None]
    if isinstance(made.get("type"), str):
        return {**made, "type": [made["type"], "null"]}
    if isinstance(made.get("anyOf"), list):
        return {**made, "anyOf": [*made["anyOf"], {"type": "null"}]}
    return made


def _whole(value: Any) -> Any:
    """Read a number of the kind that Protocol Buffers write as text; it has 64 bits there."""
    short = isinstance(value, str) and len(value) < _DIGITS and value.isdecimal()
    return int(value) if short else value


def _each(value: Any) -> Any:
    return [json_schema(inner) for inner in value] if isinstance(value, list) else value


def _named(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: json_schema(inner) for name, inner in value.items()}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


_BACK: Final[Mapping[str, Callable[[Any], Any]]] = {
    "type": _lower,
    "properties": _named,
    "items": json_schema,
    "anyOf": _each,
    "maxProperties": _whole,
    **dict.fromkeys(_COUNTS, _whole),
}
