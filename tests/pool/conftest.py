"""A fresh bench for each test that wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.pool_driver import Bench


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Make benches; their clocks are closed afterwards."""
    made: list[Bench] = []

    def make(*args: Any, **rules: Any) -> Bench:
        made.append(Bench(*args, **rules))
        return made[-1]

    yield make
    for one in made:
        one.clock.close()
