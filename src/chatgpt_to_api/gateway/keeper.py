"""One coarse clock for all open streams: opens those held too long, keeps silent ones alive.

A timer per request or per event would cost more than the event; one sweep a second costs nothing.
"""

from __future__ import annotations

import asyncio

from chatgpt_to_api.gateway.delivery import Delivery


class Keeper:
    """Watches streams that wait for their upstream.

    ``hold`` and ``keep_alive`` are seconds: how long a head is held back for the first content, and
    after which silence a comment is sent. The sweep runs only while streams wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, hold: float, keep_alive: float) -> None:
        self._loop = loop
        self._hold = hold
        self._silence = keep_alive
        self._step = max(0.02, min(1.0, hold / 2 or 1.0, keep_alive / 4))
        self._waiting: set[Delivery] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, delivery: Delivery) -> None:
        """Watch a stream from now on; its upstream has answered with a 200."""
        if delivery.waiting_since is None:
            delivery.waiting_since = delivery.last_write = self._loop.time()
        self._waiting.add(delivery)
        if self._timer is None:
            self._timer = self._loop.call_later(self._step, self._sweep)

    def leave(self, delivery: Delivery) -> None:
        """Stop watching; harmless for a stream that is not watched."""
        self._waiting.discard(delivery)

    def close(self) -> None:
        """Stop for good."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for delivery in self._waiting:
            if not delivery.opened:
                if now - (delivery.waiting_since or now) >= self._hold:
                    delivery.keep_alive()
                    delivery.last_write = now
            elif delivery.heard:
                delivery.heard = False
                delivery.last_write = now
            elif now - delivery.last_write >= self._silence:
                delivery.keep_alive()
                delivery.last_write = now
        if self._waiting:
            self._timer = self._loop.call_later(self._step, self._sweep)
