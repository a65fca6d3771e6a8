"""What is made when it is first wanted, and imports what it needs only then.

A gateway serves six dialects, and most people's programs speak one or two of them: neither the
start nor the memory should pay for the rest.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Late(Generic[T]):
    """One thing that ``make`` makes, once, whoever asks first. ``made`` is None until then."""

    __slots__ = ("_lock", "_make", "made")

    def __init__(self, make: Callable[[], T]) -> None:
        self.made: T | None = None
        self._make = make
        self._lock = threading.Lock()

    async def get(self) -> T:
        """Return it. It is made on a thread: the loop has others to serve while a room is imported.

        Cancelling this stops nothing; where ``make`` fails, the next who asks tries again.
        """
        made = self.made
        return await asyncio.to_thread(self.now) if made is None else made

    def now(self) -> T:
        """Return it, made here and now if need be."""
        with self._lock:
            if self.made is None:
                self.made = self._make()
            return self.made
