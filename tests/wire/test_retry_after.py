"""Times to wait, in the forms headers and error texts give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.retry_after import parse_duration, parse_retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("Tue Nov 14 22:14:20 2023", 60),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
    ],
)
def test_seconds_and_each_http_date_form_are_understood(value: str, seconds: float) -> None:
    """Delta-seconds and the three date forms of RFC 9110 give seconds, never negative."""
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("value", ["", "-1", "soon", "1e3", "nan", "inf", "9" * 400, "14 Foo 2023"])
def test_anything_else_is_a_value_error(value: str) -> None:
    """The caller is told that there is no time, rather than given a wrong one."""
    with pytest.raises(ValueError, match=r"neither|date"):
        parse_retry_after(value, NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20),
        ("1.5s", 1.5),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("1d", 86400),
        ("2 Minutes", 120),
        ("100 milliseconds", 0.1),
        ("1 hour 30 min", 5400),
    ],
)
def test_durations_of_reset_headers_and_error_texts(value: str, seconds: float) -> None:
    """Units may be short or spelled out, and several may follow each other."""
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "s", "soon", "1 maybe", "5 months", "-3s", "1s and a bit"])
def test_no_duration_is_a_value_error(value: str) -> None:
    """A word that only begins like a unit is not taken for one."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(value)


@given(st.text())
def test_random_text_never_raises_anything_else(value: str) -> None:
    """Headers are the upstream's: whatever they hold, the answer is a number or ValueError."""
    for parse in (lambda text: parse_retry_after(text, NOW), parse_duration):
        try:
            assert parse(value) >= 0
        except ValueError:
            pass
