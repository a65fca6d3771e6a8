"""A whole gateway: every part made, joined, started, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.credentials import CredentialApi
from chatgpt_to_api.admin.model_routes import ModelRouteApi
from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.admin.password import AdminPassword
from chatgpt_to_api.admin.routes import AdminApi
from chatgpt_to_api.admin.settings import SettingsApi
from chatgpt_to_api.admin.upstreams import UpstreamApi
from chatgpt_to_api.assembly.embedded import EmbeddedUpstream
from chatgpt_to_api.assembly.front import open_front
from chatgpt_to_api.assembly.ids import RandomIds
from chatgpt_to_api.assembly.in_force import InForce
from chatgpt_to_api.assembly.lists import take_up_tokens, watch_lists
from chatgpt_to_api.assembly.overview import GatewayOverview
from chatgpt_to_api.assembly.running import RunningConfiguration
from chatgpt_to_api.chat.needs import Needs
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.sources import CONFIG_NAME
from chatgpt_to_api.config.upstream_settings import KEYED
from chatgpt_to_api.config.watched import Watcher
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.expiry import forget_expired
from chatgpt_to_api.gateway.explain import Explanation, explain
from chatgpt_to_api.gateway.renewing import Renewer
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.origins import AllowedOrigins, same_origin
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.lock import FolderLock
from chatgpt_to_api.store.managed import ManagedEntries
from chatgpt_to_api.store.opening import open_store
from chatgpt_to_api.store.renewals import Renewals
from chatgpt_to_api.store.responses import StoredResponses
from chatgpt_to_api.store.secrets import key_file_warning
from chatgpt_to_api.store.states import CredentialStates, StateWriter
from chatgpt_to_api.telemetry.logs import request_log
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.wire.secret import Secret


class Assembly:
    """A whole gateway around its settings; :func:`assemble` makes one."""

    password: AdminPassword
    front: ServerFront
    running: RunningConfiguration

    def __init__(self, loaded: Loaded, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        settings = loaded.settings
        self.settings = settings
        self.store = store
        self.keys = ClientKeys(key.reveal() for key in settings.server.api_keys)
        self.pool = Pool(loop)
        self.client = HttpClient(loop)
        self.watcher = Watcher()
        self.embedded = EmbeddedUpstream(Path(settings.data_dir), settings.embedded_model)
        self.gateway = Gateway(
            loop=loop,
            routes=Routes([]),
            pool=self.pool,
            client=self.client,
            limits=settings.limits,
            max_body=settings.server.max_body,
            ids=RandomIds(),
            wall=time.time,
            on_record=request_log(settings.log.level),
        )
        # Without kept connections: what is sent there must never be sent again by itself.
        self.token_client = HttpClient(loop, max_idle=0)
        self.renewer = Renewer(Renewals(store), self.token_client, time.time)
        self.in_force = InForce(
            settings,
            self.pool,
            self.gateway,
            self.embedded,
            lambda: self.overview.refresh_soon(),
            self.renewer,
        )
        self.overview = GatewayOverview(
            self.gateway,
            self.pool,
            self.client,
            self.embedded,
            lambda: self.in_force.upstreams,
            born=int(time.time()),
        )
        self.states = StateWriter(CredentialStates(store))
        self._token_complaints: Sequence[str] = ()
        self.responses = StoredResponses(store, settings.responses)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take_up(self, loaded: Loaded, read_again: Callable[[], Loaded]) -> Override:
        """Bring stored and configured credentials, upstreams and routes in force.

        Returns the official key that holds. Raises ModelUnavailable if the embedded model is all
        there would be, and cannot be fetched.
        """
        watch_lists(self.watcher, self.settings, self.keys, self.pool)
        official = await Override.load(
            self.store, "official_api_key", self.settings.tokens.official_api_key
        )
        self.in_force.official = official.value
        self.running = RunningConfiguration(
            loaded,
            await ManagedEntries(self.store).load(),
            self.in_force,
            self.store,
            self.pool,
            read_again,
        )
        await self.running.start()
        home = self.in_force.tokens[self.settings.token_upstream]
        self._token_complaints = await take_up_tokens(self.watcher, self.settings, self.store, home)
        upstreams = self.in_force.upstreams
        if any(upstream.kind == "local" for upstream in upstreams.values()):
            await self.embedded.prepare(alone=len(upstreams) == 1)
            self.in_force.apply()
        self.pool.restore(await CredentialStates(self.store).load())
        self.pool.on_state(self.states.submit)
        self._follow_file()
        return official

    def _follow_file(self) -> None:
        """Read the configuration again whenever its file changes."""

        async def take(content: bytes | None) -> Sequence[str]:  # noqa: ARG001  # read with the rest
            await self.running.reload()
            return ()  # what is wrong with it is told by the configuration itself

        file = self.settings.config_file or Path(self.settings.data_dir, CONFIG_NAME)
        self.watcher.follow(Path(file), take)

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the configuration and with watched files, a line each."""
        return [*self.running.warnings, *self._token_complaints, *self.watcher.warnings]

    async def open_doors(self, lock: FolderLock, official: Override) -> None:
        """Build the server's front."""
        origins = AllowedOrigins(self.settings.server.cors_allowed_origins)
        self.password = await AdminPassword.load(
            self.store, Path(self.settings.data_dir), self.settings.admin.password
        )
        auth = AdminAuth(
            self.password,
            run_key=Secret(lock.run_key),
            page_allowed=lambda origin, host: same_origin(origin, host) or origin in origins,
        )
        running, in_force = self.running, self.in_force
        upstreams = UpstreamApi(auth, running, self.pool, lambda: in_force.upstreams)
        credentials = CredentialApi(
            auth,
            running,
            self.pool,
            lambda: in_force.upstreams,
            in_force.tokens,
            in_force.keys,
            self.states.flush,
        )
        rest = AdminApi(
            auth=auth,
            pool=self.pool,
            tokens=in_force.tokens,
            configured=lambda: [n for n, u in in_force.upstreams.items() if u.kind in KEYED],
            official_key=official,
            use_official_key=in_force.use_official_key,
            saved=self.states.flush,
            warnings=lambda: self.warnings,
            explain=self._explain,
            unasked_address=in_force.unasked_address,
        )
        admin = [
            *rest.routes(),
            *upstreams.routes(),
            *ModelRouteApi(auth, running).routes(),
            *credentials.routes(),
            *SettingsApi(auth, running, lambda: self.warnings).routes(),
        ]
        self.front = open_front(
            self.settings,
            gateway=self.gateway,
            store=self.store,
            responses=self.responses,
            keys=self.keys,
            origins=origins,
            overview=self.overview,
            admin=admin,
            prove_admin=auth.prove,
        )

    def _explain(self, model: str, needs: Needs) -> Explanation:
        gateway = self.gateway
        return explain(
            gateway.routes, gateway.limits, gateway.balance, self.pool.view, model, needs
        )

    def background(self) -> None:
        """Begin what runs beside the requests."""
        self._run(self.watcher.run())
        self._run(self.overview.keep_fresh())
        self._run(forget_expired(self.responses, time.time))
        self.states.start()

    def reload_soon(self) -> None:
        """Have the configuration read again."""
        self._run(self.running.reload())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop everything that runs; what waits to be written is written."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.gateway.close()
        await self.renewer.close()
        await self.token_client.close()
        await self.client.close()
        await self.embedded.stop()
        self.pool.on_state(None)
        await self.states.close()


@contextlib.asynccontextmanager
async def assemble(
    loaded: Loaded, lock: FolderLock, read_again: Callable[[], Loaded]
) -> AsyncIterator[Assembly]:
    """Build a whole gateway on a locked data folder; leaving the block stops and closes it all.

    ``read_again`` reads the configuration as ``loaded`` was read. Raises StoreError, or
    ModelUnavailable if the embedded model is all there would be.
    """
    async with open_store(loaded.settings) as store:
        assembly = Assembly(loaded, store, asyncio.get_running_loop())
        try:
            official = await assembly.take_up(loaded, read_again)
            await assembly.open_doors(lock, official)
            assembly.background()
            yield assembly
        finally:
            await assembly.close()


def warnings_of(loaded: Loaded, assembly: Assembly) -> list[str]:
    """Return what a person should know at the start, each a whole sentence."""
    settings = loaded.settings
    found = []
    if not assembly.keys.configured and settings.server.host not in (
        "127.0.0.1",
        "localhost",
        "::1",
    ):
        found.append(
            f"Listening on {settings.server.host} without client keys: whoever is on the private "
            "network may use your credentials. Put keys into api_keys.txt in the data folder."
        )
    if key := key_file_warning(Path(settings.data_dir)):
        found.append(key)
    if assembly.embedded.missing:
        found.append(assembly.embedded.missing)
    # Last, for there may be one for every line of a file, and the start shows only the first few.
    found += assembly.warnings
    return found
