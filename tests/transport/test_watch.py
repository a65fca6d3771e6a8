"""The one timer of all calls."""

from __future__ import annotations

import asyncio
import math

from chatgpt_to_api.transport.watch import APART, Watch
from support.calls import until


async def test_the_soonest_of_what_is_expected_counts() -> None:
    """Something due later does not put off what is due sooner; nothing due means no timer."""
    loop = asyncio.get_running_loop()
    looks: list[float] = []

    def sweep(now: float) -> float:
        looks.append(now)
        return math.inf

    watch = Watch(loop, sweep)
    start = loop.time()
    watch.expect(start + 60)
    watch.expect(start + 0.05)
    watch.expect(start + 30)
    assert watch.next_look == start + 0.05
    await until(lambda: looks != [])
    assert watch.next_look == math.inf


async def test_looks_are_apart() -> None:
    """However soon the next thing is due, there is some time between two looks."""
    loop = asyncio.get_running_loop()
    looks: list[float] = []

    def sweep(now: float) -> float:
        looks.append(now)
        return now if len(looks) < 4 else math.inf

    watch = Watch(loop, sweep)
    watch.expect(loop.time())
    await until(lambda: len(looks) == 4)
    assert looks[-1] - looks[0] >= 3 * APART * 0.8
    watch.stop()


async def test_a_stopped_watch_looks_no_more() -> None:
    """stop() takes the timer back."""
    loop = asyncio.get_running_loop()
    looks: list[float] = []
    watch = Watch(loop, lambda now: looks.append(now) or math.inf)  # type: ignore[func-returns-value]
    watch.expect(loop.time() + 0.03)
    watch.stop()
    ended = loop.create_future()
    loop.call_later(0.1, ended.set_result, None)
    await ended
    assert looks == []
