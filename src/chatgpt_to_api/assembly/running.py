"""The configuration a gateway runs with, and its changes: whole, checked, at once, or not at all.

It is the file's and the variables' with what is managed at run time. A change is merged and checked
first, then stored, then put in force between two events of the loop. Requests in flight finish on
what they began with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog
from msgspec import structs

from chatgpt_to_api.admin.configuration import Edit, Rejected
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.assembly.in_force import InForce
from chatgpt_to_api.config.catalogue import catalogue
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.managed import (
    Managed,
    ManagedRoute,
    ManagedUpstream,
    Unfit,
    merge,
    merge_what_fits,
    read_route,
    read_upstream,
    written,
)
from chatgpt_to_api.config.reading import Problem
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.errors import PreconditionFailed
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.managed import ManagedEntries, StoredEntry, StoredManaged

log = structlog.get_logger(__name__)

LIVE: Final = ("limits.", "well_known_models", "config_file")
"""Settings, besides upstreams and routes, that change without a restart."""

_RESTART_ONLY: Final = frozenset(
    f"limits.{name}" for name in ("hold", "keep_alive", "max_messages", "max_tools", "max_depth")
)
"""Those limits that are built into what was made at the start."""


class RunningConfiguration:
    """What runs now. ``read_again`` reads the sources anew; it raises ConfigError."""

    def __init__(
        self,
        loaded: Loaded,
        stored: StoredManaged,
        in_force: InForce,
        store: Store,
        pool: Pool,
        read_again: Callable[[], Loaded],
    ) -> None:
        self.configured = loaded
        """The file's and the variables' part, as it is in force."""
        self.version = stored.version
        self.applied_at = time.time()
        self.rejected: Rejected | None = None
        self.needs_restart: tuple[str, ...] = ()
        taken, problems = take_stored(stored, loaded.settings)
        self.loaded, self.managed, left_out = merge_what_fits(loaded, taken)
        self.left_out = (*problems, *left_out)
        """What is stored and could not be taken, a sentence each."""
        self._in_force = in_force
        self._entries = ManagedEntries(store)
        self._store = store
        self._pool = pool
        self._read_again = read_again
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Put it in force for the first time."""
        await self._put(self.configured, self.loaded)

    async def change(self, edit: Edit, expected: int | None = None) -> None:
        """Change what is managed; when this returns it is on the disk and in force.

        ``edit`` makes the new from the standing. ``expected``: the version it was made for. Raises
        what ``edit`` raises, Unfit, PreconditionFailed or StoreUnavailable; then nothing changed.
        """

        async def run() -> None:
            if expected is not None and expected != self.version:
                raise PreconditionFailed(
                    f"The version is {self.version} by now, not {expected}. Nothing was changed."
                )
            managed = edit(self.managed)
            loaded = merge(self.configured, managed)
            gone = {one.name for one in self.managed.upstreams} - {
                one.name for one in managed.upstreams
            }
            stored = to_store(self.version + 1, managed)

            async def save() -> None:
                await self._entries.save(stored, gone=gone)
                self.managed, self.version = managed, stored.version

            async with AsyncExitStack() as stack:
                for name in gone:
                    standing = self._sets().get(name)
                    if standing is not None:
                        await stack.enter_async_context(standing.ending())
                await self._put(self.configured, loaded, save)

        await self._one_by_one(run)

    async def reload(self) -> None:
        """Read the file and the variables again; :attr:`rejected` says why they were not taken."""

        async def run() -> None:
            try:
                fresh = await asyncio.to_thread(self._read_again)
                self._stay_home(fresh)
                configured, restart = only_live(self.configured, fresh)
                await self._put(configured, merge(configured, self.managed))
            except (ConfigError, Unfit) as error:
                because = [str(problem) for problem in error.problems]
                self.rejected = Rejected(time.time(), tuple(because))
                log.warning(
                    "configuration rejected, the former one stays", because="; ".join(because)
                )
                return
            self.rejected, self.needs_restart = None, restart
            log.info("configuration applied", needs_restart=restart)

        await self._one_by_one(run)

    @property
    def warnings(self) -> list[str]:
        """What a person should know of it, a line each."""
        found = [*self.loaded.warnings, *self.left_out]
        if self.rejected is not None:
            found += [f"The configuration was not taken: {why}" for why in self.rejected.because]
        found += [f"{key} was changed; a restart puts it in force." for key in self.needs_restart]
        return found

    async def _put(
        self, configured: Loaded, loaded: Loaded, save: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Work out what changes, save it, put it in force."""
        settings = loaded.settings
        sets = await self._read_sets(configured.settings, settings)
        self._in_force.plan(
            configured.settings, settings, sets
        )  # what fails fails before it is saved
        if save is not None:
            await save()
        # Tokens and keys may have changed meanwhile; what is put in force is worked out from now.
        self._in_force.put(self._in_force.plan(configured.settings, settings, sets))
        self.configured, self.loaded, self.applied_at = configured, loaded, time.time()

    async def _read_sets(self, configured: Settings, settings: Settings) -> dict[str, TokenAdmin]:
        """Return the stored credentials of every upstream, the home of tokens first."""
        standing = self._sets()
        before = self._in_force
        former = {**before.configured.conversation_upstreams, **before.settings.upstreams}
        found: dict[str, TokenAdmin] = {}
        for name, upstream in {**configured.conversation_upstreams, **settings.upstreams}.items():
            if upstream.kind == "local":
                continue
            same = name in standing and name in former
            if same and former[name].kind == upstream.kind and former[name].puid == upstream.puid:
                found[name] = standing[name]
            else:
                found[name] = await TokenAdmin.read(self._store, name, self._pool, upstream.puid)
        return found

    def _sets(self) -> Mapping[str, TokenAdmin]:
        return {**self._in_force.tokens, **self._in_force.keys}

    def _stay_home(self, fresh: Loaded) -> None:
        """Refuse a file by which access tokens would belong elsewhere: their import began here."""
        home = self.configured.settings.token_upstream
        other = fresh.settings.token_upstream
        if home != other:
            what = f"access tokens belong to {home}, and would to {other}: that needs a restart"
            raise Unfit([Problem(f"upstreams.{other}", what)])

    async def _one_by_one(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one change after another, each to its end even if the caller goes away."""

        async def run() -> None:
            async with self._lock:
                await work()

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)


def only_live(running: Loaded, fresh: Loaded) -> tuple[Loaded, tuple[str, ...]]:
    """Return what of a fresh reading can hold at once, and the keys that need a restart."""
    origins = {k: o for k, o in running.origins.items() if not k.startswith("upstreams.")}
    origins |= {k: o for k, o in fresh.origins.items() if k.startswith(("upstreams.", "routes"))}
    restart = []
    limits: dict[str, Any] = {}
    for setting in catalogue():
        value = value_at(fresh.settings, setting.key)
        live = setting.key.startswith(LIVE) and setting.key not in _RESTART_ONLY
        if live:
            origins[setting.key] = fresh.origins[setting.key]
            if setting.key.startswith("limits."):
                limits[setting.name] = value
        elif value != value_at(running.settings, setting.key):
            restart.append(setting.key)
    settings = structs.replace(
        running.settings,
        config_file=fresh.settings.config_file,
        limits=structs.replace(running.settings.limits, **limits),
        well_known_models=fresh.settings.well_known_models,
        upstreams=fresh.settings.upstreams,
        conversation_default=fresh.settings.conversation_default,
        routes=fresh.settings.routes,
    )
    return Loaded(settings, origins, fresh.warnings), tuple(restart)


def take_stored(stored: StoredManaged, configured: Settings) -> tuple[Managed, tuple[str, ...]]:
    """Read what is stored, as it was read when it was sent; what this release refuses is told."""
    upstreams: list[ManagedUpstream] = []
    routes: list[ManagedRoute] = []
    told: list[str] = []
    for entry in stored.upstreams:
        try:
            upstreams.append(
                read_upstream(entry.key, entry.table, configured.server, changed=entry.changed)
            )
        except Unfit as error:
            told += [f"A managed upstream is left out: {problem}." for problem in error.problems]
    for place, entry in enumerate(stored.routes, len(configured.routes)):
        try:
            routes.append(read_route(entry.key, entry.table, place=place, changed=entry.changed))
        except Unfit as error:
            told += [f"A managed route is left out: {problem}." for problem in error.problems]
    return Managed(tuple(upstreams), tuple(routes)), tuple(told)


def to_store(version: int, managed: Managed) -> StoredManaged:
    """Return what is managed as it is stored."""
    return StoredManaged(
        version,
        tuple(StoredEntry(one.name, written(one), one.changed) for one in managed.upstreams),
        tuple(StoredEntry(one.id, one.table, one.changed) for one in managed.routes),
    )


def value_at(settings: Settings, key: str) -> Any:
    """Return the value of a setting with one place."""
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value
