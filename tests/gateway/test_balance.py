"""The strategies of routes: who comes first, how often, and that nobody comes twice."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.config.route_settings import Strategy
from chatgpt_to_api.gateway.balance import FADE, MOST_AVERAGES, Balance, Fork, Leg
from support.route_values import candidate

A, B, C = candidate("a"), candidate("b"), candidate("c")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def balance(loads: Mapping[str, float] | None = None, seed: int = 7) -> tuple[Balance, Clock]:
    clock = Clock()
    known = loads or {}
    rng = random.Random(seed)
    return Balance(lambda name, _: known.get(name, 0.0), clock, rng), clock


def fork(strategy: Strategy, *legs: Leg, weights: tuple[float, ...] = ()) -> Fork:
    return Fork(strategy, legs, weights or (1.0,) * len(legs))


def firsts(of: Balance, asked: Fork, times: int = 4000) -> Counter[str]:
    return Counter(of.order(asked, stream=True)[0].upstream.name for _ in range(times))


def names(of: Balance, asked: Fork) -> list[str]:
    return [c.upstream.name for c in of.order(asked, stream=True)]


def test_priority_keeps_the_order() -> None:
    """However busy or slow the first is."""
    of, _ = balance({"a": 99.0})
    of.latencies.note(A, 60, stream=True)
    assert names(of, fork("priority", A, B, C)) == ["a", "b", "c"]


def test_weights_are_shares_of_the_requests() -> None:
    """6 : 3 : 1, within what chance allows; all three are in every list."""
    of, _ = balance()
    asked = fork("weighted", A, B, C, weights=(6, 3, 1))
    counts = firsts(of, asked)
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        # Four standard deviations of a binomial distribution.
        assert abs(counts[name] / 4000 - share) < 4 * math.sqrt(share * (1 - share) / 4000)
    assert sorted(names(of, asked)) == ["a", "b", "c"]


def test_the_second_try_goes_by_weight_too() -> None:
    """When ``a`` has failed, b and c share what is left by 3 : 1."""
    of, _ = balance()
    asked = fork("weighted", A, B, C, weights=(1000, 3, 1))
    seconds = Counter(names(of, asked)[1] for _ in range(4000))
    assert abs(seconds["b"] / (seconds["b"] + seconds["c"]) - 0.75) < 0.03


def test_a_weight_of_nothing_is_a_last_resort() -> None:
    """Never first, never missing."""
    of, _ = balance()
    asked = fork("weighted", A, B, weights=(0, 1))
    assert all(names(of, asked) == ["b", "a"] for _ in range(200))
    assert names(of, fork("weighted", A, B, weights=(0, 0))) == ["a", "b"]


def test_the_least_busy_comes_first_and_equals_take_turns() -> None:
    """One that can take no request at all comes last."""
    of, _ = balance({"a": 2.0, "b": 0.5, "c": math.inf})
    assert names(of, fork("least_busy", C, A, B)) == ["b", "a", "c"]
    idle, _ = balance()
    assert set(firsts(idle, fork("least_busy", A, B, C), 200)) == {"a", "b", "c"}


def test_the_faster_of_two_comes_first() -> None:
    """With two candidates that is simply the faster one."""
    of, _ = balance()
    of.latencies.note(A, 2.0, stream=True)
    of.latencies.note(B, 0.2, stream=True)
    assert firsts(of, fork("lowest_latency", A, B), 100) == {"b": 100}


def test_the_slowest_of_three_is_never_first_and_the_fastest_not_always() -> None:
    """Two are drawn: the slowest loses to either, the fastest is left out a third of the time."""
    of, _ = balance()
    for one, seconds in ((A, 1.0), (B, 2.0), (C, 3.0)):
        of.latencies.note(one, seconds, stream=True)
    counts = firsts(of, fork("lowest_latency", A, B, C))
    assert counts["c"] == 0
    assert abs(counts["a"] / 4000 - 2 / 3) < 0.03
    assert names(of, fork("lowest_latency", A, B, C))[1:] in (["b", "c"], ["a", "c"])


def test_one_that_cannot_be_asked_is_never_the_faster_of_two() -> None:
    """Out of service, it only ever stands at the end."""
    of, _ = balance({"a": math.inf})
    of.latencies.note(B, 5.0, stream=True)
    assert all(names(of, fork("lowest_latency", A, B))[0] == "b" for _ in range(50))


def test_averages_move_fade_and_are_kept_apart() -> None:
    """The newest counts most; what nobody renews is forgotten; streams are no whole answers."""
    of, clock = balance()
    of.latencies.note(A, 1.0, stream=True)
    of.latencies.note(A, 2.0, stream=True)
    assert of.latencies.of(A, stream=True) == pytest.approx(1.3)
    assert of.latencies.of(A, stream=False) == 0.0
    assert of.latencies.of(candidate("a", "other"), stream=True) == 0.0
    clock.time += FADE
    assert of.latencies.of(A, stream=True) == pytest.approx(1.3 / math.e)


def test_a_slow_one_is_tried_again_when_its_average_has_faded() -> None:
    """It would never get the chance to show that it became fast."""
    of, clock = balance()
    of.latencies.note(A, 10.0, stream=True)
    asked = fork("lowest_latency", A, B)
    for _ in range(7):
        of.latencies.note(B, 1.0, stream=True)
        assert names(of, asked)[0] == "b"
        clock.time += FADE / 3
    of.latencies.note(B, 1.0, stream=True)
    assert names(of, asked)[0] == "a"


def test_failing_fast_is_not_being_fast() -> None:
    """A fault counts as slow, and more of them as slower."""
    of, _ = balance()
    of.latencies.note(B, 0.5, stream=True)
    of.latencies.note_fault(A, stream=True)
    assert firsts(of, fork("lowest_latency", A, B), 50) == {"b": 50}
    once = of.latencies.of(A, stream=True)
    of.latencies.note_fault(A, stream=True)
    assert of.latencies.of(A, stream=True) == 2 * once


def test_a_route_within_a_route_is_ordered_by_its_own_rule() -> None:
    """Inside it stands together; outside it counts as its best end."""
    of, _ = balance({"a": 3.0, "b": 1.0, "c": 2.0})
    inner = fork("least_busy", A, B)
    assert names(of, fork("priority", inner, C)) == ["b", "a", "c"]
    assert names(of, fork("least_busy", C, inner)) == ["b", "a", "c"]


def test_averages_are_bounded() -> None:
    """Names come from callers."""
    of, _ = balance()
    for number in range(5000):
        of.latencies.note(candidate("a", f"m{number}"), 1.0, stream=True)
    assert len(of.latencies._averages) <= 4096


LEAVES = st.sampled_from([A, B, C, candidate("a", "x"), candidate("b")])
STRATEGIES = st.sampled_from(["priority", "weighted", "least_busy", "lowest_latency"])


def forks(inner: st.SearchStrategy[Leg]) -> st.SearchStrategy[Leg]:
    def build(strategy: Strategy, legs: list[tuple[Leg, float]]) -> Fork:
        return Fork(strategy, tuple(leg for leg, _ in legs), tuple(w for _, w in legs))

    legs = st.lists(st.tuples(inner, st.sampled_from([0.0, 0.5, 3.0])), min_size=1, max_size=4)
    return st.builds(build, STRATEGIES, legs)


@given(
    forks(st.recursive(LEAVES, forks, max_leaves=8)),
    st.integers(0, 99),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.0, 1.0, math.inf])),
)
def test_a_try_list_is_a_set_and_leaves_nobody_out(
    asked: Fork, seed: int, loads: dict[str, float]
) -> None:
    """Whatever the rules inside each other: every end once, and only those."""
    of, _ = balance(loads, seed)
    of.latencies.note(A, 1.0, stream=False)
    found = [c.key for c in of.order(asked, stream=False)]
    assert len(found) == len(set(found))
    assert set(found) == ends(asked)


def ends(leg: Leg) -> set[tuple[str, str]]:
    if isinstance(leg, Fork):
        return set().union(*(ends(inner) for inner in leg.legs))
    return {leg.key}


def test_names_that_callers_choose_are_not_remembered_for_ever() -> None:
    """Neither of answers nor of faults: the one that was renewed longest ago makes room."""
    of, _ = balance()
    models = [candidate("a", f"m{n}") for n in range(MOST_AVERAGES + 1)]
    for model in models:
        of.latencies.note_fault(model, stream=True)
    assert of.latencies.of(models[0], stream=True) == 0
    assert of.latencies.of(models[1], stream=True) > 0
    of.latencies.note(models[0], 1.0, stream=True)
    assert of.latencies.of(models[1], stream=True) == 0
