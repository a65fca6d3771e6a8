"""A cool-down: a time without requests, then one probe, then open again or cooling anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

CAP: Final = 600.0
"""Longest cool-down, seconds: upstreams are wrong by days about when a limit ends."""

UNTIMED: Final = 600.0
"""How long a fault cools that asks for a cool-down and gives no time, seconds."""

BACKOFF_CAP: Final = 60.0
"""Longest wait that a limit without a time makes by doubling, seconds."""

JITTER: Final = 0.25
"""Share by which a backoff is randomly longer, so that credentials do not come back in step."""


class Cooldown:
    """Why and until when something is not used; afterwards it is half open until a probe succeeds.

    ``until`` and ``began`` are loop times. ``probe`` is the lease that tries it out after the end;
    ``failures`` counts faults without a time, one per cool-down. ``denied``: the upstream refuses
    the credential as such, so conversations bound to it should move. ``outage``: no limit is the
    reason, but a server that is out of service.
    """

    __slots__ = ("began", "denied", "failures", "outage", "probe", "reason", "until")

    def __init__(self) -> None:
        self.until = -math.inf
        self.began = -math.inf
        self.reason = ""
        self.failures = 0
        self.denied = False
        self.outage = False
        self.probe: object | None = None

    def cool(self, now: float, seconds: float | None, reason: str) -> None:
        """Cool for ``seconds`` from now, at most :data:`CAP`; the end only moves later."""
        asked = UNTIMED if seconds is None or math.isnan(seconds) else seconds
        self._extend(now, now + min(max(asked, 0.0), CAP), reason)

    def back_off(self, now: float, since: float, reason: str, rng: Callable[[], float]) -> None:
        """Cool for 1 s, 2 s, 4 s … up to :data:`BACKOFF_CAP`, with jitter.

        ``since`` is when the failed call was let go. Calls let go before the current cool-down
        began fail together, so they make one step and not many.
        """
        if since > self.began:
            self.failures += 1
        step = 2.0 ** min(self.failures - 1, 16) if self.failures else 1.0
        wait = min(BACKOFF_CAP, step * (1 + JITTER * rng()))
        self._extend(now, now + wait, reason)

    def take_up(self, now: float, seconds: float, reason: str, failures: int) -> None:
        """Go on as before a restart, with ``seconds`` left; no call is under way from before."""
        self.cool(now, seconds, reason)
        self.failures = failures
        self.began = -math.inf

    def _extend(self, now: float, until: float, reason: str) -> None:
        if until >= self.until:
            self.until = until
            self.reason = reason
            self.outage = False
        self.began = now
        self.probe = None
