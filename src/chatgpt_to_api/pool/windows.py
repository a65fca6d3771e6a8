"""Rate windows as sliding logs: never more than N sends in any stretch of a window's length."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

GUARD: Final = 0.05
"""Added to every window, seconds: a request reaches the upstream a little after it was let go, and
not always equally late, so two sends exactly one window apart here can be closer over there."""

_FORM: Final = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)?\s*([smh])")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_SENDS: Final = 1_000_000
_MAX_SECONDS: Final = 31 * 24 * 3600.0


class RateWindow(msgspec.Struct, frozen=True):
    """At most ``limit`` sends in any stretch of ``seconds``."""

    limit: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.limit}/{self.seconds:g}s"


def parse_rate_limits(text: str) -> tuple[RateWindow, ...]:
    """Read ``5/10s`` or several, ``5/10s, 100/1h``: counts over seconds, minutes or hours.

    The number before the unit may be left out (``100/h``); empty text is no limit. Raises
    ValueError naming the part that is wrong.
    """
    if not text.strip():
        return ()
    return tuple(_parse_one(part.strip()) for part in text.split(","))


def _parse_one(part: str) -> RateWindow:
    found = _FORM.fullmatch(part)
    if found is None:
        raise ValueError(f"rate limit {part!r}: expected COUNT/TIME such as 5/10s, 1/1m or 100/1h")
    limit = int(found[1])
    seconds = float(found[2] or 1) * _UNITS[found[3]]
    if not 1 <= limit <= _MAX_SENDS:
        raise ValueError(f"rate limit {part!r}: the count must be from 1 to {_MAX_SENDS}")
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError(f"rate limit {part!r}: the time must be over 0 and at most 31 days")
    return RateWindow(limit, seconds)


class SendLog:
    """The sends that still count against some windows. Times are loop times, seconds."""

    __slots__ = ("_rules", "_stamps", "windows")

    def __init__(self, windows: Iterable[RateWindow], sent: Iterable[float] = ()) -> None:
        """``sent``: times of earlier sends, oldest first, as :meth:`stamps` of another log."""
        self.windows = tuple(windows)
        self._rules = [(window.limit, window.seconds + GUARD) for window in self.windows]
        # No window ever looks further back than its own limit.
        longest = max((window.limit for window in self.windows), default=0)
        self._stamps: deque[float] = deque(sent, maxlen=longest)

    def opens_at(self) -> float:
        """When one more send is allowed; any time not later than now means at once."""
        stamps = self._stamps
        kept = len(stamps)
        opens = float("-inf")
        for limit, length in self._rules:
            if kept >= limit and (at := stamps[-limit] + length) > opens:
                opens = at
        return opens

    def take(self, now: float) -> None:
        """Count a send that leaves now; the caller has asked :meth:`opens_at`."""
        self._stamps.append(now)

    def give_back(self, stamp: float) -> None:
        """Uncount a send that was never made."""
        if stamp in self._stamps:
            self._stamps.remove(stamp)

    def moved(self, stamp: float, now: float) -> None:
        """A send counted at ``stamp`` left only now, so it counts from now."""
        self.give_back(stamp)
        self._stamps.append(now)

    def opens_after(self, ahead: int, now: float) -> float:
        """When one more send is allowed if ``ahead`` others leave first, each as soon as it may."""
        stamps = self._stamps
        kept = len(stamps)
        opens = now
        for limit, length in self._rules:
            rounds, place = divmod(ahead, limit)
            slot = kept - limit + place
            first = max(now, stamps[slot] + length) if slot >= 0 else now
            opens = max(opens, first + rounds * length)
        return opens

    def quiet_at(self) -> float:
        """When the last send stops counting: from then on the log says nothing."""
        if not self._stamps:
            return float("-inf")
        return self._stamps[-1] + max(length for _, length in self._rules)

    def stamps(self) -> tuple[float, ...]:
        """The counted sends, oldest first."""
        return tuple(self._stamps)
