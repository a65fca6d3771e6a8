"""A lease: the right to use one credential for one request, given back whatever happens.

Joining and leaving are plain calls of the upstream's pool; only the wait between them can be
cancelled, and it leaves nothing half done.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.pool.contract import LeaseAsk
from chatgpt_to_api.wire.proxy import Proxy

if TYPE_CHECKING:
    from chatgpt_to_api.pool.credential import Credential
    from chatgpt_to_api.pool.queue import Waiter
    from chatgpt_to_api.pool.shelf import Shelf
    from chatgpt_to_api.pool.upstream import UpstreamPool


class Lease:
    """``async with`` it. ``credential`` is there from the moment the block is entered.

    ``since`` is when it was granted and ``stamp`` when its last send was counted, loop times;
    ``proxy`` is what that send goes out through.
    """

    __slots__ = (
        "_home",
        "answered",
        "ask",
        "binding",
        "blameless",
        "credential",
        "held",
        "proxy",
        "shelf",
        "since",
        "stamp",
    )

    credential: Credential
    shelf: Shelf
    since: float
    stamp: float
    proxy: Proxy | None

    def __init__(self, home: UpstreamPool, ask: LeaseAsk) -> None:
        self._home = home
        self.ask = ask
        self.held = False
        self.answered = False
        self.blameless = False
        """The proxy failed, so the upstream is not to blame for what follows from it."""
        self.binding: int | None = None

    def __repr__(self) -> str:
        state = self.credential if self.held else "not held"
        return f"Lease({self.ask.upstream}: {state}, {self.ask.owner or 'nobody named'})"

    async def __aenter__(self) -> Lease:
        waiter = self._home.join(self)
        if waiter is not None:
            await self._wait(waiter)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.held:
            self._home.give_back(self)

    async def _wait(self, waiter: Waiter) -> None:
        try:
            await waiter.future
        except BaseException:
            self._home.abandon(waiter)
            raise
        if waiter.refusal is not None:
            raise waiter.refusal

    def ok(self) -> None:
        """The upstream answers well: call it at the first content, again does no harm."""
        self._home.succeeded(self)

    def fault(self, fault: UpstreamFault) -> None:
        """The call failed; the credential, proxy and upstream bear what the fault says."""
        self._home.failed(self, fault)

    def proxy_failed(self, reason: str = "the proxy failed") -> None:
        """The outbound proxy itself failed: another one next time, and no blame elsewhere."""
        self._home.proxy_failed(self, reason)

    def sent(self) -> None:
        """The request's bytes have left only now: the rate windows count it from now."""
        self._home.sent(self)

    def unbind(self) -> None:
        """Forget which credential this conversation goes to."""
        self._home.unbind(self)

    async def next_send(self, deadline: float) -> None:
        """Wait for a further call's place in the rate windows, before requests that only begin.

        Raises RateLimited when ``deadline`` (loop time) comes first, Unavailable when the upstream
        went out of service.
        """
        waiter = self._home.join_again(self, deadline)
        if waiter is not None:
            await self._wait(waiter)
