"""JSON mended as it comes: valid JSON is left alone, anything becomes JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.emulation.mender import JsonMender
from support.json_values import JSON


def mend(pieces: Iterable[str]) -> tuple[str, str]:
    """The mended value, and what is left behind it."""
    mender = JsonMender()
    out = rest = ""
    for piece in pieces:
        if mender.done:
            rest += piece
            continue
        mended, behind = mender.feed(piece)
        out, rest = out + mended, rest + behind
    return out + ("" if mender.done else mender.end()), rest


def cut(text: str, cuts: Iterable[int]) -> list[str]:
    places = sorted(place for place in cuts if place <= len(text))
    return [text[a:b] for a, b in pairwise([0, *places, len(text)])]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,}', {"a": 1}),
        ('{"a":[1,2,],,"b":3}', {"a": [1, 2], "b": 3}),
        ('{"a":1 "b":2}', {"a": 1, "b": 2}),
        ('{"a":{"b":[1,2}}', {"a": {"b": [1, 2]}}),
        ('{"a":{"b":[1', {"a": {"b": [1]}}),
        ('{"a"', {"a": None}),
        ('{"a":,"b":2}', {"a": None, "b": 2}),
        ("{'a': 'it's', b: True}", {"a": "it's", "b": True}),
        ('{"a": Paris}', {"a": "Paris"}),
        ('{"a": 007}', {"a": "007"}),
        ('{"a": NaN}', {"a": None}),
        ('{"a": "x\ny\t"}', {"a": "x\ny\t"}),
        (r'{"a": "C:\work\_x"}', {"a": r"C:\work\_x"}),
        (r'{"a": "it\'s"}', {"a": "it's"}),
        (r'{"a": "\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "x', {"a": "x"}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": 1</b>', {"a": 1}),
        ("", None),
    ],
)
def test_what_is_nearly_json_becomes_json(text: str, value: object) -> None:
    """What models do to JSON, and what they meant."""
    assert json.loads(mend([text])[0]) == value
    assert json.loads(mend(text)[0]) == value


def test_a_piece_leaves_as_soon_as_it_is_sure() -> None:
    """Only a comma, an escape and a word without quotes wait for what follows."""
    mender = JsonMender()
    assert mender.feed('{"a": "b') == ('{"a": "b', "")
    assert mender.feed('", ') == ('"', "")
    assert mender.feed('"c": 1') == (', "c": ', "")
    assert mender.feed("2}") == ("12}", "")
    assert mender.done


NESTED = JSON.filter(lambda value: isinstance(value, dict | list | str))
CUTS = st.sets(st.integers(0, 200), max_size=12)


@given(NESTED, st.sampled_from([None, 2]), st.booleans(), CUTS, st.text())
def test_valid_json_passes_byte_for_byte(
    value: object, indent: int | None, ascii_only: bool, cuts: set[int], behind: str
) -> None:
    """Whatever follows it is not touched."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert mend(cut(text + behind, cuts)) == (text, behind)


@given(st.text(alphabet="{}[]\",:'\\ \n<aT1u-dD8cC0.é😀", max_size=60), CUTS)
def test_anything_becomes_json_however_it_is_cut(text: str, cuts: set[int]) -> None:
    """Never an exception, never half a surrogate pair, and one meaning."""
    mended, rest = mend([text])
    assert mend(cut(text, cuts)) == (mended, rest)
    value = json.loads(mended, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    json.dumps(value, ensure_ascii=False).encode()


def test_brackets_that_close_nothing_cost_no_look_at_all_that_are_open() -> None:
    """A model that runs wild keeps nobody else waiting."""
    before = time.process_time()
    JsonMender().feed("[" * 30_000 + "}" * 30_000)
    assert time.process_time() - before < 2
