"""What choosing and returning cost does not depend on how many credentials there are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from chatgpt_to_api.errors import RateLimited
from support.pool_driver import Asking, Bench, limited, refused_token

FEW, MANY = 200, 20_000
SPARE = 100
"""Credentials that stay ready where the others do not."""


class Steps:
    """How many lines of code ran."""

    def __init__(self) -> None:
        self.lines = 0

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if "chatgpt_to_api" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
        return self.trace


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the lines of the product that run inside the block."""
    steps, before = Steps(), sys.gettrace()
    sys.settrace(steps.trace)
    try:
        yield steps
    finally:
        sys.settrace(before)


def all_ready(one: Bench, n: int) -> None:
    """Nothing but ready credentials."""


def most_cool_for_the_model(one: Bench, n: int) -> None:
    """All but some cool for the model asked for, and they are the least recently used."""
    held = [one.held("m") for _ in range(n)]
    for asking in held[: n - SPARE]:
        asking.lease.fault(limited(500))
    for asking in held:
        asking.leave()


def most_cool_for_another_model(one: Bench, n: int) -> None:
    """All but some cool for some other of ten models."""
    held = [one.held(f"other-{k % 10}") for k in range(n)]
    for asking in held[: n - SPARE]:
        asking.lease.fault(limited(500))
    for asking in held:
        asking.leave()


def most_cool_as_a_whole(one: Bench, n: int) -> None:
    """All but some cool for every model."""
    held = [one.held() for _ in range(n)]
    for asking in held[: n - SPARE]:
        asking.lease.fault(limited(500, only_model=False))
    for asking in held:
        asking.leave()


def most_are_invalid(one: Bench, n: int) -> None:
    """All but some were refused."""
    held = [one.held() for _ in range(n)]
    for asking in held[: n - SPARE]:
        asking.lease.fault(refused_token())
    for asking in held:
        asking.leave()


def use(one: Bench) -> None:
    """Requests with and without a conversation, a retry, a fault, and some at the same time."""
    for n in range(10):
        one.once("m")
        one.once("m", affinity=b"%d" % (n % 3))
        one.once("m", exclude={"0", str(SPARE)})
        one.fault(limited(0.5), "m")
    held: list[Asking] = [one.held("m") for _ in range(20)]
    for asking in held:
        asking.leave()
    one.clock.advance(1)
    one.once("m")


@pytest.mark.parametrize(
    "case",
    [
        all_ready,
        most_cool_for_the_model,
        most_cool_for_another_model,
        most_cool_as_a_whole,
        most_are_invalid,
    ],
)
def test_lending_costs_the_same_among_many(case: Callable[[Bench, int], None]) -> None:
    """A hundred times the credentials take the same steps, whatever state most of them are in.

    Counted in a second round: the first clears away what setting up left behind, once.
    """
    lines = []
    for n in (FEW, MANY):
        one = Bench([str(k) for k in range(n)])
        case(one, n)
        use(one)
        with counted() as steps:
            use(one)
        lines.append(steps.lines)
        one.clock.close()
    assert lines[0] > 1000
    assert lines[1] < 1.2 * lines[0]


def test_refusing_and_waiting_cost_the_same_among_many() -> None:
    """The soonest end, the message's numbers and joining the queue look at no single credential."""
    lines = []
    for n in (FEW, MANY):
        one = Bench([str(k) for k in range(n)])
        for k in range(n):
            if k == 0:
                one.pool.disable("up", "0")
            else:
                one.fault(limited(60 + k / n), "m")
        with counted() as steps:
            for _ in range(10):
                error = one.refusal("m", wait=30)
                assert isinstance(error, RateLimited)
                assert error.retry_after == 61
                one.ask("m", wait=100).cancel()
        lines.append(steps.lines)
        one.clock.close()
    assert lines[0] > 500
    assert lines[1] < 1.2 * lines[0]


def test_a_line_in_order_of_last_use_survives_its_tidying() -> None:
    """Old entries are cleared away now and then, and nobody loses their place."""
    one = Bench([str(n) for n in range(10)])
    for _ in range(500):
        assert one.once(affinity=b"talk") == "0"
    group = one.pool._upstreams["up"].shelf._open
    assert len(group._ready) + len(group._late) < 100
    assert [one.once() for _ in range(10)] == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]
    one.clock.close()


def test_alarms_of_credentials_that_cool_again_and_again_do_not_pile_up() -> None:
    """Many late faults of requests under way move ends; what is kept stays bounded."""
    one = Bench(["a", "b"], max_concurrency=None)
    held = [one.held("m") for _ in range(3000)]
    for n, asking in enumerate(held):
        asking.lease.fault(limited(100 + n / 10, only_model=n % 2 == 0))
    shelf = one.pool._upstreams["up"].shelf
    assert sum(len(limit.alarms) for limit in shelf._limits.values()) < 100
    assert sum(len(group.sleeping) for group in shelf._groups.values()) < 200
    for asking in held:
        asking.leave()
    one.clock.close()
