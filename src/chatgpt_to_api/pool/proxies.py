"""Outbound proxies in rotation, and the ones an upstream has turned away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from chatgpt_to_api.pool.cooldown import CAP
from chatgpt_to_api.wire.proxy import Proxy

PROXY_COOLDOWN: Final = 60.0
"""How long a proxy is left alone by an upstream after it failed, seconds."""


class Outlets:
    """The proxies of one upstream: next in turn for a credential that has none that works.

    With no proxies every credential goes out directly, and nothing here applies.
    """

    __slots__ = ("_cooling", "_next", "order")

    def __init__(self) -> None:
        self.order: tuple[Proxy, ...] = ()
        """All of them; empty means that everything goes out directly."""
        self._next = 0
        self._cooling: dict[Proxy, tuple[float, str]] = {}

    def __contains__(self, proxy: Proxy) -> bool:
        return proxy in self.order

    def replace(self, proxies: Sequence[Proxy]) -> None:
        """Use these proxies from now on; those that stay keep their cool-downs."""
        self.order = tuple(dict.fromkeys(proxies))
        self._next = 0
        kept = set(self.order)
        self._cooling = {p: cooling for p, cooling in self._cooling.items() if p in kept}

    def cool(self, proxy: Proxy, now: float, seconds: float, reason: str) -> None:
        """Leave ``proxy`` alone for a time; the end only moves later."""
        if proxy not in self.order:
            return
        until = now + min(max(seconds, 0.0), CAP)
        if until >= self._cooling.get(proxy, (-math.inf, ""))[0]:
            self._cooling[proxy] = (until, reason)

    def shut(self, now: float) -> tuple[float, str] | None:
        """When the first proxy comes back and why it rests, if all are resting; else None."""
        if not self.order or len(self._cooling) < len(self.order):
            return None
        soonest = min(self._cooling.values())
        return soonest if soonest[0] > now else None

    def assign(self, current: Proxy | None, now: float) -> Proxy | None:
        """The proxy to go out through: the current one while it works, else the next in turn.

        ``current`` is one of these, or None. None comes back only where there are no proxies.
        """
        if not self.order:
            return None
        cooling = self._cooling
        if cooling:
            for proxy in [p for p, (until, _) in cooling.items() if until <= now]:
                del cooling[proxy]
        if current is not None and (not cooling or current not in cooling):
            return current
        for _ in self.order:
            proxy = self.order[self._next]
            self._next = (self._next + 1) % len(self.order)
            if proxy not in cooling:
                return proxy
        # Never out directly: the operator may not want this address seen.
        return min(cooling, key=lambda proxy: cooling[proxy][0])

    def reset(self) -> None:
        """Forget every cool-down."""
        self._cooling.clear()
