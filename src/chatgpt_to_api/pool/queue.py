"""Requests that wait: fair between clients, first come first served inside one, bounded.

Fair means turn about (start-time fair queueing): every client has a tag, the turn it may have next.
Being served moves its tag on by one; who comes anew starts at the current turn. Waiters that want
the same (one model from one shelf) form a demand; a demand nobody can meet holds up no other.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final, TypeVar

from chatgpt_to_api.errors import GatewayError

if TYPE_CHECKING:
    from chatgpt_to_api.pool.lease import Lease
    from chatgpt_to_api.pool.shelf import Shelf

T = TypeVar("T")

SLACK: Final = 64
"""Old entries a heap may hold besides as many as there are good ones."""

MANY_CLIENTS: Final = 1024
"""From this many on, clients are forgotten whose turn has passed."""


class Waiter:
    """One waiting request. ``future`` is done when it was served, refused or cancelled.

    ``number`` is its place in order of arrival. ``gone``: it waits no more. An error is left in
    ``refusal`` and not in the future, so that one nobody fetches is no complaint of the event loop.
    """

    __slots__ = ("deadline", "future", "gone", "lane", "lease", "number", "refusal", "resuming")

    def __init__(
        self, lease: Lease, future: asyncio.Future[None], deadline: float, number: int
    ) -> None:
        self.lease = lease
        self.future = future
        self.deadline = deadline
        self.number = number
        self.resuming = lease.held  # it has its credential and waits for a further send
        self.gone = False
        self.refusal: GatewayError | None = None
        self.lane: Lane | None = None

    def wake(self, refusal: GatewayError | None = None) -> None:
        """Let the request go on, served or refused."""
        self.refusal = refusal
        if not self.future.done():
            self.future.set_result(None)


class Client:
    """One client's turn. ``waiting`` counts its waiters over all demands."""

    __slots__ = ("id", "tag", "waiting")

    def __init__(self, id: str, tag: int) -> None:
        self.id = id
        self.tag = tag
        self.waiting = 0


class Lane:
    """The waiters of one client with one demand, oldest first; never empty while in its demand."""

    __slots__ = ("client", "demand", "waiters")

    def __init__(self, client: Client, demand: Demand) -> None:
        self.client = client
        self.demand = demand
        self.waiters: OrderedDict[int, Waiter] = OrderedDict()

    def turn(self) -> tuple[int, int]:
        """What lanes are ordered by: the client's tag, then who came first."""
        return self.client.tag, next(iter(self.waiters))


class Demand:
    """Waiters for one model from one shelf. ``excluding``: how many of them exclude credentials."""

    __slots__ = ("_heap", "_lanes", "excluding", "model", "shelf")

    def __init__(self, shelf: Shelf, model: str) -> None:
        self.shelf = shelf
        self.model = model
        self.excluding = 0
        self._lanes: dict[str, Lane] = {}
        self._heap: list[tuple[int, int, Lane]] = []

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[Waiter]:
        for lane in self._lanes.values():
            yield from lane.waiters.values()

    def add(self, waiter: Waiter, client: Client) -> None:
        """Put a waiter at the end of its client's lane."""
        lane = self._lanes.get(client.id)
        if lane is None:
            lane = self._lanes[client.id] = Lane(client, self)
            lane.waiters[waiter.number] = waiter
            heappush(self._heap, (*lane.turn(), lane))
        else:
            lane.waiters[waiter.number] = waiter
        waiter.lane = lane
        self.excluding += bool(waiter.lease.ask.exclude)

    def remove(self, waiter: Waiter, lane: Lane) -> None:
        """Take a waiter out of its lane, wherever in it it stands."""
        del lane.waiters[waiter.number]
        waiter.lane = None
        self.excluding -= bool(waiter.lease.ask.exclude)
        if not lane.waiters:
            del self._lanes[lane.client.id]
            if len(self._heap) > 2 * len(self._lanes) + SLACK:
                self._heap = [(*lane.turn(), lane) for lane in self._lanes.values()]
                heapify(self._heap)

    def turn(self) -> tuple[int, int]:
        """The turn of whoever comes next; there is somebody."""
        return self._front()[:2]

    def first(self, fits: Callable[[Waiter], T | None]) -> tuple[Waiter, T] | None:
        """The first waiter in fair order that ``fits`` gives something for."""
        passed: list[tuple[int, int, Lane]] = []
        try:
            while len(passed) < len(self._lanes):
                for waiter in self._front()[2].waiters.values():
                    found = fits(waiter)
                    if found is not None:
                        return waiter, found
                passed.append(heappop(self._heap))
            return None
        finally:
            for entry in passed:
                heappush(self._heap, entry)

    def _front(self) -> tuple[int, int, Lane]:
        # Turns only move on, so an old entry stands too far in front and never too far back.
        heap = self._heap
        while True:
            tag, number, lane = heap[0]
            if not lane.waiters:
                heappop(heap)
            elif (tag, number) != lane.turn():
                heapreplace(heap, (*lane.turn(), lane))
            else:
                return heap[0]


class FairQueue:
    """All requests that wait for a credential of one upstream."""

    __slots__ = ("_clients", "_demands", "_turn", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self._clients: dict[str, Client] = {}
        self._demands: dict[Shelf, dict[str, Demand]] = {}
        self._turn = 0

    def join(self, waiter: Waiter, shelf: Shelf) -> None:
        """Add a request at the end of its client's line; the caller has seen to the bound."""
        ask = waiter.lease.ask
        client = self._clients.get(ask.client)
        if client is None:
            if len(self._clients) >= MANY_CLIENTS:
                self._forget_clients()
            client = self._clients[ask.client] = Client(ask.client, self._turn)
        elif not client.waiting:
            client.tag = max(client.tag, self._turn)
        client.waiting += 1
        self.waiting += 1
        demands = self._demands.setdefault(shelf, {})
        demand = demands.get(ask.model)
        if demand is None:
            demand = demands[ask.model] = Demand(shelf, ask.model)
        demand.add(waiter, client)

    def leave(self, waiter: Waiter) -> None:
        """Take a request out, served or not; nothing happens if it is out already."""
        lane = waiter.lane
        if lane is None:
            return
        demand, client = lane.demand, lane.client
        demand.remove(waiter, lane)
        if not demand:
            demands = self._demands[demand.shelf]
            del demands[demand.model]
            if not demands:
                del self._demands[demand.shelf]
        client.waiting -= 1
        self.waiting -= 1
        if not self.waiting:
            self._clients.clear()
            self._turn = 0

    def serve(self, waiter: Waiter) -> None:
        """Take a request out because it is its turn."""
        assert waiter.lane is not None
        client = waiter.lane.client
        self._turn = max(self._turn, client.tag)
        client.tag = self._turn + 1
        self.leave(waiter)

    def next(
        self,
        shelves: Iterable[Shelf],
        available: Callable[[Demand], bool],
        fits: Callable[[Waiter], T | None],
    ) -> tuple[Waiter, T] | None:
        """The request whose turn it is among those that want something of ``shelves`` now there.

        ``available`` says whether a demand can be met at all, ``fits`` with what a waiter is.
        """
        ready = [
            demand
            for shelf in shelves
            for demand in self._demands.get(shelf, {}).values()
            if available(demand)
        ]
        if len(ready) > 1:
            ready.sort(key=Demand.turn)
        for demand in ready:
            found = demand.first(fits)
            if found is not None:
                return found
        return None

    def shelves(self) -> list[Shelf]:
        """The shelves somebody waits for."""
        return list(self._demands)

    def demands(self, shelf: Shelf) -> list[Demand]:
        """What is wanted of one shelf."""
        return list(self._demands.get(shelf, {}).values())

    def everyone(self) -> list[Waiter]:
        """All that wait, in no order that means anything."""
        return [w for demands in self._demands.values() for d in demands.values() for w in d]

    def crowded_out(self, client: str) -> Waiter | None:
        """Who gives way when ``client`` wants a place and all are taken; None: nobody, it does.

        The newest of whoever waits with the most requests, so that one client that fills the queue
        does not keep the others out of it.
        """
        mine = self._clients.get(client)
        most = max(self._clients.values(), key=lambda c: c.waiting, default=None)
        if most is None or most.waiting <= (mine.waiting if mine is not None else 0) + 1:
            return None
        return max(
            (w for w in self.everyone() if w.lease.ask.client == most.id),
            key=lambda waiter: waiter.number,
        )

    def _forget_clients(self) -> None:
        self._clients = {
            id: client
            for id, client in self._clients.items()
            if client.waiting or client.tag > self._turn
        }


class Deadlines:
    """Who gives up next. Entries of those who wait no more go when they come up or pile up."""

    __slots__ = ("_heap", "_waiting")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiter]] = []
        self._waiting = 0

    def add(self, waiter: Waiter) -> None:
        """Watch one more waiter."""
        self._waiting += 1
        heappush(self._heap, (waiter.deadline, waiter.number, waiter))

    def drop(self, waiter: Waiter) -> None:
        """A watched waiter waits no more."""
        waiter.gone = True
        self._waiting -= 1
        if len(self._heap) > 2 * self._waiting + SLACK:
            self._heap = [entry for entry in self._heap if not entry[2].gone]
            heapify(self._heap)

    def soonest(self) -> float:
        """The next deadline, loop time; ``inf`` while nobody waits."""
        while self._heap and self._heap[0][2].gone:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def passed(self, now: float) -> list[Waiter]:
        """Those whose deadline has come; they stay watched until dropped."""
        due = []
        while self.soonest() <= now:
            due.append(heappop(self._heap)[2])
        return due
