"""The work a schema makes: doubled by each reference, and bounded before it is done."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chatgpt_to_api.emulation.json_schema import Schema
from chatgpt_to_api.emulation.schema_work import can_explain
from chatgpt_to_api.errors import InvalidRequest

LEVELS = 26


def doubled(keyword: str, name: str, define: str = "") -> dict[str, Any]:
    """A schema in which each definition refers to the next one twice.

    ``name`` is how it refers to one, ``define`` the keyword that gives it that name.
    """
    parts: dict[str, Any] = {}
    for level in range(LEVELS):
        to = {"$ref": name.format(level + 1)}
        parts[f"d{level}"] = {keyword: [to, dict(to)]}
    parts[f"d{LEVELS}"] = {"type": "string"}
    if define:
        for own, part in parts.items():
            part[define] = own
    return {"$defs": parts, "allOf": [{"$ref": name.format(0)}]}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "prefixItems"])
def test_references_that_double_are_refused(keyword: str) -> None:
    """Fifty lines that would take a year."""
    with pytest.raises(InvalidRequest, match="references written out"):
        Schema(doubled(keyword, "#/$defs/d{}"))


@pytest.mark.parametrize(
    ("name", "define"),
    [("#d{}", "$anchor"), ("d{}", "$id"), ("http://a.example/x/d{}", "$id"), ("#%2F$defs/d{}", "")],
)
def test_so_are_those_that_lead_by_other_names(name: str, define: str) -> None:
    """Anchors, addresses, and what is escaped."""
    with pytest.raises(InvalidRequest, match="json_schema"):
        Schema(doubled("allOf", name, define))


def test_a_part_that_is_shared_and_one_within_itself_are_fine() -> None:
    """As types have them: nobody's real schema is refused."""
    item = {"$ref": "#/$defs/item"}
    schema = Schema(
        {
            "$defs": {
                "item": {
                    "type": "object",
                    "properties": {"left": item, "right": item, "name": {"type": "string"}},
                }
            },
            "properties": {f"p{n}": item for n in range(1000)},
        }
    )
    assert schema.problem({"p1": {"left": {"right": {"name": "x"}}}}) is None
    assert schema.problem({"p1": {"left": {"right": {"name": 1}}}}) == (
        "$.p1.left.right.name",
        '1 is not of type "string"',
    )


def union(kinds: int) -> dict[str, Any]:
    """Nodes of several kinds that hold each other, as program and page trees do."""
    nodes = [
        {
            "type": "object",
            "properties": {"kind": {"const": f"k{kind}"}, "child": {"$ref": "#/$defs/node"}},
            "required": ["kind"],
        }
        for kind in range(kinds)
    ]
    return {"$defs": {"node": {"anyOf": nodes}}, "$ref": "#/$defs/node"}


def nested(depth: int, leaf: Any) -> Any:
    """A tree of such nodes."""
    for _ in range(depth):
        leaf = {"kind": "k7", "child": leaf}
    return leaf


def test_what_does_not_fit_a_union_is_told_in_no_time() -> None:
    """All alternatives within alternatives were gone through: five levels of eight took minutes."""
    schema = Schema(union(8))
    assert schema.problem(nested(12, {"kind": "k0"})) is None
    before = time.process_time()
    assert schema.problem(nested(12, "bad")) == ("$", "it does not fit the schema")
    assert time.process_time() - before < 2


def test_why_is_told_where_it_is_little_work() -> None:
    """An alternative or two are what most schemas have."""
    problem = Schema(union(2)).problem(nested(2, "bad"))
    assert problem is not None
    assert "anyOf" in problem[1]


def test_a_long_answer_is_not_gone_through_for_each_of_its_faults() -> None:
    """Each would be told, though one is enough."""
    assert not can_explain({"items": {"type": "string"}}, [1] * 100_000)
    assert can_explain({"items": {"type": "string"}}, [1] * 10_000)
