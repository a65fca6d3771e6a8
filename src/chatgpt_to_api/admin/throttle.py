"""Wrong passwords, slowed down per peer. Pure: time is handed in.

A few slips cost nothing; then each wrong answer is held back longer, and in the end the peer is
told to come back later. One peer's failures never keep another one out.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

FREE: Final = 3
"""Failures that are answered at once."""

FIRST_HOLD: Final = 0.25
LONGEST_HOLD: Final = 2.0
"""How long an answer to a wrong password is held back, seconds, doubling from the first."""

LOCK_AFTER: Final = 10
"""Failures after which the peer is shut out for a while."""

FIRST_LOCK: Final = 30.0
LONGEST_LOCK: Final = 900.0
"""How long a peer is shut out, seconds, doubling with each further failure."""

FORGET: Final = 900.0
"""Quiet time after which a peer's failures are forgotten, seconds."""

MAX_PEERS: Final = 10_000
"""Most peers remembered; the one that failed longest ago makes room."""


class _Failures:
    __slots__ = ("count", "last", "shut_until")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.shut_until = 0.0


class FailureThrottle:
    """Counts failures per peer. All times are seconds of one clock of the caller's choice."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, peer: str, now: float) -> float:
        """Return how long ``peer`` has to wait before its next try; 0.0 if it may try now."""
        failures = self._peers.get(_key(peer))
        return 0.0 if failures is None else max(0.0, failures.shut_until - now)

    def failed(self, peer: str, now: float) -> float:
        """Note a wrong password; return how long its answer is to be held back, seconds."""
        key = _key(peer)
        failures = self._peers.get(key)
        if failures is None or now - max(failures.last, failures.shut_until) > FORGET:
            failures = self._peers[key] = _Failures()
        self._peers.move_to_end(key)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        failures.count += 1
        failures.last = now
        hold = 0.0
        if failures.count > FREE:
            hold = min(LONGEST_HOLD, FIRST_HOLD * 2 ** (failures.count - FREE - 1))
        lock = hold  # no second try while the answer to the first is held back
        if failures.count >= LOCK_AFTER:
            doubled = FIRST_LOCK * 2 ** min(failures.count - LOCK_AFTER, 10)
            lock = min(LONGEST_LOCK, doubled)
        failures.shut_until = max(failures.shut_until, now + lock)
        return hold

    def succeeded(self, peer: str) -> None:
        """Forget the peer's failures."""
        self._peers.pop(_key(peer), None)


def _key(peer: str) -> str:
    """One machine is one peer: with IPv6 that is its network, in which it has any address."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
