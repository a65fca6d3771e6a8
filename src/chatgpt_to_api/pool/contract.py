"""What the gateway says to a pool and hears from it; any pool, in memory or shared, keeps this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

import msgspec

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.pool.windows import RateWindow
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import Access, Secret

NOBODY: frozenset[str] = frozenset()


class PoolRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one upstream may be used.

    ``max_concurrency``: requests at a time per credential, None is no limit. ``rate_limits`` hold
    for the upstream as a whole, ``credential_rate_limits`` for each credential.
    ``needs_credentials``: False for an upstream that answers without one; while none is given,
    requests then go out anonymously. ``failure_threshold`` faults in a row open the circuit for
    ``open_for`` seconds. ``max_queue``: most requests that wait. ``rotate_proxies``: whether the
    pool's outbound proxies are used for this upstream.
    """

    max_concurrency: int | None = 1
    rate_limits: tuple[RateWindow, ...] = ()
    credential_rate_limits: tuple[RateWindow, ...] = ()
    needs_credentials: bool = True
    failure_threshold: int = 5
    open_for: float = 10.0
    max_queue: int = 1000
    rotate_proxies: bool = True


class CredentialSpec(msgspec.Struct, frozen=True):
    """One credential as configured; ``expires`` is Unix time, ``id`` and ``label`` no secrets.

    ``renews``: it is this refresh token, and whoever lends it sees to its access.
    """

    id: str
    access: Access
    expires: float | None = None
    label: str = ""
    renews: Secret | None = None


class Errand(msgspec.Struct, frozen=True):
    """Work that no client waits for, to be done with one credential and no other.

    It never waits and keeps nobody waiting: it is lent only what is free and leaves something of
    every rate window, and ``give_way`` is called when a request has to wait for a credential: the
    lease is then to be given back at once.
    """

    credential: str
    give_way: Callable[[], object]


class LeaseAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What one request needs: a credential of ``upstream`` for ``model`` (as named there).

    ``client`` is what the queue is fair between. ``affinity`` identifies the conversation, b"" for
    none. ``prefer`` is the id of the credential to be taken before all others, where it is free.
    ``exclude``: ids of credentials not to be used. ``deadline`` is loop time: the end of the wait.
    ``own``: the caller's own token, used instead of the pool's. ``owner`` says for people
    whose lease it is (a request id). ``errand``: this is no request of a client. ``sit_out`` False:
    somebody else can be asked, so a wait for the end of a cool-down is refused at once; for a busy
    credential it waits all the same. ``edition``: which of the upstreams that had this name one
    after the other is meant; a credential of one is never lent for the address of another.
    """

    upstream: str
    model: str
    deadline: float
    client: str = ""
    affinity: bytes = b""
    prefer: str = ""
    exclude: AbstractSet[str] = NOBODY
    own: Access | None = None
    owner: str = ""
    errand: Errand | None = None
    sit_out: bool = True
    edition: int = 0


class Lent(Protocol):
    """The credential of a lease, as far as a call needs it."""

    @property
    def id(self) -> str:
        """Its id; "" where the upstream needs no credential."""
        ...

    @property
    def label(self) -> str:
        """Its name for people; no secret."""
        ...

    @property
    def access(self) -> Access:
        """What it puts on a request."""
        ...

    @property
    def renews(self) -> Secret | None:
        """The refresh token it was given as, while nobody has seen to its access."""
        ...

    @property
    def proxy(self) -> Proxy | None:
        """What the next send goes out through; None is directly."""
        ...


class Granted(Protocol):
    """The right to use one credential for one request, until the block that holds it is left."""

    @property
    def credential(self) -> Lent:
        """What is lent."""
        ...

    @property
    def since(self) -> float:
        """When it was granted, loop time."""
        ...

    def ok(self) -> None:
        """The upstream answers well: call it at the first content, again does no harm."""
        ...

    def fault(self, fault: UpstreamFault) -> None:
        """The call failed; the credential, proxy and upstream bear what the fault says."""
        ...

    def proxy_failed(self, reason: str = "the proxy failed") -> None:
        """The outbound proxy itself failed: another one next time, and no blame elsewhere."""
        ...

    def sent(self) -> None:
        """The request's bytes have left only now: the rate windows count it from now."""
        ...

    def unbind(self) -> None:
        """Forget which credential this conversation goes to."""
        ...

    async def next_send(self, deadline: float) -> None:
        """Wait for a further call's place in the rate windows. Raises RateLimited, Unavailable."""
        ...


class Lender(Protocol):
    """The only way to a credential."""

    def lease(self, ask: LeaseAsk) -> AbstractAsyncContextManager[Granted]:
        """Lend a credential; it comes back on success, error, timeout and cancellation.

        Entering raises RateLimited (all busy or cooling; ``retry_after`` says when it can work),
        NoCredentials (somebody has to act), Unavailable (the upstream itself is out of service),
        or Unauthorized (the caller's own token was refused).
        """
        ...

    def choice(self, upstream: str) -> bool:
        """Whether there is more than one credential to choose from."""
        ...

    def load(self, upstream: str, model: str) -> float:
        """How busy an upstream is for a model: requests, waiting ones too, per usable credential.

        Infinite where none can be served now.
        """
        ...


class Handle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Do not call back."""
        ...


class Timers(Protocol):
    """What the pool needs of an event loop; any asyncio loop will do."""

    def time(self) -> float:
        """Monotonic time, seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Handle:
        """Call back once at ``when``."""
        ...

    def create_future(self) -> asyncio.Future[None]:
        """A future of this loop."""
        ...


CredentialState: TypeAlias = Literal["ready", "busy", "cooling", "invalid", "disabled"]


class ModelCooling(msgspec.Struct, frozen=True):
    """A model a credential is not used for until ``until`` (Unix time); then a probe comes next."""

    model: str
    reason: str
    until: float


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """One credential as an administrator may see it; ``masked`` is all that shows of the secret.

    ``reason`` says why it is not ready, and ``until`` (Unix time) when that ends, where it ends by
    itself. ``probe``: its cool-down is over and one request has to succeed before others follow.
    ``served`` counts requests answered well.
    """

    id: str
    label: str
    masked: str
    state: CredentialState
    reason: str = ""
    until: float | None = None
    probe: bool = False
    in_flight: int = 0
    served: int = 0
    last_error: str = ""
    last_used: float | None = None
    expires: float | None = None
    proxy: str | None = None
    models: tuple[ModelCooling, ...] = ()


class UpstreamView(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream's pool at a glance; numbers of credentials by state, and of waiting requests.

    ``open``: False while a cool-down or the circuit breaker keeps requests away, with ``reason``
    and ``until`` (Unix time).
    """

    upstream: str
    total: int
    ready: int
    busy: int
    cooling: int
    invalid: int
    disabled: int
    in_flight: int
    waiting: int
    open: bool = True
    reason: str = ""
    until: float | None = None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that outlives the process: why a credential (or, with id "", the upstream) rests.

    ``model`` is "" where it holds for all models; ``until`` is Unix time, None for what does not
    end by itself; ``failures`` is the step of a backoff.
    """

    upstream: str
    credential: str
    state: Literal["cooling", "invalid", "disabled"]
    reason: str
    model: str = ""
    until: float | None = None
    failures: int = 0


StateListener: TypeAlias = Callable[[str, str, Sequence[Kept]], None]
"""Called with upstream, credential id and all to be kept about it now; nothing: forget it."""
