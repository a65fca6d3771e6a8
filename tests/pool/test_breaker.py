"""The circuit breaker: shut after faults in a row, then one probe decides."""

from __future__ import annotations

from chatgpt_to_api.pool.breaker import Breaker


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker(5, 10.0)
    for _ in range(5):
        breaker.faulted(object(), now, "502")
    return breaker


def test_it_shuts_at_the_fifth_fault_in_a_row() -> None:
    """Four faults change nothing; the fifth keeps requests away for ten seconds."""
    breaker = Breaker(5, 10.0)
    assert [breaker.faulted(object(), 1.0, "502") for _ in range(5)] == [False] * 4 + [True]
    assert not breaker.admits(10.9)
    assert breaker.admits(11.0)
    assert breaker.reason == "5 faults in a row, last: 502"


def test_a_success_breaks_the_row() -> None:
    """Faults only count while nothing goes well in between."""
    breaker = Breaker(5, 10.0)
    for _ in range(4):
        breaker.faulted(object(), 0.0, "502")
    breaker.succeeded(object())
    assert [breaker.faulted(object(), 0.0, "502") for _ in range(4)] == [False] * 4


def test_one_probe_goes_after_the_time() -> None:
    """Half open means one request, until it has succeeded."""
    breaker, probe = tripped(), object()
    assert breaker.admits(10.0)
    breaker.probe = probe
    assert not breaker.admits(10.0)
    assert breaker.succeeded(probe)
    assert breaker.admits(10.0)
    assert not breaker.shut


def test_a_failed_probe_shuts_it_again() -> None:
    """The time runs anew from the probe's fault, with the probe's reason."""
    breaker, probe = tripped(), object()
    breaker.probe = probe
    assert breaker.faulted(probe, 12.0, "timeout")
    assert not breaker.admits(21.9)
    assert breaker.admits(22.0)
    assert breaker.reason == "timeout"


def test_a_probe_that_proves_nothing_leaves_it_half_open() -> None:
    """A client that hangs up on the probe does not keep the circuit shut."""
    breaker, probe = tripped(), object()
    breaker.probe = probe
    breaker.released(object())
    assert not breaker.admits(10.0)
    breaker.released(probe)
    assert breaker.admits(10.0)


def test_calls_from_before_say_nothing_about_it() -> None:
    """Neither late faults nor late successes of requests under way move a shut circuit."""
    breaker = tripped()
    assert not breaker.faulted(object(), 9.0, "502")
    assert breaker.until == 10.0
    assert not breaker.succeeded(object())
    assert breaker.shut


def test_a_cool_down_ends_later_only_and_within_the_cap() -> None:
    """A challenge page shuts it for its time; a shorter one later does not shorten that."""
    breaker = Breaker(5, 10.0)
    breaker.cool(0.0, 90.0, "challenge page")
    breaker.cool(1.0, 5.0, "429 of a proxy")
    assert (breaker.until, breaker.reason) == (90.0, "challenge page")
    breaker.cool(1.0, 1e9, "challenge page")
    assert breaker.until == 601.0
