"""JSON as people write it by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.config.loose_json import NotJson, _Reader, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
)


@given(JSON, st.booleans())
def test_strict_json_means_the_same_to_the_loose_reader(value: object, pretty: bool) -> None:
    """Whatever strict JSON says without numbers, the loose reader reads alike."""
    text = json.dumps(value, indent=2 if pretty else None, ensure_ascii=pretty)
    assert _Reader(text).read() == value == read_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 'b', c: d}", {"a": "b", "c": "d"}),
        ("[1, two, 'th\\'ree',]", ["1", "two", "th'ree"]),
        ("[ # first\n a // second\n /* third */ b ]", ["a", "b"]),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": 1}\n{"a": 2}', [{"a": "1"}, {"a": "2"}]),
        ("[null, true, false]x", [[None, True, False], "x"]),
    ],
)
def test_careless_json_is_read(text: str, value: object) -> None:
    """Quotes, commas and comments as people write them; numbers stay text."""
    assert read_json(text) == value


@pytest.mark.parametrize(
    ("text", "line"), [("[", 1), ("[\n'a", 2), ("{\n\na b", 3), ("", 1), ("[/*", 1), ("{:1}", 1)]
)
def test_what_makes_no_sense_is_told_with_its_line(text: str, line: int) -> None:
    """The error names the line where it stopped."""
    with pytest.raises(NotJson, match=f"in line {line}$"):
        read_json(text)
