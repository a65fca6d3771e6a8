"""Keeping requests away from an upstream that fails or refuses us, until a probe goes well."""

from __future__ import annotations

import math

from chatgpt_to_api.pool.cooldown import CAP


class Breaker:
    """Open for requests, shut to them until a time, then half open for one probe.

    It is ``shut`` for a while after ``threshold`` faults in a row, or when the upstream is told to
    cool down. Times are loop times.
    """

    __slots__ = ("faults", "open_for", "probe", "reason", "shut", "threshold", "until")

    def __init__(self, threshold: int, open_for: float) -> None:
        self.threshold = threshold
        self.open_for = open_for
        self.shut = False
        self.until = -math.inf
        self.reason = ""
        self.probe: object | None = None
        self.faults = 0
        """How many in a row while it is open."""

    def admits(self, now: float) -> bool:
        """Whether a request may go now; when ``shut``, that one is the probe."""
        return not self.shut or (self.probe is None and self.until <= now)

    def faulted(self, lease: object, now: float, reason: str) -> bool:
        """Count a fault of the upstream itself; whether that shuts it (again)."""
        if self.shut:
            if self.probe is not lease:
                return False  # let go before it shut, so it says nothing new
        else:
            self.faults += 1
            if self.faults < self.threshold:
                return False
            reason = f"{self.faults} faults in a row, last: {reason}"
        self._shut(now + self.open_for, reason)
        return True

    def cool(self, now: float, seconds: float, reason: str) -> None:
        """Keep requests away for ``seconds``, at most the cap; the end only moves later."""
        self._shut(now + min(max(seconds, 0.0), CAP), reason)

    def _shut(self, until: float, reason: str) -> None:
        self.shut = True
        self.probe = None
        if until >= self.until:
            self.until = until
            self.reason = reason

    def succeeded(self, lease: object) -> bool:
        """A call went well; whether that opened it."""
        if not self.shut:
            self.faults = 0
            return False
        if self.probe is not lease:
            return False
        self.reset()
        return True

    def released(self, lease: object) -> None:
        """The lease is back; a probe that proved nothing leaves it half open."""
        if self.probe is lease:
            self.probe = None

    def reset(self) -> None:
        """Open it, as if nothing had happened."""
        self.shut = False
        self.until = -math.inf
        self.reason = ""
        self.probe = None
        self.faults = 0
