"""Coroutines run by hand: no task and no turn of the loop as long as they wait for nothing else.

Most requests wait for one thing only, the upstream's bytes, and whoever reads those can just as
well go on with the request at once. A task made for it, the future it waits for and the two turns
of the event loop would cost more than the rest of the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from types import coroutine
from typing import Any


class Pause:
    """One wait of one coroutine for what somebody tells by :meth:`end`.

    A coroutine that is run by hand goes on inside that call: make it the last thing you do. To a
    task this is a future like any other.
    """

    over = False
    work: Work | None = None
    """Whose coroutine waits, where that is run by hand."""
    _asyncio_future_blocking = False
    _wake: Callable[[], object] | None = None
    _cancelled = False

    def __await__(self) -> Generator[Pause, None, None]:
        if not self.over:
            self._asyncio_future_blocking = True
            yield self

    def end(self) -> None:
        """What was waited for is there; more than once does no harm."""
        if self.over:
            return
        self.over = True
        if self.work is not None:
            self.work.go_on()
        elif self._wake is not None:
            self._wake()

    # What a task asks of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the task that waits."""
        return asyncio.get_running_loop()

    def add_done_callback(
        self, wake: Callable[[Pause], object], *, context: Context | None = None
    ) -> None:
        """A task waits from now on."""
        self._wake = partial(asyncio.get_running_loop().call_soon, wake, self, context=context)
        if self.over:
            self._wake()

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # the task keeps the message
        """The waiting task is to be cancelled."""
        if self.over or self._wake is None:
            return False
        self._cancelled = self.over = True
        self._wake()
        return True

    def result(self) -> None:
        """What the task hears when it is woken."""
        if self._cancelled:
            raise asyncio.CancelledError


class Work:
    """One coroutine at work: by hand until it waits for anything but a ``Pause``, then as a task.

    ``tasks`` holds the task while there is one. Until then :func:`asyncio.current_task` says
    nothing about the coroutine: what cannot do without (``asyncio.timeout``, a task group) awaits
    :func:`in_task` first.
    """

    __slots__ = (
        "_cancelled",
        "_coroutine",
        "_loop",
        "_name",
        "_pause",
        "_task",
        "_tasks",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, None],
        name: str,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._loop = loop
        self._coroutine: Coroutine[Any, Any, None] | None = work
        self._name = name
        self._tasks = tasks
        self._pause: Pause | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    def go_on(self) -> None:
        """Run the coroutine up to its next wait."""
        work = self._coroutine
        assert work is not None
        self._pause = None
        try:
            waited = work.send(None)
        except (StopIteration, asyncio.CancelledError):
            self._coroutine = None
            return
        if type(waited) is Pause and not self._cancelled:
            self._pause = waited
            waited.work = self
        else:
            self._wait(work, waited)

    def cancel(self) -> None:
        """Raise CancelledError in the coroutine, at once where it waits by hand."""
        if self._task is not None:
            self._task.cancel()
        elif self._pause is None:
            self._cancelled = True  # it runs, and hears of it at its next wait, if there is one
        else:
            assert self._coroutine is not None
            self._throw(self._coroutine)

    def uncancel(self) -> None:
        """The coroutine has taken notice of its cancellation and goes on."""
        if self._task is not None:
            self._task.uncancel()

    def become_task(self) -> None:
        """Go on as a task, if that has not happened yet: the loop may be asked to wait for it."""
        if self._pause is not None:
            assert self._coroutine is not None
            self._pause.work = None
            self._hand_over(self._coroutine, self._pause)

    def _wait(self, work: Coroutine[Any, Any, None], waited: Any) -> None:
        if self._cancelled:
            self._cancelled = False
            self._throw(work)
        elif type(waited) is Pause:
            self._pause = waited
            waited.work = self
        else:
            self._hand_over(work, waited)

    def _throw(self, work: Coroutine[Any, Any, None]) -> None:
        if self._pause is not None:
            self._pause.work = None
            self._pause = None
        try:
            waited = work.throw(asyncio.CancelledError())
        except (StopIteration, asyncio.CancelledError):
            self._coroutine = None
            return
        self._wait(work, waited)

    def _hand_over(self, work: Coroutine[Any, Any, None], waited: Any) -> None:
        self._coroutine = self._pause = None
        rest = _rest(work, waited)
        rest.send(None)  # begun: a task cancelled before its first step would end without a word
        task = self._task = asyncio.Task(rest, loop=self._loop, name=self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def in_task() -> None:
    """Return in a task of the caller's own, whoever ran it up to now; takes a turn of the loop."""
    await asyncio.sleep(0)


async def _rest(work: Coroutine[Any, Any, None], waited: Any) -> None:
    """What is left of a coroutine that waits for ``waited`` already."""
    await _resumed(work, waited)


@coroutine
def _resumed(work: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    try:
        try:
            yield
        except BaseException as error:  # noqa: BLE001  # as below
            waited = work.throw(error)
        while True:
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001  # whatever the task throws in
                waited = work.throw(error)
            else:
                waited = work.send(None)
    except StopIteration:
        return
