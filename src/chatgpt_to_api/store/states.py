"""What the pool learned about credentials, kept over a restart, written beside the request path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select

from chatgpt_to_api.pool.contract import Kept
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import StoreUnavailable
from chatgpt_to_api.store.tables import credential_states

log = logging.getLogger(__name__)

GATHER: Final = 0.2
"""How long changes are gathered before they are written together, seconds."""

RETRY: Final = 5.0
"""Wait after a write that failed, seconds."""


class CredentialStates:
    """Reads and writes the kept states."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def load(self) -> list[Kept]:
        """Return everything kept; what another release wrote in another form is left out."""

        def query(connection: Connection) -> list[Kept]:
            kept: list[Kept] = []
            for state in connection.execute(select(credential_states.c.state)).scalars():
                with contextlib.suppress(msgspec.DecodeError):
                    kept += msgspec.json.decode(state, type=list[Kept])
            return kept

        return await self._store.read(query)

    async def save(self, states: Mapping[tuple[str, str], Sequence[Kept]]) -> None:
        """Write what is to be kept of each (upstream, credential id); nothing forgets it."""
        now = self._now()

        def change(connection: Connection) -> None:
            for (upstream, credential), kept in states.items():
                connection.execute(
                    delete(credential_states).where(
                        credential_states.c.upstream == upstream,
                        credential_states.c.credential == credential,
                    )
                )
                if kept:
                    connection.execute(
                        insert(credential_states).values(
                            upstream=upstream,
                            credential=credential,
                            state=msgspec.json.encode(kept),
                            changed=now,
                        )
                    )

        await self._store.write(change)


class StateWriter:
    """Takes changes at once and writes them soon, together; what changes twice is written once.

    Bounded by that: it holds one entry per credential. A kill loses the last fraction of a second
    of cool-downs, which the upstream teaches anew.
    """

    def __init__(self, states: CredentialStates) -> None:
        self._states = states
        self._waiting: dict[tuple[str, str], Sequence[Kept]] = {}
        self._something = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def submit(self, upstream: str, credential: str, kept: Sequence[Kept]) -> None:
        """Have this written; a plain call, for the pool's ``on_state``."""
        self._waiting[(upstream, credential)] = kept
        self._something.set()

    def start(self) -> None:
        """Begin to write in the background."""
        self._task = asyncio.create_task(self._run(), name="credential states")

    async def flush(self) -> None:
        """Write what waits now. Raises StoreUnavailable; what could not be written waits on."""
        async with self._writing:  # whoever waits for a flush waits for the one before it too
            batch, self._waiting = self._waiting, {}
            self._something.clear()
            if not batch:
                return
            try:
                await self._states.save(batch)
            except BaseException:
                self._waiting = batch | self._waiting  # what changed meanwhile is newer
                self._something.set()
                raise

    async def close(self) -> None:
        """Stop, and write what waits. Raises StoreUnavailable if that fails."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.flush()

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER)
            try:
                await self.flush()
            except StoreUnavailable as error:
                log.warning("Credential states could not be saved: %s", error.message)
                await asyncio.sleep(RETRY)
