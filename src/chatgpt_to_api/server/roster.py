"""All open connections: how many each address has, and one coarse clock for them all.

A timer per connection or per request would cost more than the request. One sweep a tick looks at
every connection, and only while there are any.
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import Protocol


class Sweepable(Protocol):
    """A connection that counts ticks."""

    def on_tick(self) -> None:
        """One tick has passed."""
        ...


class Roster:
    """The open connections of one server."""

    def __init__(self, *, tick: float, per_peer: int) -> None:
        self._tick = tick
        self._per_peer = per_peer
        self._open: set[Sweepable] = set()
        self._peers: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: list[asyncio.Future[None]] = []

    def join(self, connection: Sweepable, address: str, loop: asyncio.AbstractEventLoop) -> bool:
        """Add a connection; False when its address has too many (it is counted all the same)."""
        count = self._peers.get(address, 0) + 1
        self._peers[address] = count
        self._open.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._tick, self._sweep, loop)
        return count <= self._per_peer

    def leave(self, connection: Sweepable, address: str) -> None:
        """Remove a connection that has closed."""
        self._open.discard(connection)
        left = self._peers[address] - 1
        if left:
            self._peers[address] = left
        else:
            del self._peers[address]
        if not self._open:
            for waiter in self._leaving:
                if not waiter.done():
                    waiter.set_result(None)
            self._leaving.clear()

    async def empty(self) -> None:
        """Wait until no connection is open."""
        while self._open:
            waiter = asyncio.get_running_loop().create_future()
            self._leaving.append(waiter)
            await waiter

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for connection in tuple(self._open):
            connection.on_tick()
        if self._open:
            self._timer = loop.call_later(self._tick, self._sweep, loop)


def hung_up(descriptor: int) -> bool:
    """Whether the peer has closed, without reading.

    While reading is paused nobody sees the end of the stream behind unread data; Linux tells by
    POLLRDHUP. Elsewhere only a reset is seen this way, on Windows nothing.
    """
    if sys.platform == "win32":
        return False
    poll = select.poll()
    signs = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
    poll.register(descriptor, signs)
    return any(events & signs for _, events in poll.poll(0))
