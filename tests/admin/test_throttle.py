"""Wrong passwords are slowed down per peer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.admin.throttle import (
    FORGET,
    LOCK_AFTER,
    LONGEST_HOLD,
    LONGEST_LOCK,
    MAX_PEERS,
    FailureThrottle,
)


def test_slips_are_free_then_answers_are_held_then_the_peer_is_shut_out() -> None:
    """The whole course: nothing, then doubling to two seconds, then half a minute and more."""
    throttle, now = FailureThrottle(), 0.0
    holds, waits = [], []
    for _ in range(12):
        holds.append(throttle.failed("1.2.3.4", now))
        waits.append(throttle.wait("1.2.3.4", now))
        now += waits[-1]
    assert holds == [0, 0, 0, 0.25, 0.5, 1, 2, 2, 2, 2, 2, 2]
    assert waits == [0, 0, 0, 0.25, 0.5, 1, 2, 2, 2, 30, 60, 120]


def test_no_second_try_while_an_answer_is_held_back() -> None:
    """Many tries at once do not outrun the delay."""
    throttle = FailureThrottle()
    for _ in range(4):
        throttle.failed("1.2.3.4", 0.0)
    assert throttle.wait("1.2.3.4", 0.1) == 0.15
    assert throttle.wait("1.2.3.4", 0.25) == 0.0


def test_other_peers_are_not_touched() -> None:
    """Another address waits for nobody's failures."""
    throttle = FailureThrottle()
    for _ in range(50):
        throttle.failed("1.2.3.4", 0.0)
    assert throttle.wait("1.2.3.5", 0.0) == 0.0
    assert throttle.failed("1.2.3.5", 0.0) == 0.0


def test_one_network_of_ipv6_is_one_peer() -> None:
    """A machine that changes its address inside its own network stays the same peer."""
    throttle = FailureThrottle()
    for n in range(LOCK_AFTER):
        throttle.failed(f"2001:db8::{n}", 0.0)
    assert throttle.wait("2001:db8::ffff", 0.0) > 0
    assert throttle.wait("2001:db8:0:1::1", 0.0) == 0.0
    assert throttle.wait("::ffff:1.2.3.4", 0.0) == 0.0


def test_success_and_quiet_time_forgive() -> None:
    """The right password clears the peer; so does a long quiet time after the last lock."""
    throttle = FailureThrottle()
    for _ in range(5):
        throttle.failed("a", 0.0)
    throttle.succeeded("a")
    throttle.succeeded("never seen")
    assert throttle.failed("a", 1.0) == 0.0
    for _ in range(8):
        throttle.failed("b", 0.0)
    assert throttle.failed("b", FORGET - 1) == LONGEST_HOLD
    assert throttle.failed("b", 3 * FORGET) == 0.0


def test_memory_is_bounded() -> None:
    """A flood of peers pushes out the one that failed longest ago, not the latest."""
    throttle = FailureThrottle()
    for _ in range(LOCK_AFTER):
        throttle.failed("first", 0.0)
    for n in range(MAX_PEERS - 1):
        throttle.failed(f"peer {n}", 0.0)
    assert throttle.wait("first", 0.0) > 0
    throttle.failed("one more", 0.0)
    assert throttle.wait("first", 0.0) == 0.0


@given(st.lists(st.floats(0, 100), max_size=30))
def test_no_peer_waits_longer_than_the_longest_lock(pauses: list[float]) -> None:
    """However often it fails, the wait stays bounded and never negative."""
    throttle, now = FailureThrottle(), 0.0
    for pause in pauses:
        now += pause
        throttle.failed("a", now)
        assert 0.0 <= throttle.wait("a", now) <= LONGEST_LOCK + 1e-6
