"""JSON Schemas as this dialect has them: what is said in another way, and what is left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.dialects.gemini.schema import json_schema, own_schema
from support.gemini.refusals import schema as check

STRING = {"type": "STRING"}


@pytest.mark.parametrize(
    ("given", "made", "dropped"),
    [
        ({"$schema": "x", "type": "string", "$id": "y"}, STRING, ()),
        ({"type": "string", "const": "a"}, {**STRING, "enum": ["a"]}, ()),
        ({"const": 5}, {"type": "INTEGER", "minimum": 5, "maximum": 5}, ()),
        ({"const": True, "type": "boolean"}, {"type": "BOOLEAN"}, ("const",)),
        ({"enum": [1, 2], "type": "integer"}, {"type": "INTEGER"}, ("enum",)),
        ({"enum": ["a", None]}, {**STRING, "enum": ["a"], "nullable": True}, ()),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "INTEGER", "minimum": 1}, ()),
        ({"type": "integer", "exclusiveMaximum": 9}, {"type": "INTEGER", "maximum": 8}, ()),
        (
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "NUMBER", "minimum": 0},
            ("exclusiveMinimum",),
        ),
        ({"type": ["string", "null"]}, {**STRING, "nullable": True}, ()),
        (
            {"type": ["string", "integer"], "minLength": 1, "description": "d"},
            {
                "description": "d",
                "anyOf": [{**STRING, "minLength": 1}, {"type": "INTEGER"}],
            },
            (),
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {**STRING, "nullable": True}, ()),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {"anyOf": [STRING, {"type": "INTEGER"}], "nullable": True},
            (),
        ),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 1},
            {"type": "ARRAY", "items": STRING, "minItems": 1},
            ("uniqueItems",),
        ),
        ({"type": "number", "multipleOf": 0.5}, {"type": "NUMBER"}, ("multipleOf",)),
        ({"type": "string", "format": "uuid"}, STRING, ("format",)),
        ({"type": "string", "format": "date-time"}, {**STRING, "format": "date-time"}, ()),
        ({"type": "integer", "format": "int64"}, {"type": "INTEGER", "format": "int64"}, ()),
        ({"type": "array"}, {"type": "ARRAY", "items": STRING}, ("items",)),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
            {"type": "OBJECT", "properties": {"a": STRING}, "required": ["a"]},
            ("required",),
        ),
        (
            {"type": "object", "additionalProperties": False, "patternProperties": {}},
            {"type": "OBJECT"},
            ("patternProperties",),
        ),
        ({"type": "object", "additionalProperties": True}, {"type": "OBJECT"}, ()),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "OBJECT"},
            ("additionalProperties",),
        ),
        (
            {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]},
            {"type": "OBJECT", "properties": {"a": STRING}},
            (),
        ),
    ],
)
def test_each_keyword_has_its_form_or_is_named(
    given: Any, made: Any, dropped: tuple[str, ...]
) -> None:
    """Trap 56: one keyword the server does not know refuses the whole request."""
    assert own_schema(given) == (made, dropped)


def test_references_are_written_out() -> None:
    """Trap 56: ``$ref`` to ``$defs``, also within what it leads to, with what stands beside it."""
    schema = {
        "type": "object",
        "properties": {"to": {"$ref": "#/$defs/Place", "description": "Where to."}},
        "$defs": {
            "Place": {"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}},
            "City": {"type": "string", "minLength": 1},
        },
    }
    assert own_schema(schema) == (
        {
            "type": "OBJECT",
            "properties": {
                "to": {
                    "type": "OBJECT",
                    "description": "Where to.",
                    "properties": {"city": {"type": "STRING", "minLength": 1}},
                }
            },
        },
        (),
    )


def test_a_schema_within_itself_ends() -> None:
    """A tree of nodes goes one node deep, and says so."""
    node = {"type": "object", "properties": {"next": {"$ref": "#"}, "value": {"type": "string"}}}
    made, dropped = own_schema(node)
    assert made["properties"]["next"]["properties"]["next"] == {"type": "OBJECT"}
    assert dropped == ("$ref",)


def test_a_schema_within_itself_by_all_of_ends() -> None:
    """``allOf`` is another way into oneself."""
    made, dropped = own_schema({"type": "array", "items": {"allOf": [{"$ref": "#"}]}})
    check(made, "made")
    assert "$ref" in dropped


def test_a_long_chain_of_references_is_cut() -> None:
    """Each definition leads to the next, deeper than anything should go."""
    definitions: dict[str, Any] = {
        f"d{n}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}}}
        for n in range(2000)
    }
    definitions["d2000"] = {"type": "string"}
    made, dropped = own_schema({"$ref": "#/$defs/d0", "$defs": definitions})
    assert dropped == ("$ref",)
    check(made, "made")


def test_references_that_multiply_are_bounded() -> None:
    """Twenty definitions, each twice the one before it, would be a million places."""
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, 21):
        pair = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"type": "object", "properties": {"a": pair, "b": pair}}
    made, dropped = own_schema({"$ref": "#/$defs/d20", "$defs": definitions})
    assert dropped == ("$ref",)
    check(made, "made")


WORD = st.sampled_from(["a", "b", "c"])
NUMBER = st.integers(-5, 5) | st.floats(-5, 5)
KEYWORDS: dict[str, Any] = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])
    | st.lists(st.sampled_from(["string", "object", "array", "null"]), max_size=3),
    "enum": st.lists(st.none() | st.booleans() | NUMBER | st.text(max_size=3), max_size=3),
    "const": st.none() | st.booleans() | NUMBER | st.text(max_size=3),
    "format": st.sampled_from(["date-time", "uuid", "int32", "email"]),
    "exclusiveMinimum": NUMBER | st.booleans(),
    "multipleOf": NUMBER,
    "uniqueItems": st.booleans(),
    "required": st.lists(WORD, max_size=2),
    "$ref": st.sampled_from(["#", "#/$defs/a", "#/nowhere", "http://x/y"]),
    "$schema": st.just("http://json-schema.org/draft-07/schema#"),
    "title": WORD,
    "minLength": st.integers(0, 3),
}


def _holding(inner: Any) -> Any:
    """Schemas with other schemas in them."""
    several = st.lists(inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            **KEYWORDS,
            "properties": st.dictionaries(WORD, inner, max_size=2),
            "items": inner,
            "anyOf": several,
            "oneOf": several,
            "allOf": several,
            "additionalProperties": inner,
            "not": inner,
            "$defs": st.dictionaries(WORD, inner, max_size=1),
        },
    )


SCHEMAS = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional=KEYWORDS), _holding, max_leaves=8
)


@settings(max_examples=150)
@given(schema=SCHEMAS.filter(lambda schema: isinstance(schema, dict)))
def test_whatever_a_client_sends_the_server_takes(schema: dict[str, Any]) -> None:
    """Trap 56: no schema, however odd, makes the server refuse the request."""
    made, dropped = own_schema(schema)
    check(made, "made")
    assert own_schema(schema) == (made, dropped)


def test_the_dialects_own_spelling_becomes_json_schema() -> None:
    """Both spellings of fields, numbers as text, the order of properties."""
    own = {
        "type": "OBJECT",
        "properties": {
            "b": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
            "a": {"type": "ARRAY", "min_items": "2", "items": {"any_of": [STRING]}},
        },
        "property_ordering": ["a", "b"],
        "example": {"a": []},
    }
    made = json_schema(own)
    assert made == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "minItems": 2, "items": {"anyOf": [{"type": "string"}]}},
            "b": {"type": ["string", "null"], "enum": ["x", None]},
        },
        "examples": [{"a": []}],
    }
    assert list(made["properties"]) == ["a", "b"]


@pytest.mark.parametrize(
    "odd",
    [
        {"required": [["a"], {}, "a"]},
        {"required": {"a": 1}},
        {"format": ["date-time"]},
        {"allOf": 5},
        {"allOf": {"a": {}}},
        {"allOf": [{"required": [["a"]]}, {"required": "a", "properties": {"a": {}}}]},
        {"properties": "a", "required": 7, "allOf": [{"properties": {}, "required": ["a"]}]},
        {"type": "integer", "exclusiveMinimum": 2**64 - 1},
    ],
)
def test_what_is_no_schema_at_all_is_converted_too(odd: dict[str, Any]) -> None:
    """Nobody has checked a client's schema: its lists may be numbers, its names may be lists."""
    made, _ = own_schema({"type": "object", "properties": {"a": {"type": "string"}}, **odd})
    msgspec.json.encode(made)


def test_the_dialects_own_spelling_may_be_odd_too() -> None:
    """Names that are none order nothing, and a number of many digits stays the text it is."""
    own = {
        "properties": {"b": {}, "a": {"maxItems": "9" * 5000}},
        "propertyOrdering": [["b"], {}, "a", None],
    }
    made = json_schema(own)
    assert list(made["properties"]) == ["a", "b"]
    assert made["properties"]["a"] == {"maxItems": "9" * 5000}
