"""A JSON array in pieces: the same items, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.json_array import ArraySplitter

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ITEMS = st.lists(st.dictionaries(st.text(), VALUE, max_size=3) | st.lists(VALUE, max_size=3))
SPACE = st.sampled_from(["", "\n", "\r\n ", "\t"])


@given(items=ITEMS, before=SPACE, between=SPACE, after=SPACE, plain=st.booleans(), data=st.data())
def test_any_chunking_gives_the_same_items(
    items: list[object], before: str, between: str, after: str, plain: bool, data: st.DataObject
) -> None:
    """Trap 1: strings with brackets, quotes and backslashes in them, and characters cut in two."""
    shown = [json.dumps(item, ensure_ascii=plain).encode() for item in items]
    comma = f"{between},{between}".encode()
    whole = before.encode() + b"[" + between.encode() + comma.join(shown) + b"]" + after.encode()
    cuts = data.draw(st.sets(st.integers(0, len(whole))))
    splitter = ArraySplitter()
    found = [
        item
        for start, end in pairwise([0, *sorted(cuts), len(whole)])
        for item in splitter.feed(whole[start:end])
    ]
    assert found == shown
    assert splitter.done
    assert splitter.pending == 0


@pytest.mark.parametrize("bad", [b"{}", b"x", b'"[', b"[1", b"[{}x"])
def test_what_is_no_array_of_items_is_broken(bad: bytes) -> None:
    """Nothing is made of it, whole or in pieces."""
    whole, pieces = ArraySplitter(), ArraySplitter()
    whole.feed(bad)
    for at in range(len(bad)):
        pieces.feed(bad[at : at + 1])
    assert whole.broken
    assert pieces.broken


@pytest.mark.parametrize("step", [1, 7, 100])
def test_an_item_that_is_too_long_is_not_held(step: int) -> None:
    """Those before it are given out; however the bytes are cut."""
    body = b'[{"a":1},{"a":"%b"},{"a":2}]' % (b"x" * 50)
    splitter = ArraySplitter(limit=30)
    found = [i for at in range(0, len(body), step) for i in splitter.feed(body[at : at + step])]
    assert found == [b'{"a":1}']
    assert splitter.overflow
    assert splitter.pending == 0


def test_a_cut_array_is_not_done() -> None:
    """Its last item is missing, and so is its end."""
    splitter = ArraySplitter()
    assert splitter.feed(b'[{"a":1},{"a"') == [b'{"a":1}']
    assert not splitter.done
    assert splitter.pending > 0
