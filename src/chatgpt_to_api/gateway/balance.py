"""In which order the candidates of one request are tried: the strategies of routes.

A fork is a route in force: its candidates, some of them forks again. Ordering it gives the
try-list of one request: every candidate at most once, the first choice in front.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from chatgpt_to_api.config.route_settings import Strategy
from chatgpt_to_api.gateway.upstreams import Candidate

FADE: Final = 60.0
"""After this long an average nobody renewed counts for a third (1/e), seconds: a candidate that
was slow is tried again, or nobody would ever learn that it is fast now."""

NEWEST: Final = 0.3
"""Share of the newest measurement in an average."""

FAULT: Final = 2.0
"""Each fault counts like an answer this many times as slow as usual, and a second at least."""

MOST_AVERAGES: Final = 4096

Leg: TypeAlias = "Candidate | Fork"


class Fork(msgspec.Struct, frozen=True):
    """A route in force. ``weights`` belong to ``legs``."""

    strategy: Strategy
    legs: tuple[Leg, ...]
    weights: tuple[float, ...]


class Latencies:
    """How soon candidates answered of late: a moving average of the time to the first content.

    Streams and whole answers are kept apart: a whole answer has its first content at its end.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._averages: OrderedDict[tuple[str, str, bool], tuple[float, float]] = OrderedDict()

    def of(self, candidate: Candidate, *, stream: bool) -> float:
        """Return the average, seconds; 0 where nothing is known, so that it is tried."""
        seconds, at = self._averages.get((*candidate.key, stream), (0.0, 0.0))
        return seconds * math.exp((at - self._now()) / FADE)

    def note(self, candidate: Candidate, seconds: float, *, stream: bool) -> None:
        """Take up one measurement."""
        key = (*candidate.key, stream)
        before = self._averages.pop(key, None)
        if before is not None:
            seconds = NEWEST * seconds + (1 - NEWEST) * before[0]
        self._keep(key, seconds)

    def note_fault(self, candidate: Candidate, *, stream: bool) -> None:
        """Take up a call that failed: failing at once must not look fast."""
        seconds, _ = self._averages.pop((*candidate.key, stream), (0.0, 0.0))
        self._keep((*candidate.key, stream), max(FAULT * seconds, 1.0))

    def _keep(self, key: tuple[str, str, bool], seconds: float) -> None:
        self._averages[key] = (seconds, self._now())
        if len(self._averages) > MOST_AVERAGES:  # the names come from callers
            self._averages.popitem(last=False)


class Balance:
    """What the strategies go by; outlives changes of the configuration.

    ``load`` says how busy an upstream is for a model, requests per usable credential, infinite
    for one that can take none now.
    """

    def __init__(
        self, load: Callable[[str, str], float], now: Callable[[], float], rng: random.Random
    ) -> None:
        self._load = load
        self._rng = rng
        self.latencies = Latencies(now)

    def order(self, fork: Fork, *, stream: bool) -> list[Candidate]:
        """Return the try-list of one request."""
        found: dict[tuple[str, str], Candidate] = {}
        for candidate in self._walk(fork, stream):
            found.setdefault(candidate.key, candidate)
        return list(found.values())

    def _walk(self, fork: Fork, stream: bool) -> list[Candidate]:
        flat: list[Candidate] = []
        for leg in self._chosen(fork, stream):
            if isinstance(leg, Candidate):
                flat.append(leg)
            else:
                flat += self._walk(leg, stream)
        return flat

    def _chosen(self, fork: Fork, stream: bool) -> Sequence[Leg]:
        match fork.strategy:
            case "priority":
                return fork.legs
            case "weighted":
                return self._by_chance(fork)
            case "least_busy":
                # By chance among equals, or the first would get all while there is little to do.
                return sorted(self._shuffled(fork), key=self.load)
            case "lowest_latency":
                return self._of_two(fork, stream)

    def _shuffled(self, fork: Fork) -> list[Leg]:
        return self._rng.sample(fork.legs, len(fork.legs))

    def _by_chance(self, fork: Fork) -> list[Leg]:
        """Draw without putting back: the next one too is chosen by its weight."""
        # With u uniform, -ln(u) / weight is the time of a race that each wins by its weight.
        # Source: https://en.wikipedia.org/wiki/Exponential_distribution#Distribution_of_the_minimum_of_exponential_random_variables
        times = [
            -math.log(1.0 - self._rng.random()) / weight if weight else math.inf
            for weight in fork.weights
        ]
        places = sorted(range(len(times)), key=times.__getitem__)
        return [fork.legs[place] for place in places]

    def _of_two(self, fork: Fork, stream: bool) -> list[Leg]:
        """The better of two drawn by chance comes first, then the others from fast to slow.

        Always taking the fastest would send everybody to it at once, until it is the slowest.
        """
        drawn = self._shuffled(fork)
        able = [leg for leg in drawn if self.load(leg) < math.inf]
        unable = [leg for leg in drawn if leg not in able]
        two = sorted(able[:2], key=lambda leg: self.latency(leg, stream=stream))
        rest = [*two[1:], *able[2:]]
        rest.sort(key=lambda leg: self.latency(leg, stream=stream))
        return [*two[:1], *rest, *unable]

    def able(self, candidate: Candidate) -> bool:
        """Whether some credential can serve a candidate, now or when it is free."""
        return self.load(candidate) < math.inf

    def load(self, leg: Leg) -> float:
        """How busy the least busy way of a leg is."""
        if isinstance(leg, Candidate):
            return self._load(leg.upstream.name, leg.model)
        return min(map(self.load, leg.legs))

    def latency(self, leg: Leg, *, stream: bool) -> float:
        """How slow the fastest way of a leg was of late, seconds."""
        if isinstance(leg, Candidate):
            return self.latencies.of(leg, stream=stream)
        return min(self.latency(inner, stream=stream) for inner in leg.legs)
