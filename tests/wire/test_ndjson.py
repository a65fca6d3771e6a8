"""JSON lines come out whole, however their bytes were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.ndjson import LineSplitter

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8))
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"])


def split(chunks: list[bytes], limit: int = 1000) -> tuple[list[bytes], bytes, bool]:
    splitter = LineSplitter(limit=limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines, splitter.eof(), splitter.overflow


@given(lines=LINES, end=ENDS, tail=st.text("ab ", max_size=3), data=st.data())
def test_any_chunking_gives_the_same_lines(
    lines: list[str], end: str, tail: str, data: st.DataObject
) -> None:
    """Cut anywhere, in the middle of a character too."""
    body = ("".join(line + end for line in lines) + tail).encode()
    cuts = data.draw(st.sets(st.integers(0, len(body)), max_size=6))
    chunks = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    limit = data.draw(st.sampled_from([3, 9, 1000]))
    assert split(chunks, limit) == split([bytes([byte]) for byte in body], limit)


def test_blank_lines_mean_nothing() -> None:
    """They are no lines; neither is a mark before the first one."""
    assert split([b'\xef\xbb\xbf{"a":1}\r\n\r\n \n{"b":2}']) == ([b'{"a":1}'], b'{"b":2}', False)


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "not ended"])
def test_a_line_that_is_too_long_ends_everything(end: bytes) -> None:
    """What came before it is given out, nothing after it is."""
    assert split([b"ok\n" + b"x" * 10 + end, b"more\n"], 9) == ([b"ok"], b"", True)
    assert split([b"ok\n" + b"x" * 9 + b"\n"], 9) == ([b"ok", b"x" * 9], b"", False)
