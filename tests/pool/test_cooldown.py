"""Cool-downs: ends that only move later, the cap, and doubling without a time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.pool.cooldown import CAP, UNTIMED, Cooldown


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 2000)), min_size=1))
def test_an_end_only_moves_later(cools: list[tuple[float, float]]) -> None:
    """Whatever faults come in whatever order, the end never comes nearer."""
    cooldown, now, ends = Cooldown(), 0.0, [-math.inf]
    for gap, seconds in cools:
        now += gap
        cooldown.cool(now, seconds, "429")
        ends.append(cooldown.until)
    assert ends == sorted(ends)


def test_the_longer_reason_stays() -> None:
    """The reason shown is the one of the fault that the end comes from."""
    cooldown = Cooldown()
    cooldown.cool(0, 100, "no quota")
    cooldown.cool(1, 5, "429")
    assert (cooldown.until, cooldown.reason) == (100, "no quota")


@pytest.mark.parametrize("seconds", [601, 86400.0, math.inf])
def test_a_cool_down_is_capped_at_ten_minutes(seconds: float) -> None:
    """Upstreams are wrong by days, so nothing is believed beyond the cap."""
    cooldown = Cooldown()
    cooldown.cool(50, seconds, "429")
    assert cooldown.until == 50 + CAP == 650


@pytest.mark.parametrize("seconds", [None, math.nan])
def test_a_cool_down_without_a_time_takes_ten_minutes(seconds: float | None) -> None:
    """A refusal that gives no time is not tried again soon."""
    cooldown = Cooldown()
    cooldown.cool(0, seconds, "403 banned")
    assert cooldown.until == UNTIMED


def test_a_negative_time_ends_at_once() -> None:
    """A date in the past leaves only a probe to make."""
    cooldown = Cooldown()
    cooldown.cool(7, -5, "429")
    assert cooldown.until == 7


def test_backoff_doubles_up_to_a_minute() -> None:
    """1, 2, 4 … 60, 60 seconds, one step per call that was let go after the last cool-down."""
    cooldown, now, waits = Cooldown(), 0.0, []
    for _ in range(9):
        granted = now
        now += 0.5
        cooldown.back_off(now, granted, "429", lambda: 0.0)
        waits.append(cooldown.until - now)
        now = cooldown.until
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_jitter_makes_it_longer_and_never_over_a_minute() -> None:
    """Credentials that failed together do not come back together, nor sooner than stated."""
    short, long = Cooldown(), Cooldown()
    short.back_off(0, -1, "429", lambda: 0.0)
    long.back_off(0, -1, "429", lambda: 1.0)
    assert (short.until, long.until) == (1, 1.25)
    for at in range(0, 1000, 100):
        long.back_off(at, at, "429", lambda: 1.0)
    assert long.until == 960


def test_calls_that_failed_together_make_one_step() -> None:
    """Twenty requests under way when the limit struck do not push the wait to a minute."""
    cooldown = Cooldown()
    for _ in range(20):
        cooldown.back_off(10, 5, "429", lambda: 0.0)
    assert cooldown.failures == 1
    assert cooldown.until == 11
