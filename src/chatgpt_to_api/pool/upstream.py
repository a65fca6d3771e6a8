"""One upstream's pool: what calls come to, how it is configured, and a person's hand in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import NotFound, UpstreamDenied
from chatgpt_to_api.pool import refusal
from chatgpt_to_api.pool.contract import CredentialSpec, Kept, PoolRules, Timers
from chatgpt_to_api.pool.credential import Credential
from chatgpt_to_api.pool.lease import Lease
from chatgpt_to_api.pool.lending import Lending
from chatgpt_to_api.pool.proxies import PROXY_COOLDOWN
from chatgpt_to_api.pool.windows import SendLog
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import ANONYMOUS

ANONYMOUS_ID: Final = ""

UPSTREAM_UNTIMED: Final = 60.0
"""How long an upstream cools down whose fault gives no time, seconds."""


class UpstreamPool(Lending):
    """The pool of one upstream."""

    def __init__(
        self,
        name: str,
        rules: PoolRules,
        timers: Timers,
        wall: Callable[[], float],
        rng: Callable[[], float],
        changed: Callable[[UpstreamPool, Credential | None], None],
    ) -> None:
        """``changed`` hears of every credential (None: the upstream) whose kept state changes."""
        super().__init__(name, rules, timers, wall)
        self._wall = wall
        self._rng = rng
        self._changed = changed
        self.replace(())

    # What the call came to

    def succeeded(self, lease: Lease) -> None:
        """The upstream answers well; what the lease was a probe of is open again."""
        credential = lease.credential
        if not lease.answered:
            lease.answered = True
            credential.served += 1
        opened = False
        if credential.cooldown is not None or credential.models is not None:
            now = self._timers.time()
            opened = lease.shelf.succeeded(credential, lease.ask.model, lease, now)
            if opened and lease.ask.own is None:
                self._changed(self, credential)
        breaker = self.breaker
        if (breaker.shut or breaker.faults) and breaker.succeeded(lease):
            opened = True
            self._changed(self, None)
        if opened:
            self._serve(self._timers.time())

    def failed(self, lease: Lease, fault: UpstreamFault) -> None:
        """The credential and the upstream bear what the fault says about them."""
        now = self._timers.time()
        credential, shelf = lease.credential, lease.shelf
        credential.last_error = fault.reason
        self._fault_credential(lease, fault, now)
        if fault.credential != "none" and lease.ask.own is None and not credential.removed:
            self._changed(self, credential)
        if self._fault_upstream(lease, fault, now):
            self._refuse_everyone(now)
        elif fault.credential != "none":
            self._refuse_hopeless(shelf, now)

    def _fault_credential(self, lease: Lease, fault: UpstreamFault, now: float) -> None:
        credential, shelf = lease.credential, lease.shelf
        model = lease.ask.model if fault.only_model else None
        match fault.credential:
            case "invalid" if credential.id != ANONYMOUS_ID:
                shelf.invalidate(credential, fault.reason, now)
            case "invalid":
                # There is nothing to replace; the server may mend its ways.
                shelf.cool(credential, None, UPSTREAM_UNTIMED, fault.reason, now)
            case "cool":
                shelf.cool(credential, model, fault.cool_for, fault.reason, now)
                if model is None and isinstance(fault.error, UpstreamDenied):
                    assert credential.cooldown is not None
                    credential.cooldown.denied = True
                if fault.outage and credential.cooldown is not None:
                    credential.cooldown.outage = True
            case "backoff":
                shelf.back_off(credential, model, lease.since, fault.reason, now, self._rng)
            case "none":
                pass

    def _fault_upstream(self, lease: Lease, fault: UpstreamFault, now: float) -> bool:
        """Whether the upstream takes no requests from now on."""
        match fault.upstream:
            case "cool":
                seconds = UPSTREAM_UNTIMED if fault.cool_for is None else fault.cool_for
                if lease.proxy is not None and lease.proxy in self.outlets:
                    # The address was refused, and others are left.
                    self.outlets.cool(lease.proxy, now, seconds, fault.reason)
                    return self.outlets.shut(now) is not None
                self.breaker.cool(now, seconds, fault.reason)
                self._changed(self, None)
                return True
            case "count" if not lease.blameless:
                if self.breaker.faulted(lease, now, fault.reason):
                    self._changed(self, None)
                    return True
                return False
            case _:
                return False

    def proxy_failed(self, lease: Lease, reason: str) -> None:
        """Leave the lease's proxy alone for a while."""
        now = self._timers.time()
        if lease.proxy is not None:
            lease.blameless = True
            self.outlets.cool(lease.proxy, now, PROXY_COOLDOWN, reason)
            if self.outlets.shut(now) is not None:
                self._refuse_everyone(now)

    def sent(self, lease: Lease) -> None:
        """Count the lease's send from now."""
        now = self._timers.time()
        for log in (self.windows, lease.credential.log):
            if log is not None:
                log.moved(lease.stamp, now)
        lease.stamp = now

    def unbind(self, lease: Lease) -> None:
        """Forget which credential the lease's conversation goes to."""
        if lease.binding is not None:
            self._affinity.unbind(lease.binding)

    # Configuration

    def configure(self, rules: PoolRules) -> None:
        """Change the rules; sends already made count under the new windows too."""
        now = self._timers.time()
        sent = self.windows.stamps() if self.windows is not None else ()
        self.windows = SendLog(rules.rate_limits, sent) if rules.rate_limits else None
        self.breaker.threshold, self.breaker.open_for = rules.failure_threshold, rules.open_for
        self.shelf.configure(rules.max_concurrency, rules.credential_rate_limits, now)
        self.own.windows = rules.credential_rate_limits
        before, self.rules = self.rules, rules
        if before.needs_credentials != rules.needs_credentials:
            self.replace(self._specs())
        self._serve(now)

    def replace(self, specs: Sequence[CredentialSpec]) -> None:
        """Make the set of credentials what ``specs`` say, all or nothing.

        Raises ValueError for an id given twice. Who waits is served or refused accordingly.
        """
        if any(spec.id == ANONYMOUS_ID for spec in specs):
            raise ValueError("a credential has an empty id")
        now = self._timers.time()
        if not specs and not self.rules.needs_credentials:
            specs = (CredentialSpec(ANONYMOUS_ID, ANONYMOUS, None, "no credential needed"),)
        for gone in self.shelf.replace(specs, now):
            if gone.remarkable:
                self._changed(self, self.shelf.credentials.get(gone.id, gone))
        self._refuse_hopeless(self.shelf, now)
        self._serve(now)

    def _specs(self) -> list[CredentialSpec]:
        return [
            CredentialSpec(c.id, c.access, c.expires, c.label, c.renews)
            for c in self.shelf.credentials.values()
            if c.id != ANONYMOUS_ID
        ]

    def set_proxies(self, proxies: Sequence[Proxy]) -> None:
        """Go out through these from the next send on; a proxy that stays keeps its credentials."""
        self.outlets.replace(proxies if self.rules.rotate_proxies else ())
        for credential in self.shelf.credentials.values():
            if credential.proxy is not None and credential.proxy not in self.outlets:
                credential.proxy = None
        self._serve(self._timers.time())

    def close(self) -> None:
        """The upstream is gone from the configuration: nobody waits for it; leases finish."""
        for waiter in [*self.queue.everyone(), *self.resuming.values()]:
            self._dismiss(waiter, refusal.not_configured(self.name))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # A person's hand

    def credential(self, id: str) -> Credential:
        """Return one credential by id. Raises NotFound."""
        credential = self.shelf.credentials.get(id)
        if credential is None:
            raise NotFound(f"The upstream {self.name!r} has no credential with the id {id!r}.")
        return credential

    def disable(self, id: str) -> None:
        """Take a credential out of service until :meth:`enable`."""
        credential, now = self.credential(id), self._timers.time()
        self.shelf.disable(credential, now)
        self._changed(self, credential)
        self._refuse_hopeless(self.shelf, now)

    def enable(self, id: str) -> None:
        """Put a disabled credential back into service."""
        credential, now = self.credential(id), self._timers.time()
        self.shelf.enable(credential, now)
        self._changed(self, credential)
        self._serve(now)

    def reset(self, id: str | None) -> None:
        """Forget what one credential, or all and the upstream itself, are kept back for."""
        now = self._timers.time()
        if id is None:
            self.breaker.reset()
            self.outlets.reset()
            self._changed(self, None)
            chosen = list(self.shelf.credentials.values())
        else:
            chosen = [self.credential(id)]
        for credential in chosen:
            if credential.remarkable:
                self.shelf.reset(credential, now)
                self._changed(self, credential)
        self._serve(now)

    def restore(self, kept: Kept) -> None:
        """Take up one kept thing; of a credential that is gone, nothing."""
        now = self._timers.time()
        left = 0.0 if kept.until is None else max(0.0, kept.until - self._wall())
        if not kept.credential:
            if left:
                self.breaker.cool(now, left, kept.reason)
            return
        credential = self.shelf.credentials.get(kept.credential)
        if credential is None:
            return
        match kept.state:
            case "disabled":
                self.shelf.disable(credential, now)
            case "invalid":
                self.shelf.invalidate(credential, kept.reason, now)
            case "cooling":
                self.shelf.restore(
                    credential, kept.model or None, left, kept.reason, kept.failures, now
                )

    def look(self, now: float) -> None:
        """Bring everything up to date before it is shown."""
        if now >= self.shelf.next_wake:
            self._wake(self.shelf, now)
