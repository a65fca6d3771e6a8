"""Rate windows: read from text, and never more than N sends in any stretch of their length."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.pool.windows import GUARD, RateWindow, SendLog, parse_rate_limits


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("", ()),
        ("  ", ()),
        ("5/10s", (RateWindow(5, 10),)),
        ("50/15s", (RateWindow(50, 15),)),
        (" 5 / 10 s , 50/15s", (RateWindow(5, 10), RateWindow(50, 15))),
        ("1/1m", (RateWindow(1, 60),)),
        ("100/1h", (RateWindow(100, 3600),)),
        ("100/h", (RateWindow(100, 3600),)),
        ("1/0.5s", (RateWindow(1, 0.5),)),
    ],
)
def test_rate_limits_are_read(text: str, windows: tuple[RateWindow, ...]) -> None:
    """Counts over seconds, minutes and hours, several separated by commas."""
    assert parse_rate_limits(text) == windows


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        ("5", "'5'", "COUNT/TIME"),
        ("5/10", "'5/10'", "COUNT/TIME"),
        ("five/10s", "'five/10s'", "COUNT/TIME"),
        ("5/10s,", "''", "COUNT/TIME"),
        ("5/10s;6/1m", "'5/10s;6/1m'", "COUNT/TIME"),
        ("5/10s, -1/1m", "'-1/1m'", "COUNT/TIME"),
        ("5/10d", "'5/10d'", "COUNT/TIME"),
        ("0/10s", "'0/10s'", "count"),
        ("9999999/1s", "'9999999/1s'", "count"),
        ("5/0s", "'5/0s'", "time"),
        ("5/745h", "'5/745h'", "time"),
    ],
)
def test_a_wrong_rate_limit_is_named(text: str, part: str, says: str) -> None:
    """The error repeats the part that is wrong and says what is expected."""
    with pytest.raises(ValueError) as caught:
        parse_rate_limits(text)
    assert part in str(caught.value)
    assert says in str(caught.value)


@given(st.text(alphabet="0123456789/smh ,.x", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in another way, and what is read prints back to itself."""
    try:
        windows = parse_rate_limits(text)
    except ValueError:
        return
    assert parse_rate_limits(", ".join(str(window) for window in windows)) == tuple(
        RateWindow(window.limit, float(f"{window.seconds:g}")) for window in windows
    )


def test_the_log_opens_when_the_oldest_send_is_out_of_the_window() -> None:
    """The sixth send of 5/10s waits for the first to be ten seconds old, not for a fixed grid."""
    log = SendLog(parse_rate_limits("5/10s"))
    for at in (0.0, 1.0, 2.0, 3.0, 9.0):
        assert log.opens_at() <= at
        log.take(at)
    assert log.opens_at() == pytest.approx(10 + GUARD)
    log.take(10.1)
    assert log.opens_at() == pytest.approx(11 + GUARD)


def test_several_windows_hold_together() -> None:
    """The window that opens last decides."""
    log = SendLog(parse_rate_limits("2/10s, 3/60s"))
    log.take(0.0)
    log.take(1.0)
    assert log.opens_at() == pytest.approx(10 + GUARD)
    log.take(20.0)
    assert log.opens_at() == pytest.approx(60 + GUARD)


def test_a_send_never_made_is_given_back() -> None:
    """What was counted and not sent does not hold up others."""
    log = SendLog(parse_rate_limits("1/10s"))
    log.take(5.0)
    log.give_back(5.0)
    assert log.opens_at() <= 5.0
    log.give_back(5.0)
    log.take(6.0)
    assert log.opens_at() == pytest.approx(16 + GUARD)


def test_a_late_send_counts_from_when_it_left() -> None:
    """A send that left three seconds after its grant keeps the window shut three seconds longer."""
    log = SendLog(parse_rate_limits("2/10s"))
    log.take(0.0)
    log.take(1.0)
    log.moved(0.0, 3.0)
    assert log.opens_at() == pytest.approx(11 + GUARD)
    log.take(11.5)
    assert log.opens_at() == pytest.approx(13 + GUARD)


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.floats(0.5, 30)).map(lambda w: RateWindow(*w)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.floats(0, 20), max_size=60),
)
def test_no_stretch_ever_holds_more_sends_than_a_window_allows(
    windows: list[RateWindow], gaps: list[float]
) -> None:
    """However requests arrive, sends taken as soon as the log opens never break any window."""
    log = SendLog(windows)
    sends: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        now = max(now, log.opens_at())
        log.take(now)
        sends.append(now)
    assert all(a <= b for a, b in pairwise(sends))
    for window in windows:
        for first, beyond in zip(sends, sends[window.limit :], strict=False):
            assert beyond - first >= window.seconds


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(1, 30)), min_size=1, max_size=1),
    st.lists(st.floats(0, 5), max_size=8),
    st.integers(0, 9),
)
def test_the_place_of_a_request_in_line_is_foretold(
    windows: list[tuple[int, float]], gaps: list[float], ahead: int
) -> None:
    """With one window, the foretold time is when that many others and then this one really go."""
    log = SendLog(RateWindow(*window) for window in windows)
    now = 0.0
    for gap in gaps:
        now = max(now + gap, log.opens_at())
        log.take(now)
    foretold = log.opens_after(ahead, now)
    at = now
    for _ in range(ahead + 1):
        at = max(at, log.opens_at())
        log.take(at)
    assert foretold == pytest.approx(at)
