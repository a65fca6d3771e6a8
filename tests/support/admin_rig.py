"""The admin API on a real socket, over a real store and pool."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.admin.password import AdminPassword
from chatgpt_to_api.admin.routes import AdminApi
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.gateway.explain import explain
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.pool.pool import CredentialSpec, Pool, PoolRules
from chatgpt_to_api.server.app import build_asgi
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.secrets import load_cipher
from chatgpt_to_api.store.states import CredentialStates, StateWriter
from chatgpt_to_api.wire.secret import Access, Secret
from support.gateway_process import Answer, fetch

PASSWORD = "TotallySecurePassword"

_ASKING = ThreadPoolExecutor(40)


class Rig:
    """What an admin talks to, and what stands behind it."""

    def __init__(self) -> None:
        self.store: Store
        self.pool: Pool
        self.tokens: TokenAdmin
        self.password: AdminPassword
        self.writer: StateWriter
        self.official_key: Override
        self.url = ""
        self.official_keys: list[Secret | None] = []
        self.held: list[float] = []
        self.now = 1000.0
        self.at_one_moment = False
        self.warnings: list[str] = []

    async def ask(
        self, method: str, path: str, body: Any = None, password: str | None = PASSWORD, **more: str
    ) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if password is not None:
            headers["authorization"] = password
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        call = partial(fetch, self.url + path, method=method, body=data, headers=headers)
        # Threads of its own: the gateway hashes passwords on the loop's, and must find one free.
        return await asyncio.get_running_loop().run_in_executor(_ASKING, call)

    async def ids(self) -> list[str]:
        return [one.id for one in await self.tokens.of()]

    def pooled(self) -> list[str]:
        """The tokens the pool lends, as far as they may be seen here."""
        return [view.id for view in self.pool.views("conversation")]


@asynccontextmanager
async def open_rig(
    data_dir: Path,
    *,
    variable: str = PASSWORD,
    puid: str = "",
    official_key: str = "",
    run_key: str = "",
    upstreams: tuple[str, ...] = ("conversation",),
) -> AsyncIterator[Rig]:
    """Compose the admin API as ``serve`` does, and let it go as a stop does."""
    rig = Rig()
    cipher = load_cipher(data_dir, None, database=database_path(data_dir))
    rig.store = store = await Store.open(data_dir, cipher)
    rig.pool = pool = Pool(asyncio.get_running_loop())
    states = CredentialStates(store)
    rig.writer = writer = StateWriter(states)
    tokens = {}
    for name in upstreams:
        pool.configure(name, PoolRules())
        tokens[name] = await TokenAdmin.open(store, name, pool, Secret(puid) if puid else None)
    if tokens:
        rig.tokens = next(iter(tokens.values()))
    pool.configure("vendor", PoolRules(max_concurrency=None))
    pool.replace("vendor", [CredentialSpec("key1", Access(Secret("vendor-key-" + "x" * 20)))])
    pool.restore(await states.load())
    pool.on_state(writer.submit)
    rig.password = await AdminPassword.load(store, data_dir, Secret(variable) if variable else None)

    rig.official_key = await Override.load(
        store, "official_api_key", Secret(official_key) if official_key else None
    )

    async def use_official_key(key: Secret | None) -> None:
        rig.official_keys.append(key)

    async def hold(seconds: float) -> None:
        rig.held.append(seconds)
        if not rig.at_one_moment:
            rig.now += seconds

    api = AdminApi(
        auth=AdminAuth(
            rig.password,
            run_key=Secret(run_key) if run_key else None,
            page_allowed=lambda origin, host: origin == b"http://friend.example",
            now=lambda: rig.now,
            sleep=hold,
        ),
        pool=pool,
        tokens=tokens,
        configured=lambda: ["vendor"],
        official_key=rig.official_key,
        use_official_key=use_official_key,
        saved=writer.flush,
        warnings=lambda: rig.warnings,
        explain=lambda model, needs: explain(
            Routes([]), LimitSettings(), None, pool.view, model, needs
        ),
        unasked_address=lambda name: "",
    )
    server = uvicorn.Server(
        uvicorn.Config(
            build_asgi(api.routes()), host="127.0.0.1", port=0, log_level="error", lifespan="off"
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    rig.url = f"http://127.0.0.1:{port}"
    try:
        yield rig
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await writer.close()
        await store.close()
