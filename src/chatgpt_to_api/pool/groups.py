"""Credentials that are shut for the same models stand together, each group in order of last use.

A request for a model looks at the first of each group that is open for it, so choosing costs the
number of groups (one, as long as no limit holds for a single model only) and not of credentials.
Heaps hold old entries until they come up: an entry counts only while it says what its credential
does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from typing import Final

from chatgpt_to_api.pool.credential import Credential, Place

_READY = Place.READY
SLACK: Final = 64
"""Old entries a heap may hold besides as many as there are good ones."""

Alarm = tuple[float, int, Credential]
"""Loop time, a number that settles ties, whose it is."""


class Group:
    """Credentials with equal ``shut``. ``counts`` are by place.

    The line of ready ones is in order of last use. Nearly all join it at its end, because they have
    just been used; those that rested and come back further in front stand in the heap ``_late``.
    """

    __slots__ = ("_late", "_ready", "counts", "shut", "sleeping")

    def __init__(self, shut: frozenset[str]) -> None:
        self.shut = shut
        self.counts = [0, 0, 0, 0]
        self.sleeping: list[Alarm] = []
        self._ready: deque[tuple[int, Credential]] = deque()
        self._late: list[tuple[int, Credential]] = []

    def first(self, exclude: AbstractSet[str]) -> Credential | None:
        """The least recently used ready credential that is not excluded."""
        if self._late or exclude:
            return self._first_of_both(exclude)
        ready = self._ready
        while ready:
            used, credential = ready[0]
            if credential.used == used and credential.place is _READY and credential.group is self:
                return credential
            ready.popleft()
        return None

    def _first_of_both(self, exclude: AbstractSet[str]) -> Credential | None:
        ready, late = self._ready, self._late
        passed = []
        found = None
        while ready or late:
            from_late = not ready or (late and late[0][0] < ready[0][0])
            entry = late[0] if from_late else ready[0]
            if self._in_line(entry):
                if entry[1].id not in exclude:
                    found = entry[1]
                    break
                passed.append(entry)
            if from_late:
                heappop(late)
            else:
                ready.popleft()
        for entry in passed:
            heappush(late, entry)
        return found

    def _in_line(self, entry: tuple[int, Credential]) -> bool:
        used, credential = entry
        return credential.used == used and credential.place is _READY and credential.group is self

    def line_up(self, credential: Credential) -> None:
        """Put a ready credential in line by its last use."""
        ready, used = self._ready, credential.used
        if len(ready) == 1 and ready[0][1] is credential:
            ready[0] = (used, credential)  # an upstream's only key, which is always next
        elif not ready or ready[-1][0] < used:
            ready.append((used, credential))
        else:
            heappush(self._late, (used, credential))
        if len(ready) + len(self._late) > 2 * self.counts[_READY] + SLACK:
            self._tidy_line()

    def _tidy_line(self) -> None:
        # In place: somebody may be going through the line right now.
        entries = [entry for entry in (*self._ready, *self._late) if self._in_line(entry)]
        self._ready.clear()
        self._late.clear()
        self._ready.extend(sorted({entry[1]: entry for entry in entries}.values()))

    def lay_down(self, credential: Credential) -> None:
        """Put a cooling or paced credential where its waking time finds it."""
        heappush(self.sleeping, (credential.wake, credential.used, credential))
        sleeping = self.counts[Place.COOLING] + self.counts[Place.PACED]
        if len(self.sleeping) > 2 * sleeping + SLACK:
            tidy(self.sleeping, self.asleep)

    def asleep(self, alarm: Alarm) -> bool:
        """Whether an entry of ``sleeping`` still says the truth."""
        when, _, credential = alarm
        return (
            credential.wake == when
            and credential.group is self
            and credential.place in (Place.COOLING, Place.PACED)
        )


class ModelLimit:
    """Who cools for one model, by end; ``probing`` counts those being tried out."""

    __slots__ = ("alarms", "probing")

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.probing = 0


def tidy(heap: list[Alarm], holds: Callable[[Alarm], bool]) -> None:
    """Drop, in place, the alarms that hold no more, and all but one of each credential."""
    heap[:] = {alarm[2]: alarm for alarm in heap if holds(alarm)}.values()
    heapify(heap)


def soonest(
    heap: list[Alarm], holds: Callable[[Alarm], bool], exclude: AbstractSet[str]
) -> Alarm | None:
    """The first alarm that holds and is nobody excluded; those that hold no more are dropped."""
    passed: list[Alarm] = []
    found = None
    while heap:
        alarm = heap[0]
        if holds(alarm):
            if alarm[2].id not in exclude:
                found = alarm
                break
            passed.append(alarm)
        heappop(heap)
    for alarm in passed:
        heappush(heap, alarm)
    return found
