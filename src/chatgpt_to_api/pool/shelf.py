"""The credentials a request can be served from, and what befalls them.

An upstream has one shelf; a caller's own token is a shelf of one. Everything here is a plain call:
time is handed in, nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final

from chatgpt_to_api.pool.contract import CredentialSpec
from chatgpt_to_api.pool.cooldown import Cooldown
from chatgpt_to_api.pool.credential import (
    MAX_MODELS,
    SHUT_FOR_NONE,
    Credential,
    Place,
    expired_reason,
)
from chatgpt_to_api.pool.groups import Alarm
from chatgpt_to_api.pool.lineup import Census, Lineup
from chatgpt_to_api.pool.windows import RateWindow, SendLog
from chatgpt_to_api.wire.secret import Secret

_READY = Place.READY
_BUSY = Place.BUSY

FIRST_HOLD: Final = 5.0
"""How long a request is thought to take before any was seen, seconds."""


class Shelf(Lineup):
    """Credentials of one upstream, or the one of a caller.

    ``hold`` is how long requests have taken lately, seconds (a moving average); ``last_invalid`` is
    why the last credential became invalid.
    """

    def __init__(
        self,
        capacity: int | None,
        windows: Sequence[RateWindow],
        wall: Callable[[], float],
    ) -> None:
        super().__init__(capacity)
        self.hold = FIRST_HOLD
        self.last_invalid = ""
        self._windows = tuple(windows)
        self._wall = wall
        self._leaving: dict[tuple[str, Secret | None], Credential] = {}
        self._expiries: list[Alarm] = []  # by Unix time
        self._turn = 0
        self._disabled = 0

    # Lending and returning

    def take(self, credential: Credential, model: str, lease: object, now: float) -> None:
        """Lend a credential that :meth:`serves`; after a cool-down ``lease`` is its probe."""
        credential.in_flight += 1
        credential.last_used = now
        credential.used = self._turn = self._turn + 1
        if credential.cooldown is None and credential.models is None and credential.log is None:
            group = credential.group
            assert group is not None
            if self.capacity is None or credential.in_flight < self.capacity:
                group.line_up(credential)
            else:
                credential.place = _BUSY
                group.counts[_READY] -= 1
                group.counts[_BUSY] += 1
            return
        if credential.cooldown is not None:
            credential.cooldown.probe = lease
        if credential.models is not None and (limit := credential.models.get(model)) is not None:
            self.probe(model, limit, lease)
            credential.shut |= {model}
        if credential.log is not None:
            credential.log.take(now)
        self.stand(credential, now)

    def give_back(self, credential: Credential, model: str, lease: object, now: float) -> None:
        """Take a lent credential back; a probe that proved nothing leaves it half open."""
        credential.in_flight -= 1
        if credential.removed:
            if not credential.in_flight:
                self._leaving.pop((credential.id, credential.access.token), None)
            return
        if credential.cooldown is None and credential.models is None and credential.log is None:
            full = self.capacity is not None and credential.in_flight >= self.capacity
            if credential.place is _BUSY and not full:
                group = credential.group
                assert group is not None
                credential.used = self._turn = self._turn + 1
                credential.place = _READY
                group.counts[_BUSY] -= 1
                group.counts[_READY] += 1
                group.line_up(credential)
            return
        if credential.cooldown is not None and credential.cooldown.probe is lease:
            credential.cooldown.probe = None
        limit = credential.models.get(model) if credential.models is not None else None
        if limit is not None and limit.probe is lease:
            self.probe(model, limit, None)
            credential.shut -= {model}
        credential.used = self._turn = self._turn + 1
        self.stand(credential, now)

    def wake(self, now: float) -> bool:
        """Do what time has brought; whether any credential became unusable by it."""
        self.rouse(now)
        worse = False
        wall = self._wall()
        while self._expiries and self._expiries[0][0] <= wall:
            worse |= self.expire(heappop(self._expiries)[2], now)
        if self._expiries:
            self.next_wake = min(self.next_wake, now + self._expiries[0][0] - wall)
        return worse

    def expire(self, credential: Credential, now: float) -> bool:
        """Bury a credential whose token is past its end; whether it was one."""
        expires = credential.expires
        if expires is None or expires > self._wall() or not credential.usable:
            return False
        self.invalidate(credential, expired_reason(expires), now)
        return True

    # What befalls a credential

    def invalidate(self, credential: Credential, reason: str, now: float) -> None:
        """The credential is unusable until it is replaced."""
        credential.invalid = self.last_invalid = reason
        self.stand(credential, now)

    def send_again(self, credential: Credential, now: float) -> None:
        """Count one more send of a credential that is lent."""
        if credential.log is not None:
            credential.log.take(now)
            self.stand(credential, now)

    def unsent(self, credential: Credential, stamp: float, now: float) -> None:
        """Uncount a send that was never made."""
        if credential.log is not None:
            credential.log.give_back(stamp)
            self.stand(credential, now)

    def cool(
        self,
        credential: Credential,
        model: str | None,
        seconds: float | None,
        reason: str,
        now: float,
    ) -> None:
        """Cool the credential, or it for ``model`` only, for a time (None: unknown, so long)."""
        record = self._record(credential, model)
        record.cool(now, seconds, reason)
        self._rest(credential, model, record, now)

    def back_off(
        self,
        credential: Credential,
        model: str | None,
        since: float,
        reason: str,
        now: float,
        rng: Callable[[], float],
    ) -> None:
        """Cool it for a doubling time; ``since`` is when the failed call was let go."""
        record = self._record(credential, model)
        record.back_off(now, since, reason, rng)
        self._rest(credential, model, record, now)

    def succeeded(self, credential: Credential, model: str, lease: object, now: float) -> bool:
        """A call went well: what it was the probe of is open; whether that was anything."""
        opened = False
        if credential.cooldown is not None and credential.cooldown.probe is lease:
            credential.cooldown = None
            opened = True
        if credential.models is not None:
            limit = credential.models.get(model)
            if limit is not None and limit.probe is lease:
                self._forget_model(credential, model)
                opened = True
        if opened:
            self.stand(credential, now)
        return opened

    def disable(self, credential: Credential, now: float) -> None:
        """A person takes it out of service; nothing else does."""
        self._disabled += not credential.disabled
        credential.disabled = True
        self.stand(credential, now)

    def enable(self, credential: Credential, now: float) -> None:
        """A person puts it back into service, in whatever state it is by now."""
        self._disabled -= credential.disabled
        credential.disabled = False
        self._enter(credential, now)

    def reset(self, credential: Credential, now: float) -> None:
        """Forget cool-downs, backoffs and invalidity; a token past its end stays what it is."""
        for model in list(credential.models or ()):
            self._forget_model(credential, model)
        credential.cooldown = None
        credential.invalid = ""
        credential.last_error = ""
        self._enter(credential, now)

    def restore(
        self,
        credential: Credential,
        model: str | None,
        seconds: float,
        reason: str,
        failures: int,
        now: float,
    ) -> None:
        """Set a cool-down as it was before a restart; one that has ended leaves a probe to make."""
        record = self._record(credential, model)
        record.take_up(now, seconds, reason, failures)
        self._rest(credential, model, record, now)

    # The set

    def replace(self, specs: Sequence[CredentialSpec], now: float) -> list[Credential]:
        """Make the set what ``specs`` say, all or nothing; return the credentials that are gone.

        The same id with the same token keeps its state and leases; with another token it starts
        anew (but for a person's ``disabled``) and running requests finish on the old one. Raises
        ValueError for an id given twice.
        """
        if len({spec.id for spec in specs}) != len(specs):
            raise ValueError("two credentials have the same id")
        before, self.credentials = self.credentials, {}
        self._expiries = []
        for spec in specs:
            old = before.get(spec.id)
            if old is not None and old.access.token == spec.access.token:
                del before[spec.id]
                self._update(old, spec)
                credential = old
            elif self._leaving and (spec.id, spec.access.token) in self._leaving:
                credential = self._leaving.pop((spec.id, spec.access.token))
                credential.removed = False
                self._update(credential, spec)
            else:
                credential = Credential(spec.id, spec.access, spec.expires, spec.label, spec.renews)
                credential.used = self._turn = self._turn + 1
                if self._windows:
                    credential.log = SendLog(self._windows)
                credential.disabled = old is not None and old.disabled
            self.credentials[spec.id] = credential
            self._enter(credential, now)
            if credential.expires is not None:
                heappush(self._expiries, (credential.expires, credential.used, credential))
                self.next_wake = min(self.next_wake, now + credential.expires - self._wall())
        self._disabled = sum(credential.disabled for credential in self.credentials.values())
        for credential in before.values():
            credential.removed = True
            self.stand(credential, now)
            if credential.in_flight:
                self._leaving[credential.id, credential.access.token] = credential
        return list(before.values())

    def _update(self, credential: Credential, spec: CredentialSpec) -> None:
        if credential.expired:
            credential.invalid = ""  # found anew if the new end has passed too
        credential.access = spec.access
        credential.expires = spec.expires
        credential.label = spec.label
        credential.renews = spec.renews

    def configure(self, capacity: int | None, windows: Sequence[RateWindow], now: float) -> None:
        """Change the rules; sends already made count under the new windows too."""
        self.capacity = capacity
        self._windows = tuple(windows)
        for credential in self.credentials.values():
            sent = credential.log.stamps() if credential.log is not None else ()
            credential.log = SendLog(self._windows, sent) if self._windows else None
            self.stand(credential, now)

    def census(self, model: str | None = None) -> Census:
        """Count credentials by state; for a model, the ones shut for it count as cooling."""
        census = super().census(model)
        census.disabled = self._disabled
        in_line = census.ready + census.busy + census.cooling + census.paced
        census.invalid = census.total - in_line - census.disabled
        return census

    def forgettable(self, now: float) -> bool:
        """Whether nothing here is worth remembering."""
        return not any(
            credential.in_flight
            or credential.invalid
            or credential.cooldown is not None
            or credential.models
            or (credential.log is not None and credential.log.quiet_at() > now)
            for credential in self.credentials.values()
        )

    def _enter(self, credential: Credential, now: float) -> None:
        """Bring in a credential from outside: what it is shut for is worked out anew."""
        credential.shut = SHUT_FOR_NONE
        for model, limit in (credential.models or {}).items():
            if limit.until > now or limit.probe is not None:
                credential.shut |= {model}
                self.alarm(credential, model, limit)
        self.stand(credential, now)
        self.expire(credential, now)

    def _record(self, credential: Credential, model: str | None) -> Cooldown:
        if model is None:
            if credential.cooldown is None:
                credential.cooldown = Cooldown()
            return credential.cooldown
        limits = credential.models
        if limits is None:
            limits = credential.models = {}
        limit = limits.get(model)
        if limit is None:
            if len(limits) >= MAX_MODELS:
                self._forget_model(credential, min(limits, key=lambda name: limits[name].until))
            limit = limits[model] = Cooldown()
        else:
            self.probe(model, limit, None)
        return limit

    def _rest(
        self, credential: Credential, model: str | None, record: Cooldown, now: float
    ) -> None:
        if model is None:
            # A model that would come back sooner than its credential comes back with it.
            for name, limit in (credential.models or {}).items():
                if now < limit.until < record.until:
                    limit.until = record.until
                    self.alarm(credential, name, limit)
        else:
            whole = credential.cooldown
            if whole is not None and whole.until > max(now, record.until):
                record.until = whole.until
            credential.shut |= {model}
            self.alarm(credential, model, record)
        self.stand(credential, now)

    def _forget_model(self, credential: Credential, model: str) -> None:
        assert credential.models is not None
        limit = credential.models.pop(model)
        self.probe(model, limit, None)
        credential.shut -= {model}
        if not credential.models:
            credential.models = None
