"""One timer for all calls of a client: silence, deadlines, and connections idle for too long.

No call and no read has a timer of its own: those would be the dearest part of a small request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from chatgpt_to_api.transport.connection import Connection
from chatgpt_to_api.transport.errors import DeadlinePassed, SilenceTimeout

APART: Final = 0.02  # seconds between two looks at least, so how late one can be
_EARLY: Final = 0.002  # seconds a loop's timer may fire before its time


class Watch:
    """Looks at every connection when the first of them can be due, and not before.

    Traffic moves what is due further away without touching the timer, so with long timeouts a look
    is rare however many calls run. With nothing running and nothing idle there is no timer.
    ``sweep_idle`` closes what has been idle for too long at the loop time it is given and returns
    when the next is due (``math.inf``: none).
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sweep_idle: Callable[[float], float]
    ) -> None:
        self._loop = loop
        self._sweep_idle = sweep_idle
        self._timer: asyncio.TimerHandle | None = None
        self.connections: set[Connection] = set()
        """Every one that is open."""
        self.next_look = math.inf
        """Loop time of the next look. Who knows of something due sooner calls ``expect``."""

    def expect(self, when: float) -> None:
        """Look at loop time ``when`` at the latest."""
        if when >= self.next_look:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.next_look = when
        self._timer = self._loop.call_at(when, self._look)

    def stop(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.next_look = math.inf

    def _look(self) -> None:
        self._timer = None
        self.next_look = math.inf
        now = self._loop.time()
        due = self._sweep_idle(now)
        for connection in list(self.connections):
            reply = connection.reply
            if reply is None:
                continue
            # A reply nobody waits for is not silent: its reader is what is slow. It could be
            # waited for from now on.
            silent_since = now if reply.waiter is None else reply.since
            reply_due = min(reply.deadline, silent_since + reply.silence)
            if reply_due > now + _EARLY:
                due = min(due, reply_due)
            elif reply.deadline == reply_due:
                what = f"the request's deadline passed before {connection.name} had answered"
                connection.give_up(DeadlinePassed(what, sent_anything=True))
            else:
                what = f"{connection.name} sent nothing for {reply.silence:g} s"
                connection.give_up(SilenceTimeout(what, sent_anything=True))
        if due < math.inf:
            self.expect(max(due, now + APART))
