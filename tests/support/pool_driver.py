"""A pool whose time stands still until a test moves it, and requests that a test steps by hand.

Nothing here runs an event loop: a request is the real coroutine of ``async with pool.lease(...)``,
driven as a task would drive it, so a test sees every state between two awaits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any, Literal

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import (
    GatewayError,
    RateLimited,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
)
from chatgpt_to_api.pool.pool import CredentialSpec, Lease, LeaseAsk, Pool, PoolRules
from chatgpt_to_api.wire.secret import Access, Secret

WALL = 1_700_000_000.0
"""Unix time at loop time 1,000, where the clock starts."""


class Alarm:
    """A timer of the manual clock."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Loop time, Unix time and timers that only move when told.

    ``fired`` counts timer calls; ``skew`` is how far Unix time ran ahead while loop time stood
    still; ``early`` is how much too soon timers fire, as those of loops do that round to
    milliseconds.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.fired = 0
        self.skew = 0.0
        self.early = 0.0
        self._loop = asyncio.new_event_loop()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()

    def close(self) -> None:
        self._loop.close()

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now - 1000.0 + self.skew

    def call_at(self, when: float, callback: Callable[[], None], /) -> Alarm:
        alarm = Alarm(when, callback)
        heappush(self._alarms, (when, next(self._numbers), alarm))
        return alarm

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    def armed(self) -> list[float]:
        """When the timers that are set will fire, soonest first."""
        return sorted(when for when, _, alarm in self._alarms if not alarm.cancelled)

    def advance(self, seconds: float) -> None:
        """Let time pass, calling timers at their time."""
        self.to(self.now + seconds)

    def to(self, when: float) -> None:
        """Let time pass until ``when``."""
        while self._alarms and self._alarms[0][0] - self.early <= when:
            at, _, alarm = heappop(self._alarms)
            if not alarm.cancelled:
                self.now = max(self.now, at - self.early)
                self.fired += 1
                alarm.callback()
        self.now = max(self.now, when)


class Asking:
    """One request. ``state`` is waiting, held, refused, cancelled or over; ``error`` says why."""

    def __init__(self, pool: Pool, ask: LeaseAsk) -> None:
        self.ask = ask
        self.error: GatewayError | None = None
        self.state: Literal["waiting", "held", "refused", "cancelled", "over"] = "waiting"
        self.in_further_send = False
        self._future: asyncio.Future[None] | None = None
        try:
            self.lease: Lease = pool.lease(ask)
        except GatewayError as error:
            self.state, self.error = "refused", error
            return
        self._steps: Any = self.lease.__aenter__()
        self._step(None)

    def _step(self, thrown: BaseException | None) -> None:
        try:
            self._future = self._steps.throw(thrown) if thrown else self._steps.send(None)
        except StopIteration:
            self.state, self._future = "held", None
        except GatewayError as error:
            self.state, self.error, self._future = "refused", error, None
        except asyncio.CancelledError:
            self.state, self._future = "cancelled", None

    @property
    def woken(self) -> bool:
        """Whether the pool has answered, seen or not."""
        return self._future is not None and self._future.done()

    def see(self) -> Asking:
        """Run on as far as it goes, as a task would in its turn."""
        if self.woken:
            self._step(None)
        return self

    def cancel(self) -> None:
        """Cancel the request in both of a task's steps."""
        self.cancel_future()
        self.cancel_late()

    def cancel_future(self) -> None:
        """The first half of a task's cancel(): the future it waits for."""
        assert self._future is not None
        self._future.cancel()

    def cancel_late(self) -> None:
        """The second half: the error arrives inside, in the task's own turn."""
        assert self._future is not None
        self._step(asyncio.CancelledError())

    def next_send(self, deadline: float) -> Asking:
        """Begin to wait for a further send on the held lease; ``state`` is waiting or held."""
        assert self.state == "held"
        self.state = "waiting"
        self.in_further_send = True
        self._steps = self.lease.next_send(deadline)
        self._step(None)
        return self

    def leave(self) -> None:
        """End the request."""
        assert self.state == "held", self.state
        self._end()

    def leave_after_next_send(self) -> None:
        """End the request after a further send was refused or cancelled."""
        assert self.state in ("refused", "cancelled")
        self._end()

    def _end(self) -> None:
        steps: Any = self.lease.__aexit__(None, None, None)
        try:
            steps.send(None)
        except StopIteration:
            self.state = "over"
        else:
            raise AssertionError("leaving a lease must not wait")

    @property
    def id(self) -> str:
        assert self.state == "held", (self.state, self.error)
        return self.lease.credential.id


def spec(id: str, *, token: str | None = None, expires: float | None = None) -> CredentialSpec:
    """A credential whose token is made of its id."""
    secret = Secret(token if token is not None else f"eyJ-secret-token-of-{id}-0123456789")
    return CredentialSpec(id, Access(secret), expires, f"label-{id}")


class Bench:
    """A pool with one upstream ``up`` on a manual clock, and shorthands to use it."""

    def __init__(self, ids: Iterable[str] = (), *, jitter: float = 0.0, **rules: Any) -> None:
        self.clock = ManualClock()
        self.pool = Pool(self.clock, wall=self.clock.wall, rng=lambda: jitter)
        self.pool.configure("up", PoolRules(**rules))
        if ids:
            self.pool.replace("up", [spec(id) for id in ids])

    def ask(self, model: str = "m", client: str = "", *, wait: float = 30.0, **more: Any) -> Asking:
        """Ask for a credential; the wait is ``wait`` seconds at most."""
        more.setdefault("upstream", "up")
        deadline = self.clock.now + wait
        return Asking(self.pool, LeaseAsk(model=model, client=client, deadline=deadline, **more))

    def held(self, *args: Any, **more: Any) -> Asking:
        """Ask and be served at once."""
        asking = self.ask(*args, **more)
        assert asking.state == "held", (asking.state, asking.error)
        return asking

    def once(self, *args: Any, **more: Any) -> str:
        """Use a credential for a moment, well; return its id."""
        asking = self.held(*args, **more)
        asking.lease.ok()
        id = asking.id
        asking.leave()
        return id

    def refusal(self, *args: Any, **more: Any) -> GatewayError:
        """Ask and be refused at once."""
        asking = self.ask(*args, **more)
        assert asking.state == "refused" and asking.error is not None, asking.state
        return asking.error

    def fault(self, fault: UpstreamFault, *args: Any, **more: Any) -> str:
        """Use a credential and have the call fail; return its id."""
        asking = self.held(*args, **more)
        asking.lease.fault(fault)
        id = asking.id
        asking.leave()
        return id

    def states(self) -> dict[str, str]:
        """State of every credential by id."""
        return {view.id: view.state for view in self.pool.views("up")}


def refused_token(reason: str = "token expired") -> UpstreamFault:
    """401: the credential is invalid until replaced."""
    return UpstreamFault(
        error=UpstreamDenied("refused"),
        reason=reason,
        credential="invalid",
        retry="next_credential",
    )


def no_quota(reason: str = "no quota", seconds: float | None = 600.0) -> UpstreamFault:
    """402 or 403 with JSON: the whole credential cools down."""
    return UpstreamFault(
        error=UpstreamDenied("denied"),
        reason=reason,
        credential="cool",
        cool_for=seconds,
        retry="next_credential",
    )


def limited(
    seconds: float | None, reason: str = "429 Too many requests", *, only_model: bool = True
) -> UpstreamFault:
    """429, with the upstream's time or (None) without one."""
    return UpstreamFault(
        error=RateLimited("slow down"),
        reason=reason,
        credential="cool" if seconds is not None else "backoff",
        cool_for=seconds,
        only_model=only_model,
        retry="next_credential",
    )


def challenge(seconds: float | None = 60.0, reason: str = "challenge page") -> UpstreamFault:
    """403 or 503 with an HTML page: the upstream cools down."""
    return UpstreamFault(
        error=UpstreamChallenge("challenge"),
        reason=reason,
        upstream="cool",
        cool_for=seconds,
        retry="next_candidate",
    )


def broken(reason: str = "502 Bad Gateway") -> UpstreamFault:
    """Connect error, 5xx or timeout: counts for the circuit breaker."""
    return UpstreamFault(
        error=UpstreamFailed("failed"), reason=reason, upstream="count", retry="again"
    )


def rejected() -> UpstreamFault:
    """400 and the like: says nothing about credential or upstream."""
    return UpstreamFault(error=UpstreamFailed("bad request"), reason="400 bad request")
