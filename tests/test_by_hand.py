"""A coroutine run by hand does what it would do as a task, in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.by_hand import Pause, Work, in_task

Step: TypeAlias = Literal["pause", "ended pause", "future", "turn", "tidy"]


class Play:
    """A coroutine that waits in each of some ways in turn, and notes how it fared.

    Cancelled, it goes through ``after`` before it ends: by that, or well if it ``swallows`` it.
    """

    def __init__(
        self, steps: Sequence[Step], after: Sequence[Step], *, swallows: bool, fails: bool
    ) -> None:
        self.steps = steps
        self.after = after
        self.swallows = swallows
        self.fails = fails
        self.told: list[str] = []
        self.waits: Pause | asyncio.Future[None] | None = None

    async def __call__(self) -> None:
        try:
            await self._go(self.steps)
            if self.fails:
                self.told.append("failed")
                raise LookupError
        except asyncio.CancelledError:
            self.told.append("cancelled")
            await self._go(self.after)
            if not self.swallows:
                raise
        finally:
            self.told.append("ended")

    async def _go(self, steps: Sequence[Step]) -> None:
        loop = asyncio.get_running_loop()
        for step in steps:
            self.told.append(step)
            if step == "turn":
                await asyncio.sleep(0)
            elif step == "tidy":
                await asyncio.shield(asyncio.sleep(0))
            else:
                waits = loop.create_future() if step == "future" else Pause()
                if step == "ended pause":
                    assert isinstance(waits, Pause)
                    waits.end()
                else:
                    self.waits = waits
                await waits

    def go_on(self) -> None:
        """End the wait that runs."""
        waits, self.waits = self.waits, None
        if isinstance(waits, Pause):
            waits.end()
            waits.end()  # again does no harm
        elif waits is not None and not waits.done():
            waits.set_result(None)


class ByHand:
    """Runs a play by hand; and what stands for it afterwards."""

    def __init__(self, play: Play) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.error: BaseException | None = None
        self.work = Work(asyncio.get_running_loop(), self._watched(play()), "play", self.tasks)
        self.work.go_on()

    async def _watched(self, play: Coroutine[Any, Any, None]) -> None:
        try:
            await play
        except LookupError as error:
            self.error = error

    async def end(self) -> type[BaseException] | None:
        for task in list(self.tasks):
            await asyncio.wait([task])
        return type(self.error) if self.error is not None else None


class AsTask:
    """Runs a play as a task."""

    def __init__(self, play: Play) -> None:
        self.work = asyncio.ensure_future(play())

    async def end(self) -> type[BaseException] | None:
        await asyncio.wait([self.work])
        if self.work.cancelled():
            return None
        error = self.work.exception()
        return type(error) if error is not None else None


async def story(
    kind: type[ByHand | AsTask], play: Play, cancel_at: Sequence[int], task_at: int
) -> tuple[object, ...]:
    """Run a play to its end: who waits goes on after a moment, or is cancelled instead."""
    runs = kind(play)
    await rest()
    for moment in range(len(play.steps) + 2 * len(play.after) + 2):
        if moment == task_at and isinstance(runs, ByHand):
            runs.work.become_task()
        if moment in cancel_at:
            runs.work.cancel()
        else:
            play.go_on()
        await rest()
    play.go_on()
    return await runs.end(), play.told


async def rest() -> None:
    for _ in range(30):  # more than any number of waits that end by themselves
        await asyncio.sleep(0)


STEPS = st.lists(st.sampled_from(get_args(Step)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(
    steps=STEPS,
    after=STEPS,
    swallows=st.booleans(),
    fails=st.booleans(),
    cancel_at=st.sets(st.integers(0, 6), max_size=2),
    task_at=st.integers(0, 20),
)
def test_by_hand_is_as_a_task(
    steps: list[Step],
    after: list[Step],
    swallows: bool,
    fails: bool,
    cancel_at: set[int],
    task_at: int,
) -> None:
    """The same waits, ends and errors in order, cancelled at any moment, or made a task."""

    async def both() -> None:
        plays = [Play(steps, after, swallows=swallows, fails=fails) for _ in range(2)]
        cancels = sorted(cancel_at)
        by_hand = await story(ByHand, plays[0], cancels, task_at)
        assert by_hand == await story(AsTask, plays[1], cancels, task_at)

    asyncio.run(both())


def name() -> str:
    """The name of the task that runs."""
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


@asynccontextmanager
async def paused(
    tasks: set[asyncio.Task[None]], told: list[str]
) -> AsyncIterator[tuple[Work, Pause]]:
    """A coroutine by hand that waits on a pause."""
    loop = asyncio.get_running_loop()
    pause = Pause()

    async def wait() -> None:
        told.append(name())
        await pause
        told.append(name())

    work = Work(loop, wait(), "its own", tasks)
    work.go_on()
    yield work, pause


async def test_it_goes_on_inside_the_call_that_ends_its_pause() -> None:
    """No turn of the loop, no task."""
    tasks: set[asyncio.Task[None]] = set()
    told: list[str] = []
    async with paused(tasks, told) as (_, pause):
        assert told == [name()]
        pause.end()
        assert told == [name(), name()]
        assert not tasks


async def test_one_made_a_task_goes_on_as_one_and_leaves_nothing() -> None:
    """A pause that ended before the task looked is not lost."""
    tasks: set[asyncio.Task[None]] = set()
    told: list[str] = []
    async with paused(tasks, told) as (work, pause):
        work.become_task()
        work.become_task()
        (task,) = tasks
        pause.end()
        await task
        assert told == [name(), "its own"]
        await rest()
        assert not tasks


async def test_one_cancelled_while_it_runs_hears_of_it_at_its_next_wait() -> None:
    """As a task does: not in the middle of what it is doing."""
    loop = asyncio.get_running_loop()
    told: list[str] = []

    async def cancels_itself() -> None:
        work.cancel()
        told.append("still here")
        try:
            await Pause()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    work = Work(loop, cancels_itself(), "", set())
    work.go_on()
    assert told == ["still here", "cancelled"]
    work.cancel()  # over: nothing happens


async def test_what_needs_a_task_gets_one() -> None:
    """``in_task`` makes the coroutine a task of its own, where it is not one already."""
    tasks: set[asyncio.Task[None]] = set()
    told: list[str] = []

    async def needs_one() -> None:
        await in_task()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        told.append(name())

    Work(asyncio.get_running_loop(), needs_one(), "its own", tasks).go_on()
    (task,) = tasks
    await task
    await asyncio.create_task(needs_one(), name="as it is")
    assert told == ["its own", "as it is"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_failure_reaches_whoever_ran_it(waits: bool) -> None:
    """By hand there is nobody else: it comes out of the call that let it go on."""
    pause = Pause()

    async def fails() -> None:
        if waits:
            await pause
        raise LookupError

    work = Work(asyncio.get_running_loop(), fails(), "", set())
    if waits:
        work.go_on()
    with pytest.raises(LookupError):
        (pause.end if waits else work.go_on)()
