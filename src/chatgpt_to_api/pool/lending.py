"""Who gets which credential when: granting, waiting in line, giving back.

Every method is a plain call that leaves the state whole: it changes what it has to, then serves or
refuses whoever waits and can be (``_serve``, ``_refuse_hopeless``), then sets the one timer for the
next moment at which time alone changes anything. Requests only ever wait on their own future.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.pool import outlook, refusal
from chatgpt_to_api.pool.affinity import Affinity
from chatgpt_to_api.pool.breaker import Breaker
from chatgpt_to_api.pool.contract import NOBODY, Handle, LeaseAsk, PoolRules, Timers
from chatgpt_to_api.pool.credential import Credential
from chatgpt_to_api.pool.lease import Lease
from chatgpt_to_api.pool.own import OwnTokens
from chatgpt_to_api.pool.proxies import Outlets
from chatgpt_to_api.pool.queue import Deadlines, FairQueue, Waiter
from chatgpt_to_api.pool.shelf import Shelf
from chatgpt_to_api.pool.windows import SendLog

_SHORTEST_TIMER: Final = 0.001
_HOLD_WEIGHT: Final = 0.2


class Lending:
    """Credentials, callers' own tokens, windows, breaker, proxies and queue of one upstream."""

    def __init__(
        self,
        name: str,
        rules: PoolRules,
        timers: Timers,
        wall: Callable[[], float],
    ) -> None:
        self.name = name
        self.rules = rules
        self.in_flight = 0
        self.shelf = Shelf(rules.max_concurrency, rules.credential_rate_limits, wall)
        self.own = OwnTokens(rules.credential_rate_limits, wall)
        self.windows = SendLog(rules.rate_limits) if rules.rate_limits else None
        self.breaker = Breaker(rules.failure_threshold, rules.open_for)
        self.outlets = Outlets()
        self.queue = FairQueue()
        self.resuming: OrderedDict[int, Waiter] = OrderedDict()
        """Leases that wait for the place of a further send; they come before new requests."""
        self.errands: list[Lease] = []
        """Leases for work that gives way to whoever waits."""
        self._affinity = Affinity()
        self._timers = timers
        self._deadlines = Deadlines()
        self._arrivals = 0
        self._timer: Handle | None = None
        self._timer_at = math.inf

    # Getting a credential

    def join(self, lease: Lease) -> Waiter | None:
        """Grant ``lease`` a credential and return None, or return its place in the queue.

        Raises RateLimited, NoCredentials, Unavailable or Unauthorized where waiting is no use.
        """
        ask = lease.ask
        now = self._timers.time()
        if self.breaker.shut or self.outlets.order:
            self._check_open(now)
        shelf = self.shelf if ask.own is None else self.own.shelf(ask.own, now)
        if now >= shelf.next_wake:
            self._wake(shelf, now)
        if self.windows is None or self._in_pace(self.windows, now):
            credential = self._pick(lease, shelf, now)
            if credential is not None:
                self._grant(lease, shelf, credential, now)
                return None
        try:
            return self._wait(lease, shelf, now)
        except GatewayError:
            self._tidy_own(shelf, now)
            raise

    def _in_pace(self, windows: SendLog, now: float) -> bool:
        """Whether one more request may go, after those that wait."""
        if windows.opens_at() > now:
            return False
        if self.queue.waiting or self.resuming:
            self._serve(now)  # the window has opened before its timer fired: they were first
            return windows.opens_at() <= now
        return True

    def _check_open(self, now: float) -> None:
        shut = self.shut(now)
        if shut is not None:
            raise refusal.upstream_shut(self.name, shut[1], shut[0] - now)

    def shut(self, now: float) -> tuple[float, str] | None:
        """Until when and why no request goes out; None while one may."""
        if not self.breaker.admits(now):
            return self.breaker.until, self.breaker.reason
        return self.outlets.shut(now)

    def load(self, model: str) -> float:
        """Requests, waiting ones too, per usable credential; infinite where none is."""
        now = self._timers.time()
        if self.shut(now) is not None:
            return math.inf
        if now >= self.shelf.next_wake:
            self._wake(self.shelf, now)
        census = self.shelf.census(model)
        usable = census.ready + census.busy + census.paced
        return (self.in_flight + self.queue.waiting) / usable if usable else math.inf

    def _pick(self, lease: Lease, shelf: Shelf, now: float) -> Credential | None:
        """The credential this request would get now: its conversation's, else the next in turn."""
        ask = lease.ask
        if ask.errand is not None:
            return self._pick_spare(ask.errand.credential, ask, shelf, now)
        if ask.prefer and (credential := self._free(ask.prefer, ask, shelf, now)) is not None:
            return credential
        if ask.affinity and ask.own is None:
            if lease.binding is None:
                lease.binding = Affinity.key(ask.client, ask.affinity)
            bound = self._affinity.get(lease.binding, now)
            if bound is not None and (credential := self._free(bound, ask, shelf, now)) is not None:
                return credential
        while True:
            credential = shelf.choose(ask.model, ask.exclude)
            if (
                credential is None
                or credential.expires is None
                or not shelf.expire(credential, now)
            ):
                return credential

    def _free(self, id: str, ask: LeaseAsk, shelf: Shelf, now: float) -> Credential | None:
        """This very credential, if the request can have it now."""
        credential = shelf.credentials.get(id)
        if (
            credential is None
            or id in ask.exclude
            or not shelf.serves(credential, ask.model)
            or shelf.expire(credential, now)
        ):
            return None
        return credential

    def _pick_spare(self, id: str, ask: LeaseAsk, shelf: Shelf, now: float) -> Credential | None:
        """This very credential for an errand, if a request that came next would miss nothing."""
        credential = self._free(id, ask, shelf, now)
        if credential is None or self.queue.waiting or self.resuming:
            return None
        for windows in (self.windows, credential.log):
            if windows is not None and windows.opens_after(1, now) > now:
                return None
        return credential

    def _grant(self, lease: Lease, shelf: Shelf, credential: Credential, now: float) -> None:
        ask = lease.ask
        shelf.take(credential, ask.model, lease, now)
        if ask.own is not None:
            credential.access = ask.own
        elif lease.binding is not None:
            self._bind(lease.binding, shelf, credential, now)
        if self.windows is not None:
            self.windows.take(now)
        if self.breaker.shut:
            self.breaker.probe = lease
        if self.outlets.order:
            credential.proxy = self.outlets.assign(credential.proxy, now)
        lease.proxy = credential.proxy
        lease.shelf = shelf
        lease.credential = credential
        lease.since = lease.stamp = now
        lease.held = True
        self.in_flight += 1
        if ask.errand is not None:
            self.errands.append(lease)

    def _bind(self, key: int, shelf: Shelf, credential: Credential, now: float) -> None:
        """Bind a conversation to the credential that serves it, unless another one still holds it.

        One that is busy or cooling keeps it: this request is only a guest of ``credential``.
        """
        bound = self._affinity.get(key, now)
        holder = shelf.credentials.get(bound) if bound is not None else None
        if holder is None or holder.movable:
            holder = credential
        self._affinity.bind(key, holder.id, now)

    # Waiting for one

    def _wait(self, lease: Lease, shelf: Shelf, now: float) -> Waiter:
        ask = lease.ask
        if ask.errand is not None:
            credential = shelf.credentials.get(ask.errand.credential)
            if credential is None or not credential.usable:
                raise refusal.credential_gone(self.name, ask.errand.credential)
            raise refusal.no_errand(self.name, ask.errand.credential)
        error = outlook.hopeless(self, ask, shelf, now)
        if error is None and (ask.deadline <= now or self.rules.max_queue == 0):
            error = outlook.not_in_time(self, ask, shelf, now)
        if error is not None:
            raise error
        if self.queue.waiting >= self.rules.max_queue:
            loser = self.queue.crowded_out(ask.client)
            full = outlook.queue_full(self, shelf, now)
            if loser is None:
                raise full
            self._dismiss(loser, full)
        waiter = self._waiter(lease, ask.deadline)
        self.queue.join(waiter, shelf)
        self._wake_by(min(ask.deadline, self._next_change([shelf], now)), now)
        for errand in self.errands:
            assert errand.ask.errand is not None
            errand.ask.errand.give_way()
        return waiter

    def _waiter(self, lease: Lease, deadline: float) -> Waiter:
        self._arrivals += 1
        waiter = Waiter(lease, self._timers.create_future(), deadline, self._arrivals)
        self._deadlines.add(waiter)
        return waiter

    def abandon(self, waiter: Waiter) -> None:
        """The request was cancelled while it waited, or before it saw what it got."""
        lease = waiter.lease
        now = self._timers.time()
        if not waiter.gone:
            shelf = waiter.lane.demand.shelf if waiter.lane is not None else None
            self._dismiss(waiter)
            if shelf is not None:
                self._tidy_own(shelf, now)
        elif lease.held and waiter.refusal is None:
            # Granted but not seen: nothing was sent.
            if self.windows is not None:
                self.windows.give_back(lease.stamp)
            lease.shelf.unsent(lease.credential, lease.stamp, now)
            if not waiter.resuming:
                self._return(lease, now)
            self._serve(now)

    def _dismiss(self, waiter: Waiter, error: GatewayError | None = None) -> None:
        """Take a waiter out; wake it, with an error if there is one."""
        if waiter.gone:
            return
        self._deadlines.drop(waiter)
        self.queue.leave(waiter)
        self.resuming.pop(waiter.number, None)
        waiter.wake(error)

    # A further call on the same lease

    def join_again(self, lease: Lease, deadline: float) -> Waiter | None:
        """Count a further send of a lease and return None, or return its place in line."""
        now = self._timers.time()
        shut = self.shut(now)
        if shut is not None and self.breaker.probe is not lease:
            raise refusal.upstream_shut(self.name, shut[1], shut[0] - now)
        opens = self._opens_again(lease)
        if opens <= now:
            self._send_again(lease, now)
            return None
        if opens > deadline:
            log = self.windows or lease.credential.log
            assert log is not None
            raise refusal.out_of_pace(self.name, log.windows, opens - now)
        waiter = self._waiter(lease, deadline)
        self.resuming[waiter.number] = waiter
        self._wake_by(min(opens, deadline), now)
        return waiter

    def _opens_again(self, lease: Lease) -> float:
        log = lease.credential.log
        own = log.opens_at() if log is not None else -math.inf
        return max(own, self.windows.opens_at() if self.windows is not None else -math.inf)

    def _send_again(self, lease: Lease, now: float) -> None:
        if self.windows is not None:
            self.windows.take(now)
        lease.shelf.send_again(lease.credential, now)
        if self.outlets.order:
            lease.credential.proxy = self.outlets.assign(lease.credential.proxy, now)
        lease.proxy = lease.credential.proxy
        lease.stamp = now

    # Giving it back

    def give_back(self, lease: Lease) -> None:
        """The request has ended, however it did; its credential goes to the next."""
        now = self._timers.time()
        shelf = lease.shelf
        if lease.ask.errand is None:
            shelf.hold += (now - lease.since - shelf.hold) * _HOLD_WEIGHT
        self._return(lease, now)
        if self.queue.waiting or self.resuming:
            self._serve(now, None if self.breaker.shut else shelf)

    def _return(self, lease: Lease, now: float) -> None:
        lease.held = False
        self.in_flight -= 1
        if lease.ask.errand is not None:
            self.errands.remove(lease)
        lease.shelf.give_back(lease.credential, lease.ask.model, lease, now)
        if self.breaker.shut:
            self.breaker.released(lease)
        if lease.ask.own is not None:
            self._tidy_own(lease.shelf, now)

    def _tidy_own(self, shelf: Shelf, now: float) -> None:
        if shelf is not self.shelf and not self.queue.demands(shelf):
            self.own.unused(shelf, now)

    # Serving and refusing those who wait

    def _serve(self, now: float, shelf: Shelf | None = None) -> None:
        """Grant what can be granted now, of one shelf or of all, in fair order."""
        while self.queue.waiting or self.resuming:
            if self.windows is not None and self.windows.opens_at() > now:
                break
            if self.resuming and self._resume(now):
                continue
            if not self.queue.waiting or self.shut(now) is not None:
                break
            found = self.queue.next(
                self.queue.shelves() if shelf is None else (shelf,),
                lambda demand: demand.shelf.choose(demand.model) is not None,
                lambda waiter: self._pick_for(waiter, now),
            )
            if found is None:
                break
            waiter, credential = found
            assert waiter.lane is not None
            stock = waiter.lane.demand.shelf
            self.queue.serve(waiter)
            self._grant(waiter.lease, stock, credential, now)
            self._dismiss(waiter)
        if self.queue.waiting or self.resuming:
            shelves = self.queue.shelves() if shelf is None else [shelf]
            self._wake_by(self._next_change(shelves, now), now)

    def _pick_for(self, waiter: Waiter, now: float) -> Credential | None:
        if waiter.future.done():  # cancelled, and about to leave by itself
            return None
        assert waiter.lane is not None
        return self._pick(waiter.lease, waiter.lane.demand.shelf, now)

    def _resume(self, now: float) -> bool:
        """Let one lease go on that waits for a further send; they come before new requests."""
        for waiter in self.resuming.values():
            if not waiter.future.done() and self._opens_again(waiter.lease) <= now:
                self._send_again(waiter.lease, now)
                self._dismiss(waiter)
                return True
        return False

    def _refuse_hopeless(self, shelf: Shelf, now: float) -> None:
        """Something got worse: whoever cannot be served before their deadline hears it at once."""
        for demand in self.queue.demands(shelf):
            if shelf.hope(demand.model, NOBODY, now).at <= now and not demand.excluding:
                continue
            for waiter in list(demand):
                error = outlook.hopeless(self, waiter.lease.ask, shelf, now)
                if error is not None:
                    self._dismiss(waiter, error)
        self._tidy_own(shelf, now)
        if self.queue.waiting:
            self._wake_by(shelf.next_wake, now)

    def _refuse_everyone(self, now: float) -> None:
        """The upstream is out of service, and others may be tried at once."""
        shut = self.shut(now)
        if shut is None:
            return
        for waiter in [*self.queue.everyone(), *self.resuming.values()]:
            self._dismiss(waiter, refusal.upstream_shut(self.name, shut[1], shut[0] - now))

    # Time

    def _wake(self, shelf: Shelf, now: float) -> None:
        worse = shelf.wake(now)
        if self.queue.waiting:
            if worse:
                self._refuse_hopeless(shelf, now)
            self._serve(now, shelf)

    def _next_change(self, shelves: Sequence[Shelf], now: float) -> float:
        """When time alone may let somebody go on."""
        if self.windows is not None and (opens := self.windows.opens_at()) > now:
            return opens
        soonest = min((shelf.next_wake for shelf in shelves), default=math.inf)
        for waiter in self.resuming.values():
            soonest = min(soonest, self._opens_again(waiter.lease))
        return soonest

    def _wake_by(self, when: float, now: float) -> None:
        """Make sure the timer fires at ``when`` or sooner."""
        at = max(when, now + _SHORTEST_TIMER)
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._timers.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        now = self._timers.time()
        for shelf in self.queue.shelves():
            if now >= shelf.next_wake:
                self._wake(shelf, now)
        self._serve(now)
        for waiter in self._deadlines.passed(now):
            lease = waiter.lease
            if waiter.lane is not None:
                shelf = waiter.lane.demand.shelf
                self._dismiss(waiter, outlook.not_in_time(self, lease.ask, shelf, now))
                self._tidy_own(shelf, now)
            else:
                log = self.windows or lease.credential.log
                assert log is not None
                wait = self._opens_again(lease) - now
                self._dismiss(waiter, refusal.out_of_pace(self.name, log.windows, wait))
        if self.queue.waiting or self.resuming:
            change = self._next_change(self.queue.shelves(), now)
            self._wake_by(min(change, self._deadlines.soonest()), now)
