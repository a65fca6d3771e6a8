"""Changes to the stored credentials of one upstream: stored first, then given to the pool.

They are the tokens of a conversation backend, or API keys beside those of the configuration.

When a change returns it is on the disk and in force. With the command line on a folder that no
gateway runs on there is no pool: then a change is only stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.errors import NotFound
from chatgpt_to_api.pool.pool import CredentialSpec, Pool
from chatgpt_to_api.store.credentials import Change, Credentials, StoredCredential
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.wire.refresh import seed_of
from chatgpt_to_api.wire.secret import Access, Secret


class TokenAdmin:
    """The stored credentials of ``upstream``. ``puid`` goes with tokens that bring none."""

    def __init__(self, store: Store, upstream: str, pool: Pool | None, puid: Override) -> None:
        self.upstream = upstream
        self._credentials = Credentials(store)
        self._pool = pool
        self._puid = puid
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Change]] = set()
        self._stored: Sequence[StoredCredential] = ()
        self._gone = False
        self.configured: Sequence[CredentialSpec] = ()
        """The credentials the configuration gives; they are lent too, and not changed here."""
        self.on_change: Callable[[], None] = lambda: None
        """Told after every change that is stored and in the pool."""

    @classmethod
    async def open(
        cls, store: Store, upstream: str, pool: Pool | None, configured_puid: Secret | None = None
    ) -> TokenAdmin:
        """Take up the stored credentials: the pool lends them on return. Raises WrongKey."""
        admin = await cls.read(store, upstream, pool, configured_puid)
        admin.lend()
        return admin

    @classmethod
    async def read(
        cls, store: Store, upstream: str, pool: Pool | None, configured_puid: Secret | None = None
    ) -> TokenAdmin:
        """Read the stored credentials, for :meth:`lend`. Raises WrongKey."""
        puid = await Override.load(store, f"puid:{upstream}", configured_puid)
        admin = cls(store, upstream, pool, puid)
        admin._stored = await admin.of()
        return admin

    def lend(self) -> None:
        """Let the pool lend what the configuration gives and the store holds."""
        if self._pool is not None:
            given = {one.id for one in self.configured}
            stored = [self._spec(one) for one in self._stored if one.id not in given]
            self._pool.replace(self.upstream, [*self.configured, *stored])

    @contextlib.asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Hold back changes; once the block was left well there is no such upstream any more."""
        async with self._lock:
            yield
            self._gone = True

    @property
    def ids(self) -> set[str]:
        """The ids of the stored ones."""
        return {one.id for one in self._stored}

    @property
    def puid(self) -> Secret | None:
        """The PUID of tokens that bring none, as it holds now."""
        return self._puid.value

    async def of(self) -> list[StoredCredential]:
        """Return the stored credentials in order."""
        return await self._credentials.of(self.upstream)

    async def replace(
        self, entries: Sequence[TokenEntry], *, settings: Mapping[str, str] | None = None
    ) -> Change:
        """Make ``entries`` the whole set; ``settings`` are kept in the same transaction."""

        async def replace() -> Change:
            change, stored = await self._credentials.replace(
                self.upstream, entries, settings=settings
            )
            self._take(stored)
            return change

        return await self._change(replace)

    async def add(self, entries: Sequence[TokenEntry]) -> Change:
        """Put ``entries`` behind the others; one that stands takes the new PUID and label."""

        async def add() -> Change:
            change = await self._credentials.add(self.upstream, entries)
            self._take(await self.of())
            return change

        return await self._change(add)

    async def remove(self, ids: Collection[str]) -> Change:
        """Take these out. Raises NotFound, having changed nothing, if one of them is not there."""

        async def remove() -> Change:
            missing = set(ids) - {one.id for one in await self.of()}
            if missing:
                raise unknown_token(min(missing))
            change = await self._credentials.remove(self.upstream, ids)
            self._take(await self.of())
            return change

        return await self._change(remove)

    async def set_puid(self, puid: Secret | None) -> None:
        """Let ``puid`` go with every token that brings none, until the configured one changes."""

        async def change() -> Change:
            await self._puid.set(puid)
            self._take(await self.of())
            return Change(len(self._stored))

        await self._change(change)

    async def relabel(self, id: str, label: str) -> None:
        """Give one another name for people. Raises NotFound."""

        async def change() -> Change:
            if id not in self.ids:
                raise unknown_token(id)
            await self._credentials.relabel(self.upstream, id, label)
            self._take(await self.of())
            return Change(len(self._stored))

        await self._change(change)

    async def _change(self, work: Callable[[], Awaitable[Change]]) -> Change:
        """Run one change after another, each to its end even if the caller goes away."""

        async def run() -> Change:
            async with self._lock:
                if self._gone:
                    raise NotFound(
                        f"There is no upstream {self.upstream!r} any more.",
                        code="upstream_not_found",
                        param="upstream",
                    )
                return await work()

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    def _take(self, stored: Sequence[StoredCredential]) -> None:
        """Let the pool lend what the store holds now."""
        self._stored = stored
        self.lend()
        if self._pool is not None:
            self.on_change()

    def _spec(self, stored: StoredCredential) -> CredentialSpec:
        access = stored.access
        seed = None if access.token is None else seed_of(access.token)
        if seed is not None:
            return CredentialSpec(stored.id, Access(), None, stored.label, seed)
        if access.puid is None and self.puid is not None:
            access = Access(access.token, self.puid, access.account)
        return CredentialSpec(stored.id, access, stored.expires, stored.label)


def unknown_token(id: str) -> NotFound:
    """Return the error for an id that no token has."""
    return NotFound(
        f"There is no token with the id {id[:64]!r}; GET /admin/tokens lists them.",
        code="token_not_found",
        param="id",
    )
