"""The pool: every upstream's credentials, in memory; the one door to them."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence

from chatgpt_to_api.pool.contract import (
    CredentialSpec,
    CredentialView,
    Kept,
    LeaseAsk,
    PoolRules,
    StateListener,
    Timers,
    UpstreamView,
)
from chatgpt_to_api.pool.credential import Credential
from chatgpt_to_api.pool.lease import Lease
from chatgpt_to_api.pool.refusal import not_configured
from chatgpt_to_api.pool.upstream import UpstreamPool
from chatgpt_to_api.pool.views import (
    credential_view,
    kept_of_credential,
    kept_of_upstream,
    upstream_view,
)
from chatgpt_to_api.pool.windows import RateWindow, parse_rate_limits
from chatgpt_to_api.wire.proxy import Proxy

__all__ = [
    "CredentialSpec",
    "CredentialView",
    "Kept",
    "Lease",
    "LeaseAsk",
    "Pool",
    "PoolRules",
    "RateWindow",
    "UpstreamView",
    "parse_rate_limits",
]


class Pool:
    """Lends credentials. All methods are plain calls on the event loop's thread.

    ``timers`` is the event loop; ``wall`` gives Unix time; ``rng`` a number from 0 up to 1.
    """

    def __init__(
        self,
        timers: Timers,
        *,
        wall: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._timers = timers
        self._wall = wall
        self._rng = rng
        self._upstreams: dict[str, UpstreamPool] = {}
        self._editions: dict[str, int] = {}
        self._retired: dict[tuple[str, int], UpstreamPool] = {}
        self._closed: list[UpstreamPool] = []
        self._proxies: tuple[Proxy, ...] = ()
        self._listener: StateListener | None = None

    # Configuration

    def configure(
        self, upstream: str, rules: PoolRules, *, edition: int = 0, linger: float = 0.0
    ) -> None:
        """Add an upstream, or change the rules of one; running and waiting requests go on.

        Another ``edition`` is another upstream of that name: the former one is forgotten with
        ``linger``, and the new one has no credentials yet.
        """
        if self._editions.get(upstream, edition) != edition:
            self.forget(upstream, linger=linger)
        self._editions[upstream] = edition
        pool = self._upstreams.get(upstream)
        if pool is None:
            pool = self._upstreams[upstream] = UpstreamPool(
                upstream, rules, self._timers, self._wall, self._rng, self._changed
            )
        else:
            pool.configure(rules)
        pool.set_proxies(self._proxies)

    def forget(self, upstream: str, *, linger: float = 0.0) -> None:
        """Remove an upstream: running requests finish, waiting ones are refused.

        For ``linger`` seconds it still lends to who asks for this edition of it, and only then are
        those refused that wait: requests that began before it went lose nothing.
        """
        pool = self._upstreams.get(upstream)
        if pool is None:
            return
        if self._listener is not None:
            for credential in pool.shelf.credentials.values():
                if credential.remarkable:
                    self._listener(upstream, credential.id, ())
            self._listener(upstream, "", ())
        del self._upstreams[upstream]
        place = (upstream, self._editions.pop(upstream))
        if linger > 0:
            self._retired[place] = pool
            self._timers.call_at(self._timers.time() + linger, lambda: self._close(place))
        else:
            pool.close()
            self._closed.append(pool)

    def _close(self, place: tuple[str, int]) -> None:
        pool = self._retired.pop(place, None)
        if pool is not None:
            pool.close()
            self._closed.append(pool)

    def replace(self, upstream: str, credentials: Sequence[CredentialSpec]) -> None:
        """Make an upstream's credentials these, all or nothing.

        Running requests finish on the old ones. A credential with the same id and token keeps its
        state and leases; waiting requests are served or refused accordingly at once. Raises
        ValueError for an empty id or one given twice, KeyError for an upstream never configured.
        """
        self._upstreams[upstream].replace(credentials)

    def set_proxies(self, proxies: Sequence[Proxy]) -> None:
        """Send through these outbound proxies, in rotation; none means directly."""
        self._proxies = tuple(proxies)
        for pool in self._upstreams.values():
            pool.set_proxies(self._proxies)

    # Lending

    def lease(self, ask: LeaseAsk) -> Lease:
        """Lend a credential for the length of an ``async with`` block.

        Entering waits its fair turn until ``ask.deadline``. It raises RateLimited (all busy or
        cooling, the pace is full, or the queue is), NoCredentials (somebody has to act),
        Unavailable (the upstream is out of service) or Unauthorized (the caller's own token is
        known to be refused); each says in words what happens and, where it ends, when.
        """
        pool = self._upstreams.get(ask.upstream)
        if pool is None or self._editions[ask.upstream] != ask.edition:
            pool = self._retired.get((ask.upstream, ask.edition))
            if pool is None:
                raise not_configured(ask.upstream)
        return Lease(pool, ask)

    def choice(self, upstream: str) -> bool:
        """Whether there is more than one credential to choose from."""
        pool = self._upstreams.get(upstream)
        return pool is not None and len(pool.shelf.credentials) > 1

    def has(self, upstream: str, credential: str) -> bool:
        """Whether a credential is one of an upstream's."""
        pool = self._upstreams.get(upstream)
        return pool is not None and credential in pool.shelf.credentials

    def load(self, upstream: str, model: str) -> float:
        """How busy an upstream is for a model: requests, waiting ones too, per usable credential.

        Infinite where none can be served now.
        """
        pool = self._upstreams.get(upstream)
        return math.inf if pool is None else pool.load(model)

    @property
    def in_flight(self) -> int:
        """How many leases are held."""
        self._closed = [pool for pool in self._closed if pool.in_flight]
        pools = [*self._upstreams.values(), *self._retired.values(), *self._closed]
        return sum(pool.in_flight for pool in pools)

    @property
    def waiting(self) -> int:
        """How many requests wait for a credential."""
        pools = [*self._upstreams.values(), *self._retired.values()]
        return sum(pool.queue.waiting for pool in pools)

    # A person's view and hand

    def view(self, upstream: str) -> UpstreamView:
        """Show one upstream at a glance, at a cost that does not depend on how many credentials."""
        pool, now = self._upstreams[upstream], self._timers.time()
        pool.look(now)
        return upstream_view(pool, now, self._wall())

    def views(self, upstream: str) -> list[CredentialView]:
        """Show every credential of an upstream, secrets masked."""
        pool, now = self._upstreams[upstream], self._timers.time()
        pool.look(now)
        wall = self._wall()
        return [credential_view(c, now, wall) for c in pool.shelf.credentials.values()]

    def reset(self, upstream: str, credential: str | None = None) -> None:
        """Forget cool-downs, backoffs and invalidity: of one credential, or of all, the upstream
        itself and its proxies. What a person disabled stays so. Raises NotFound.
        """
        self._upstreams[upstream].reset(credential)

    def disable(self, upstream: str, credential: str) -> None:
        """Take a credential out of service until :meth:`enable`. Raises NotFound."""
        self._upstreams[upstream].disable(credential)

    def enable(self, upstream: str, credential: str) -> None:
        """Put a disabled credential back into service. Raises NotFound."""
        self._upstreams[upstream].enable(credential)

    # Over a restart

    def on_state(self, listener: StateListener | None) -> None:
        """Tell ``listener`` of every state that should outlive the process.

        It is called in the middle of a change, so it only notes what it hears and never calls back.
        """
        self._listener = listener

    def states(self) -> list[Kept]:
        """Everything that should outlive the process."""
        now, wall = self._timers.time(), self._wall()
        kept: list[Kept] = []
        for pool in self._upstreams.values():
            kept += kept_of_upstream(pool, now, wall)
            for credential in pool.shelf.credentials.values():
                kept += kept_of_credential(pool.name, credential, now, wall)
        return kept

    def restore(self, states: Iterable[Kept]) -> None:
        """Take up kept states, after :meth:`replace`; what is about something gone is left out."""
        for kept in states:
            pool = self._upstreams.get(kept.upstream)
            if pool is not None:
                pool.restore(kept)

    def _changed(self, pool: UpstreamPool, credential: Credential | None) -> None:
        if self._listener is None or self._upstreams.get(pool.name) is not pool:
            return  # what a removed upstream still learns is not about the one of its name
        now, wall = self._timers.time(), self._wall()
        if credential is None:
            self._listener(pool.name, "", kept_of_upstream(pool, now, wall))
        else:
            kept = kept_of_credential(pool.name, credential, now, wall)
            self._listener(pool.name, credential.id, kept)
