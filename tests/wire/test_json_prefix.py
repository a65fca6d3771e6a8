"""Beginnings of JSON objects, told from what can never become one."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.json_prefix import ObjectPrefix
from support.json_values import JSON

OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)


def fed(pieces: list[str]) -> ObjectPrefix:
    prefix = ObjectPrefix()
    for piece in pieces:
        prefix.feed(piece)
    return prefix


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans(), st.data())
def test_every_beginning_of_an_object_is_one(
    value: dict[str, Any], indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    """However it is written and cut; it is whole at its end and not before."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    cuts = data.draw(st.sets(st.integers(0, len(text)), max_size=6))
    pieces = [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]
    prefix = ObjectPrefix()
    for piece in pieces:
        assert not (prefix.whole and piece)
        assert prefix.feed(piece)
    assert prefix.whole
    assert prefix.feed(" \n")
    assert not prefix.feed("{")


@given(OBJECTS, st.data())
def test_cutting_changes_nothing(value: dict[str, Any], data: st.DataObject) -> None:
    """What breaks in one piece breaks in many."""
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    wrong = text[:at] + data.draw(st.sampled_from(["{", "]", ",", ":", '"', "x", "}", "?"]))
    wrong += text[at:]
    assert fed([wrong]).broken == fed(list(wrong)).broken
    assert fed([wrong]).whole == fed(list(wrong)).whole


@pytest.mark.parametrize(
    "text",
    [
        "?{}",
        "[1]",
        '"{}"',
        "12",
        '{"a"{',
        '{"a":1}{',
        '{"a":1,}',
        "{,",
        '{"a":]',
        '{"a":[1,]',
        '{"a":01}',
        '{"a":tru}',
        "{a:1}",
        '{"a":1 2',
        '{"a":"\n',
        '{"a":{"b":1]',
    ],
)
def test_what_is_no_beginning_is_told(text: str) -> None:
    """Repeated pieces, other kinds of JSON, and what is none."""
    assert fed([text]).broken
    assert fed(list(text)).broken
