from __future__ import annotations

import pytest

from chatgpt_to_api.config.rates import parse_rate_limit


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/10s", (5, 10.0)),
        (" 50 / 15s ", (50, 15.0)),
        ("3/0.5s", (3, 0.5)),
        ("7/s", (7, 1.0)),
        ("100/2m", (100, 120.0)),
        ("1/1h", (1, 3600.0)),
        ("1000/1d", (1000, 86400.0)),
    ],
)
def test_a_rate_is_a_count_and_a_length(text: str, rate: tuple[int, float]) -> None:
    """The forms the guide shows, and the units beside them."""
    assert parse_rate_limit(text) == rate


@pytest.mark.parametrize("text", ["", "5", "5/10", "0/10s", "5/0s", "-5/10s", "5/10x", "5/1e3s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """The error shows how a rate is written."""
    with pytest.raises(ValueError, match="5/10s"):
        parse_rate_limit(text)
