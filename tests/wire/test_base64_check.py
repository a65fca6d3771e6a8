"""What is wrong with base64 and data URLs, told without decoding them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.base64_check import base64_problem, data_url_problem


@given(data=st.binary(min_size=1, max_size=99))
def test_what_is_encoded_well_has_no_problem(data: bytes) -> None:
    """Padded or not, with line ends or without."""
    encoded = base64.b64encode(data).decode()
    assert base64_problem(encoded) is None
    assert base64_problem(encoded.rstrip("=")) is None
    assert base64_problem(base64.encodebytes(data).decode()) is None
    assert data_url_problem(f"data:image/png;charset=x;base64,{encoded}") is None


@given(text=st.text("AB+/=-_ é\n", max_size=12))
def test_what_passes_can_be_decoded(text: str) -> None:
    """Whatever has no problem is base64 to a strict decoder, once its padding is there."""
    if base64_problem(text) is None:
        joined = text.replace("\n", "").replace("\r", "").rstrip("=")
        base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "empty string"),
        ("AAAAA", "5 characters cannot be the whole"),
        ("AA-A", "'-' at byte 2"),
        ("A===", "'=' at byte 1"),
        ("AA=A", "'=' at byte 2"),
        ("AAé=", "'�' at byte 2"),
    ],
)
def test_a_problem_says_what_and_where(data: str, words: str) -> None:
    """The character at fault and its place, or that the length cannot be."""
    assert words in (base64_problem(data) or "")


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png;base64", "data:;;,AA", "data:a/b;base64,"]
)
def test_a_data_url_needs_its_parts(url: str) -> None:
    """A comma ends the head, and something follows it."""
    assert data_url_problem(url) is not None


def test_a_data_url_without_base64_holds_anything() -> None:
    """Percent-encoded text is the reader's business."""
    assert data_url_problem("data:text/plain,hi%20there") is None
