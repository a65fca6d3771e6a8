"""Credentials that are refresh tokens: lent with an access token that is good, got where need be.

A refresh token can be spent once. So it is written down, before it is shown to the token server,
that it may be spent now; and what came for it is on the disk before it is used. One that was shown
and never answered for is not shown again: whether it is spent nobody here can know.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final

import structlog
from msgspec import structs

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import Unavailable, UpstreamDenied, UpstreamFailed
from chatgpt_to_api.pool.contract import Granted, LeaseAsk, Lender, Lent
from chatgpt_to_api.store.errors import StoreError, StoreUnavailable
from chatgpt_to_api.store.renewals import Renewal, Renewals
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import ConnectFailed, TransportError
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.refresh import (
    USUAL_REST,
    Grant,
    Refusal,
    TokenServer,
    Unclear,
    read_answer,
    refresh_request,
)
from chatgpt_to_api.wire.secret import Access, Secret

log = structlog.get_logger(__name__)

MARGIN: Final = 300.0
"""How long before its end an access token is renewed, seconds; a fifth of a shorter life."""

TIMEOUT: Final = 30.0
"""Longest time a token server may take, seconds."""

PAUSE: Final = 30.0
"""How long a token that is still good is used before renewing it is tried again, seconds."""

_MOST: Final = 256 * 1024
"""Longest answer of a token server that is read, bytes."""

_CUT_OFF: Final = (
    "a renewal of it was cut off, and whether its refresh token is spent is not known; give a new "
    "one, or reset this one to try once more"
)


class Renewer:
    """Renews the credentials of all upstreams. ``wall`` gives Unix time.

    ``client`` must keep no connections: a request on one that turns out closed is sent again.
    """

    def __init__(self, store: Renewals, client: HttpClient, wall: Callable[[], float]) -> None:
        self._store = store
        self._client = client
        self._wall = wall
        self._chains: dict[tuple[str, str], Chain] = {}
        self._tasks: set[asyncio.Task[UpstreamFault | None]] = set()

    def of(self, upstream: str, server: TokenServer) -> RenewingUpstream:
        """Return who lends the credentials of ``upstream``."""
        return RenewingUpstream(self, upstream, server)

    def chain(self, upstream: str, id: str, seed: Secret) -> Chain:
        """Return what is known of one credential."""
        chain = self._chains.get((upstream, id))
        if chain is None:
            chain = self._chains[upstream, id] = Chain(upstream, id, seed)
        return chain

    def forget_unless(self, has: Callable[[str, str], bool]) -> None:
        """Forget credentials of which an upstream does not have any more; the disk keeps theirs.

        What is being renewed, or could not be written down yet, stays until it is.
        """
        self._chains = {
            place: chain
            for place, chain in self._chains.items()
            if chain.running is not None or chain.unsaved is not None or has(*place)
        }

    async def ready(
        self, chain: Chain, server: TokenServer, deadline: float
    ) -> UpstreamFault | None:
        """Have a good access token in ``chain``, until loop time ``deadline``.

        Returns what it means that there is none. However many wait, one renewal is made; it goes
        on when they go away. Raises Unavailable when the deadline passes.
        """
        if self._is_good(chain):
            return None
        await in_task()
        task = chain.running
        if task is None:
            task = asyncio.create_task(self._renew(chain, server), name="renewal")
            chain.running = task
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._over(chain, done))
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable(
                "The upstream's credential is being renewed, which takes too long.",
                code="renewal_pending",
                retry_after=1,
            ) from None

    async def close(self) -> None:
        """Wait for renewals that run: what a token server has given is not to be lost."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _over(self, chain: Chain, task: asyncio.Task[UpstreamFault | None]) -> None:
        chain.running = None
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("renewal failed", upstream=chain.upstream, exc_info=task.exception())

    def _is_good(self, chain: Chain) -> bool:
        renewal = chain.renewal
        if renewal is None or renewal.access is None or chain.refused or chain.unsaved:
            return False
        now = self._wall()
        return now < _renew_at(renewal) or (_is_alive(renewal, now) and now < chain.pause_until)

    async def _renew(self, chain: Chain, server: TokenServer) -> UpstreamFault | None:
        """Renew one; None where there is a good access token then."""
        try:
            if chain.unsaved:
                await self._save(chain, chain.unsaved)
            elif chain.renewal is None:
                chain.renewal = await self._store.load(chain.upstream, chain.id) or Renewal(
                    chain.seed
                )
            if self._is_good(chain):
                return None
            fault = await self._spend(chain, chain.renewal, server)
            if fault is None:
                log.info("credential renewed", upstream=chain.upstream, credential=chain.id)
                return None
            return await self._make_do(chain, fault)
        except (StoreUnavailable, StoreError) as error:
            return _cooling(f"its renewal cannot be stored: {error}", USUAL_REST)

    async def _make_do(self, chain: Chain, fault: UpstreamFault) -> UpstreamFault | None:
        """It was not renewed: return what that means, None while its old token is good."""
        log.warning(
            "credential not renewed",
            upstream=chain.upstream,
            credential=chain.id,
            reason=fault.reason,
        )
        renewal, now = chain.renewal, self._wall()
        assert renewal is not None, "it was read, or begins with what was given"
        if _is_alive(renewal, now) and not chain.refused:
            later = now + PAUSE if fault.credential == "cool" else math.inf
            chain.pause_until = later  # and in any case not longer than it lives
            return None
        if renewal.spending == "begun":
            # A person is told now; it is lent again only once that person has reset it.
            await self._save(chain, structs.replace(renewal, spending="told"))
        return fault

    async def _spend(
        self, chain: Chain, renewal: Renewal | None, server: TokenServer
    ) -> UpstreamFault | None:
        assert renewal is not None, "it was read, or begins with what was given"
        if renewal.spending == "begun":
            return _invalid(_CUT_OFF)
        await self._save(chain, structs.replace(renewal, spending="begun"))
        answer = await self._ask(server, renewal.refresh)
        match answer:
            case Grant(access, refresh, expires):
                fresh = Renewal(refresh or renewal.refresh, access, expires, self._wall())
                chain.unsaved = fresh
                chain.unproven = True
                await self._save(chain, fresh)
                return None
            case Refusal(reason, final, wait):
                await self._save(chain, structs.replace(renewal, spending="no"))
                return _invalid(reason) if final else _cooling(reason, wait)
            case Unclear(reason):
                return _invalid(f"{reason}; {_CUT_OFF}")

    async def _save(self, chain: Chain, renewal: Renewal) -> None:
        await self._store.save(chain.upstream, chain.id, renewal)
        if renewal is chain.unsaved:
            chain.unsaved = None
            chain.refused = False
        chain.renewal = renewal

    async def _ask(self, server: TokenServer, refresh: Secret) -> Grant | Refusal | Unclear:
        """Show a refresh token to its server."""
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        try:
            reply = await self._client.send(
                refresh_request(server, refresh),
                proxy=server.proxy,
                connect_timeout=TIMEOUT / 3,
                read_timeout=TIMEOUT,
                deadline=deadline,
            )
            try:
                body = bytearray()
                while (data := await reply.read()) and len(body) < _MOST:
                    body += data
            finally:
                reply.close()
        except ConnectFailed as error:
            return Refusal(f"the token server (token_url) cannot be reached: {error.message}")
        except TransportError as error:
            return Unclear(f"the token server did not answer: {error.message}")
        return read_answer(reply.head, bytes(body), self._wall())


class Chain:
    """One credential: the newest link, and what is known of it beside."""

    __slots__ = (
        "id",
        "pause_until",
        "refused",
        "renewal",
        "running",
        "seed",
        "unproven",
        "unsaved",
        "upstream",
    )

    def __init__(self, upstream: str, id: str, seed: Secret) -> None:
        self.upstream = upstream
        self.id = id
        self.seed = seed
        self.renewal: Renewal | None = None
        self.unsaved: Renewal | None = None
        """What a token server has given and the disk has not taken yet: not to be used."""
        self.refused = False
        """The upstream does not take the access token, though it may not be at its end."""
        self.unproven = False
        """The access token is new, and nobody has been answered with it yet."""
        self.pause_until = 0.0
        self.running: asyncio.Task[UpstreamFault | None] | None = None

    @property
    def access(self) -> Secret | None:
        """The access token."""
        return None if self.renewal is None else self.renewal.access


class RenewingUpstream:
    """Lends the credentials of one upstream, with access tokens that are good."""

    def __init__(self, renewer: Renewer, upstream: str, server: TokenServer) -> None:
        self._renewer = renewer
        self._upstream = upstream
        self._server = server

    def lease(self, pool: Lender, ask: LeaseAsk) -> AbstractAsyncContextManager[Granted]:
        """Lend one of ``pool``'s. Entering raises what its own lease raises, and Unavailable."""
        return _RenewedLease(self, pool, ask)

    async def ready(self, lent: Lent, deadline: float) -> Chain | UpstreamFault | None:
        """Return a credential's chain with a good token, or why there is none; None for a key."""
        if lent.renews is None:
            return None
        chain = self._renewer.chain(self._upstream, lent.id, lent.renews)
        return await self._renewer.ready(chain, self._server, deadline) or chain


class _RenewedLease:
    """A lease of the pool that begins once its credential is good; ones that are not are passed."""

    def __init__(self, upstream: RenewingUpstream, pool: Lender, ask: LeaseAsk) -> None:
        self._upstream = upstream
        self._pool = pool
        self._ask = ask
        self._lease: AbstractAsyncContextManager[Granted] | None = None

    async def __aenter__(self) -> Granted:
        while True:
            lease = self._pool.lease(self._ask)
            granted = await lease.__aenter__()
            try:
                found = await self._upstream.ready(granted.credential, self._ask.deadline)
            except BaseException as error:
                await lease.__aexit__(type(error), error, error.__traceback__)
                raise
            if not isinstance(found, UpstreamFault):
                self._lease = lease
                return granted if found is None else _Renewed(granted, found)
            granted.fault(found)
            await lease.__aexit__(None, None, None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            await self._lease.__aexit__(kind, error, trace)


class _Renewed:
    """What the pool has granted, with the chain's access token in the refresh token's place."""

    def __init__(self, granted: Granted, chain: Chain) -> None:
        self._granted = granted
        self._chain = chain
        self.credential = _Shown(granted.credential, Access(token=chain.access))
        self.since = granted.since
        self.proxy_failed = granted.proxy_failed
        self.sent = granted.sent
        self.unbind = granted.unbind
        self.next_send = granted.next_send

    def ok(self) -> None:
        """The upstream answers well."""
        if self._is_current:
            self._chain.unproven = False
        self._granted.ok()

    def fault(self, fault: UpstreamFault) -> None:
        """The call failed. A token that is refused is renewed, and only a new one to blame."""
        if fault.credential == "invalid":
            if not self._is_current:  # it has been renewed since
                fault = structs.replace(fault, credential="none")
            elif not self._chain.unproven:
                self._chain.refused = True
                fault = structs.replace(fault, credential="none")
        self._granted.fault(fault)

    @property
    def _is_current(self) -> bool:
        return self.credential.access.token == self._chain.access


class _Shown:
    """A credential as a call needs it."""

    renews = None

    def __init__(self, lent: Lent, access: Access) -> None:
        self._lent = lent
        self.id = lent.id
        self.label = lent.label
        self.access = access

    @property
    def proxy(self) -> Proxy | None:
        """What the next send goes out through."""
        return self._lent.proxy


def _renew_at(renewal: Renewal) -> float:
    if renewal.expires is None:
        return math.inf
    return renewal.expires - min(MARGIN, (renewal.expires - renewal.since) / 5)


def _is_alive(renewal: Renewal, now: float) -> bool:
    return renewal.access is not None and (renewal.expires is None or now < renewal.expires)


def _invalid(reason: str) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamDenied(f"The upstream's credential cannot be renewed: {reason}."),
        reason=f"not renewed: {reason}",
        credential="invalid",
        retry="next_credential",
    )


def _cooling(reason: str, wait: float) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamFailed(f"The upstream's credential cannot be renewed now: {reason}."),
        reason=f"not renewed: {reason}",
        credential="cool",
        cool_for=wait,
        retry="next_credential",
        outage=True,
    )
