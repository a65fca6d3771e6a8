"""Where credentials stand: in which group and line, and when time alone will move them.

Whatever changes a credential ends in ``stand``, which puts it where its state says it belongs.
Choosing costs the number of groups, moving O(log n); nothing here looks at all credentials.
"""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush

import msgspec

from chatgpt_to_api.pool.contract import NOBODY
from chatgpt_to_api.pool.cooldown import Cooldown
from chatgpt_to_api.pool.credential import SHUT_FOR_NONE, Credential, Place
from chatgpt_to_api.pool.groups import SLACK, Alarm, Group, ModelLimit, soonest, tidy

_READY = Place.READY
_BUSY = Place.BUSY


class Hope(msgspec.Struct, frozen=True):
    """When a credential can come at the soonest: loop time, ``inf`` for never.

    ``cooling`` is whose rest that is the end of; None while one is in use and may come any time.
    """

    at: float
    cooling: Credential | None = None


class Census(msgspec.Struct):
    """Numbers of credentials, as they stand for one model."""

    total: int = 0
    ready: int = 0
    busy: int = 0
    cooling: int = 0
    paced: int = 0
    invalid: int = 0
    disabled: int = 0


class Lineup:
    """Credentials in line. ``capacity``: how many requests each takes at a time, None is no limit.

    ``next_wake`` (loop time) is never later than the next change that time itself brings; from then
    on :meth:`wake` has to be called before anything is chosen.
    """

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.credentials: dict[str, Credential] = {}
        self.next_wake = math.inf
        self._open = Group(SHUT_FOR_NONE)
        self._groups = {SHUT_FOR_NONE: self._open}
        self._limits: dict[str, ModelLimit] = {}

    # Choosing

    def choose(self, model: str, exclude: AbstractSet[str] = NOBODY) -> Credential | None:
        """The least recently used credential that can serve ``model`` now."""
        if len(self._groups) == 1:
            return self._open.first(exclude)
        best: Credential | None = None
        for group in self._groups.values():
            if model not in group.shut:
                first = group.first(exclude)
                if first is not None and (best is None or first.used < best.used):
                    best = first
        return best

    def serves(self, credential: Credential, model: str) -> bool:
        """Whether this very credential can serve ``model`` now."""
        return credential.place is _READY and model not in credential.shut

    def rouse(self, now: float) -> None:
        """Move those whose rest is over by now."""
        for group in list(self._groups.values()):
            heap = group.sleeping
            while heap and heap[0][0] <= now:
                alarm = heappop(heap)
                if group.asleep(alarm):
                    self.stand(alarm[2], now)
        for model, limit in list(self._limits.items()):
            heap = limit.alarms
            while heap and heap[0][0] <= now:
                alarm = heappop(heap)
                if self._shut_until(alarm, model):
                    alarm[2].shut -= {model}
                    self.stand(alarm[2], now)
            if not heap and not limit.probing:
                del self._limits[model]
        heaps = [group.sleeping for group in self._groups.values()]
        heaps += [limit.alarms for limit in self._limits.values()]
        self.next_wake = min((heap[0][0] for heap in heaps if heap), default=math.inf)

    # Looking ahead

    def hope(self, model: str, exclude: AbstractSet[str], now: float) -> Hope:
        """When a credential for ``model`` can come at the soonest, excluded ones aside."""
        limit = self._limits.get(model)
        free = limit.probing if limit is not None else 0
        for group in self._groups.values():
            if model not in group.shut:
                free += group.counts[_READY] + group.counts[_BUSY]
        for id in exclude:
            credential = self.credentials.get(id)
            if credential is not None and self._comes_any_time(credential, model):
                free -= 1
        if free > 0:
            return Hope(now)
        best: Alarm | None = None
        for group in self._groups.values():
            if model not in group.shut:
                best = _earlier(best, soonest(group.sleeping, group.asleep, exclude))
        if limit is not None:
            best = _earlier(
                best, soonest(limit.alarms, lambda a: self._shut_until(a, model), exclude)
            )
        return Hope(math.inf) if best is None else Hope(best[0], best[2])

    def _comes_any_time(self, credential: Credential, model: str) -> bool:
        if credential.group is None:
            return False
        if model in credential.shut:
            limit = (credential.models or {}).get(model)
            return limit is not None and limit.probe is not None
        return credential.place in (_READY, _BUSY)

    def usable(self, exclude: AbstractSet[str] = NOBODY) -> int:
        """How many credentials could serve at some time, excluded ones aside."""
        count = sum(sum(group.counts) for group in self._groups.values())
        for id in exclude:
            credential = self.credentials.get(id)
            if credential is not None and credential.usable:
                count -= 1
        return count

    def census(self, model: str | None = None) -> Census:
        """Count those in line; for a model, the ones shut for it count as cooling."""
        census = Census(total=len(self.credentials))
        for group in self._groups.values():
            ready, busy, cooling, paced = group.counts
            if model is not None and model in group.shut:
                cooling += ready + busy + paced
                ready = busy = paced = 0
            census.ready += ready
            census.busy += busy
            census.cooling += cooling
            census.paced += paced
        limit = self._limits.get(model) if model is not None else None
        if limit is not None:
            census.busy += limit.probing
            census.cooling -= limit.probing
        return census

    # Standing

    def stand(self, credential: Credential, now: float) -> None:
        """Put a credential where its state says it belongs."""
        before = credential.group
        if before is not None:
            before.counts[credential.place] -= 1
        if not credential.usable:
            self._drop_probes(credential)
            credential.group = None
            credential.place = Place.OUT
        else:
            group = self._groups.get(credential.shut)
            if group is None:
                group = self._groups[credential.shut] = Group(credential.shut)
            credential.group = group
            credential.place = place = self._place(credential, now)
            group.counts[place] += 1
            if place is _READY:
                group.line_up(credential)
            elif place is not _BUSY:
                group.lay_down(credential)
                self.next_wake = min(self.next_wake, credential.wake)
        if before is not None and before is not self._open and not any(before.counts):
            del self._groups[before.shut]

    def _place(self, credential: Credential, now: float) -> Place:
        cooldown, log = credential.cooldown, credential.log
        opens = log.opens_at() if log is not None else -math.inf
        if cooldown is not None and cooldown.until > now:
            credential.wake = max(cooldown.until, opens)
            return Place.COOLING
        if opens > now:
            credential.wake = opens
            return Place.PACED
        if cooldown is not None and cooldown.probe is not None:
            return _BUSY
        if self.capacity is not None and credential.in_flight >= self.capacity:
            return _BUSY
        return _READY

    def alarm(self, credential: Credential, model: str, limit: Cooldown) -> None:
        """See to it that a credential is open again for a model when its limit ends."""
        limits = self._limits.get(model)
        if limits is None:
            limits = self._limits[model] = ModelLimit()
        heappush(limits.alarms, (limit.until, credential.used, credential))
        if len(limits.alarms) > 2 * len(self.credentials) + SLACK:
            tidy(limits.alarms, lambda alarm: self._shut_until(alarm, model))
        self.next_wake = min(self.next_wake, limit.until)

    def _shut_until(self, alarm: Alarm, model: str) -> bool:
        """Whether an entry of a model's alarms still says the truth."""
        when, _, credential = alarm
        limit = credential.models.get(model) if credential.models is not None else None
        return (
            limit is not None
            and limit.until == when
            and limit.probe is None
            and model in credential.shut
            and credential.group is not None
        )

    def probe(self, model: str, limit: Cooldown, lease: object | None) -> None:
        """Set or take away the probe of one credential's limit for a model."""
        if (limit.probe is None) is not (lease is None):
            limits = self._limits.get(model)
            if limits is None:
                limits = self._limits[model] = ModelLimit()
            limits.probing += 1 if lease is not None else -1
        limit.probe = lease

    def _drop_probes(self, credential: Credential) -> None:
        if credential.cooldown is not None:
            credential.cooldown.probe = None
        for model, limit in (credential.models or {}).items():
            self.probe(model, limit, None)


def _earlier(one: Alarm | None, other: Alarm | None) -> Alarm | None:
    if one is None or (other is not None and other[0] < one[0]):
        return other
    return one
