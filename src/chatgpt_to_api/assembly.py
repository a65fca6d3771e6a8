"""Puts the rooms together: from settings to a gateway that runs, and to the tokens of a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from msgspec import structs

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.admin.password import AdminPassword
from chatgpt_to_api.admin.routes import AdminApi
from chatgpt_to_api.admin.token_import import TokenImport
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.config.list_files import parse_api_keys, parse_proxies
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.settings import (
    UpstreamSettings,
)
from chatgpt_to_api.config.watched import Watcher
from chatgpt_to_api.dialects.conversation import door as conversation_door
from chatgpt_to_api.dialects.openai_chat import door as chat_door
from chatgpt_to_api.errors import Unavailable
from chatgpt_to_api.gateway.build import (
    LocalEndpoint,
    build_routes,
    configured_credentials,
    pool_rules,
)
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.gateway.conversations import Conversations
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.models import REFRESH, ModelCard, ModelList
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.fetch import fetch
from chatgpt_to_api.local_model.runtime import RUNTIME_MISSING, runtime_available
from chatgpt_to_api.local_model.supervisor import LOAD_TIMEOUT, LocalModel
from chatgpt_to_api.pool.contract import CredentialSpec
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.app import build_asgi
from chatgpt_to_api.server.conversation_site import ConversationSite
from chatgpt_to_api.server.doors import Bearer, DoorEntry, Doors
from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames, same_origin
from chatgpt_to_api.server.site import Site
from chatgpt_to_api.server.status import Status, UpstreamStatus
from chatgpt_to_api.store.conversations import StoredConversations
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.lock import FolderLock
from chatgpt_to_api.store.opening import open_store
from chatgpt_to_api.store.secrets import key_file_warning
from chatgpt_to_api.store.states import CredentialStates, StateWriter
from chatgpt_to_api.telemetry.logs import request_log
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.environment import ProxyRules
from chatgpt_to_api.wire.secret import Access, Secret

log = structlog.get_logger(__name__)

OFFICIAL: Final = "official"
"""Name of the upstream that OFFICIAL_API_KEY or ``PATCH /admin/openai`` makes."""

OFFICIAL_URL: Final = "https://api.openai.com/v1"

_NOT_STARTED: Final = {
    "cannot run here": "",
    "not started": "It is started with the gateway: restart it to use the embedded model.",
}

_KEYS_STAY: Final = "no line of it is a key: those from before hold, and without any nobody gets in"

_PROXIES_STAY: Final = "no line of it is a proxy: those from before, if any, are used on"


class _Ids:
    """Fresh ids for codecs: unique, not secret, so they need no system call each."""

    def uuid4(self) -> str:
        # Version 4 and variant 10 in a row of random hex, as RFC 9562 has it.
        bits = f"{random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


class Assembly:
    """A whole gateway around its settings; :func:`assemble` makes one.

    Which upstreams are in force depends on more than the settings (are there tokens? an official
    key?), so :meth:`apply` can be called again at any time; running requests keep what they began
    with.
    """

    def __init__(self, loaded: Loaded, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        settings = loaded.settings
        self.settings = settings
        self.store = store
        self.keys = ClientKeys(key.reveal() for key in settings.server.api_keys)
        self.pool = Pool(loop)
        self.client = HttpClient(loop)
        self.watcher = Watcher()
        self.embedded: LocalModel | None = None
        self.embedded_missing = ""
        """Why the embedded model is wanted and cannot run, "" where nothing is wrong."""
        self._proxies = ProxyRules.from_environment(settings.proxy.environment())
        self._official: Secret | None = None
        self._in_force: dict[str, UpstreamSettings] = {}
        self._changed = asyncio.Event()
        self._list = ModelList(born=int(time.time()))
        self.gateway = Gateway(
            loop=loop,
            routes=Routes([]),
            pool=self.pool,
            client=self.client,
            limits=settings.limits,
            max_body=settings.server.max_body,
            ids=_Ids(),
            wall=time.time,
            on_record=request_log(settings.log.level),
        )
        self.tokens: dict[str, TokenAdmin] = {}
        self.states = StateWriter(CredentialStates(store))
        self.password: AdminPassword
        self.front: ServerFront
        self.tasks: set[asyncio.Task[None]] = set()

    # -- upstreams -----------------------------------------------------------------------------

    @property
    def in_force(self) -> Mapping[str, UpstreamSettings]:
        """The upstreams that can be routed to at present."""
        return self._in_force

    def _wanted(self) -> dict[str, UpstreamSettings]:
        settings = self.settings
        if self._official is not None:
            official = UpstreamSettings("openai", base_url=OFFICIAL_URL, api_keys=(self._official,))
            settings = structs.replace(
                settings, upstreams={**settings.upstreams, OFFICIAL: official}
            )
        tokens = self.pool.view(settings.token_upstream).total > 0
        return settings.upstreams_with(tokens=tokens)

    def apply(self) -> None:
        """Put the upstreams in force that settings, tokens and keys now ask for."""
        wanted = self._wanted()
        for name, upstream in wanted.items():
            if upstream.kind != "conversation":
                self.pool.configure(name, pool_rules(upstream, self.settings))
            if upstream.kind == "openai":
                self.pool.replace(name, configured_credentials(name, upstream))
            if upstream.kind == "local" and self.embedded is not None:
                access = Access(token=self.embedded.api_key)
                self.pool.replace(
                    name, [CredentialSpec("embedded", access, label="embedded model")]
                )
        for name in self._in_force.keys() - wanted.keys():
            if self._in_force[name].kind != "conversation":  # whose tokens may come back
                self.pool.forget(name)
        self._in_force = wanted
        self._changed.set()
        local = None
        if self.embedded is not None:
            local = LocalEndpoint(
                self.embedded.base_url, self.embedded.models, self._embedded_ready
            )
        self.gateway.routes = build_routes(self.settings, wanted, local, self._proxies)

    async def _embedded_ready(self, deadline: float) -> None:
        """Let a request wait for a model that is still loading, until ``deadline`` (loop time).

        Raises Unavailable if it cannot answer.
        """
        if self.embedded is None or self.embedded.state.phase == "ready":
            return
        left = deadline - asyncio.get_running_loop().time()
        if not await self.embedded.ready(min(left, LOAD_TIMEOUT)):
            state = self.embedded.state
            raise Unavailable(
                f"The embedded model cannot answer now: {state.reason or state.phase}.",
                retry_after=1,
            )

    async def prepare_model(self) -> None:
        """Fetch and start the embedded model if it is wanted; note why if it cannot run.

        Raises ModelUnavailable if it cannot be fetched and nothing else could answer.
        """
        wanted = self._wanted()
        if (
            all(upstream.kind != "local" for upstream in wanted.values())
            or self.embedded is not None
        ):
            return
        if not runtime_available():
            self.embedded_missing = RUNTIME_MISSING
            return
        try:
            path = await asyncio.to_thread(fetch, Path(self.settings.data_dir))
            self.embedded = LocalModel(path, self.settings.embedded_model)
        except ModelUnavailable as error:
            if len(wanted) == 1:
                raise
            self.embedded_missing = str(error)
            return
        self.embedded.start()

    async def use_official_key(self, key: Secret | None) -> None:
        """Put another official API key into force, None for none."""
        self._official = key
        self.apply()

    # -- what the site shows -------------------------------------------------------------------

    def models(self) -> Sequence[ModelCard]:
        """Every model that can be asked for."""
        return self._list.cards(self.gateway.routes)

    def model_card(self, name: str) -> ModelCard:
        """One model. Raises ModelNotFound."""
        return self._list.card(self.gateway.routes, name)

    def status(self) -> Status:
        """What is ready and what is missing, without secrets and addresses."""
        upstreams = tuple(
            self._status_of(name, upstream) for name, upstream in self._in_force.items()
        )
        advice: list[str] = []
        if self.embedded_missing:
            advice.append(self.embedded_missing)
        cards = self.models()
        return Status(upstreams, cards[0].id if cards else "", tuple(advice))

    def _status_of(self, name: str, upstream: UpstreamSettings) -> UpstreamStatus:
        if upstream.kind == "local":
            if self.embedded is None:
                says = "cannot run here" if self.embedded_missing else "not started"
                return UpstreamStatus(
                    name, "local", ready=False, says=says, advice=_NOT_STARTED[says]
                )
            state = self.embedded.state
            says = "ready" if state.phase == "ready" else state.reason or state.phase
            return UpstreamStatus(name, "local", ready=state.phase == "ready", says=says)
        view = self.pool.view(name)
        if upstream.kind == "conversation" and view.total == 0:
            return UpstreamStatus(
                name,
                upstream.kind,
                ready=False,
                says="no access token",
                advice="Give it tokens: PATCH /admin/tokens, or access_tokens.json in the data "
                "folder, or ACCESS_TOKENS.",
            )
        counts = (
            (view.ready, "ready"),
            (view.busy, "busy"),
            (view.cooling, "cooling"),
            (view.invalid, "invalid"),
            (view.disabled, "disabled"),
        )
        says = ", ".join(f"{count} {word}" for count, word in counts if count)
        if upstream.kind == "openai" and not upstream.api_keys:
            says = f"no key, {says.removeprefix('1 ')}"
        elif view.total:
            says = f"{view.total} credential{'s' if view.total > 1 else ''}: {says}"
        if not view.open:
            says = f"out of service ({view.reason}); {says}"
        usable = view.total == 0 or view.ready + view.busy > 0
        return UpstreamStatus(name, upstream.kind, ready=view.open and usable, says=says or "ready")

    # -- background ----------------------------------------------------------------------------

    def background(self) -> None:
        """Begin what runs beside the requests."""
        for work in (self.watcher.run(), self._refresh_models()):
            task = asyncio.create_task(work)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self.states.start()

    async def _refresh_models(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._list.refresh(
                    self.gateway.routes, self.pool, self.client, self.settings.limits
                )
            except Exception:  # one odd reply must not end the list for good
                log.exception("model lists not refreshed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), REFRESH)

    async def close(self) -> None:
        """Stop everything that runs; what waits to be written is written."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.gateway.keeper.close()
        await self.client.close()
        if self.embedded is not None:
            await self.embedded.stop()
        self.pool.on_state(None)
        await self.states.close()


@contextlib.asynccontextmanager
async def assemble(loaded: Loaded, lock: FolderLock) -> AsyncIterator[Assembly]:
    """Build a whole gateway on a locked data folder; leaving the block stops and closes it all.

    Raises StoreError, or ModelUnavailable if the embedded model is all there would be.
    """
    settings = loaded.settings
    async with open_store(settings) as store:
        assembly = Assembly(loaded, store, asyncio.get_running_loop())
        try:
            _watch_lists(assembly)
            await _take_up_tokens(assembly)
            official = await Override.load(
                store, "official_api_key", settings.tokens.official_api_key
            )
            assembly._official = official.value
            await assembly.prepare_model()
            assembly.apply()
            assembly.pool.restore(await CredentialStates(store).load())
            assembly.pool.on_state(assembly.states.submit)
            await _open_doors(assembly, lock, official)
            assembly.background()
            yield assembly
        finally:
            await assembly.close()


async def _take_up_tokens(assembly: Assembly) -> None:
    """Put stored, configured and watched tokens into the pool."""
    settings = assembly.settings
    for name, upstream in settings.conversation_upstreams.items():
        assembly.pool.configure(name, pool_rules(upstream, settings))
        assembly.tokens[name] = await TokenAdmin.open(
            assembly.store, name, assembly.pool, upstream.puid
        )
    tokens = assembly.tokens[settings.token_upstream]
    importer = TokenImport(assembly.store, tokens)
    await importer.offer_configured(settings.tokens.access_tokens)

    async def offer(content: bytes | None) -> Sequence[str]:
        return await importer.offer("file", content)

    assembly.watcher.add(Path(settings.token_file), offer)
    await assembly.watcher.load()
    await importer.begin()
    for admin in assembly.tokens.values():
        admin.on_change = assembly.apply


def _watch_lists(assembly: Assembly) -> None:
    """Watch the client keys and outbound proxies of the data folder."""
    folder = Path(assembly.settings.data_dir)
    configured = [key.reveal() for key in assembly.settings.server.api_keys]

    async def keys(content: bytes | None) -> Sequence[str]:
        file = parse_api_keys(content or b"")
        complaints = [str(skipped) for skipped in file.skipped]
        if complaints and not file.keys:
            return [*complaints, _KEYS_STAY]
        assembly.keys.replace([*configured, *(key.reveal() for key in file.keys)])
        return complaints

    async def proxies(content: bytes | None) -> Sequence[str]:
        file = parse_proxies(content or b"")
        complaints = [str(skipped) for skipped in file.skipped]
        if complaints and not file.proxies:
            return [*complaints, _PROXIES_STAY]
        assembly.pool.set_proxies(file.proxies)
        return complaints

    if not configured and os.path.lexists(folder / "api_keys.txt"):
        # Until its lines are known: a file that cannot be read must not open the doors.
        assembly.keys.refuse_all()
    assembly.watcher.add(folder / "api_keys.txt", keys)
    assembly.watcher.add(folder / "proxies.txt", proxies)


async def _open_doors(assembly: Assembly, lock: FolderLock, official: Override) -> None:
    """Build the server's front: doors, site, admin API."""
    settings = assembly.settings
    origins = AllowedOrigins(settings.server.cors_allowed_origins)
    gatekeeper = Gatekeeper(
        assembly.keys,
        hosts=HostNames(settings.server.allowed_hosts),
        origins=origins,
        caller_tokens=settings.server.allow_caller_tokens,
    )
    conversations = Conversations(
        StoredConversations(assembly.store, settings.conversations),
        UnsavedConversations(),
        wall=time.time,
        new_id=_Ids().uuid4,
    )
    backend = ConversationBackend(
        assembly.gateway,
        conversations,
        owner_digest=assembly.store.cipher.digest,
        max_body=settings.server.max_body,
    )
    anonymous = settings.server.allow_anonymous_conversation
    bearer = Bearer.IDENTITY_OR_NOBODY if anonymous else Bearer.IDENTITY
    entries = {"/v1/chat/completions": DoorEntry(chat_door.DOOR, assembly.gateway)}
    for path in conversation_door.CONVERSATION_PATHS:
        entries[path] = DoorEntry(conversation_door.DOOR, backend, bearer)
    assembly.password = await AdminPassword.load(
        assembly.store, Path(settings.data_dir), settings.admin.password
    )
    admin = AdminApi(
        auth=AdminAuth(
            assembly.password,
            run_key=Secret(lock.run_key),
            page_allowed=lambda origin, host: same_origin(origin, host) or origin in origins,
        ),
        pool=assembly.pool,
        tokens=assembly.tokens,
        configured=lambda: [n for n, u in assembly.in_force.items() if u.kind == "openai"],
        official_key=official,
        use_official_key=assembly.use_official_key,
        saved=assembly.states.flush,
        warnings=lambda: assembly.watcher.warnings,
    )
    site = Site(assembly, gatekeeper)
    siblings = ConversationSite(backend, assembly, gatekeeper, bearer=bearer, wall=time.time)
    assembly.front = ServerFront(
        doors=Doors(entries),
        gatekeeper=gatekeeper,
        app=build_asgi([*site.routes(), *admin.routes(), *siblings.routes()]),
        limits=Limits(body=settings.server.max_body),
    )


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
    if assembly.embedded_missing:
        found.append(assembly.embedded_missing)
    # Last, for there may be one for every line of a file, and the start shows only the first few.
    found += [*loaded.warnings, *assembly.watcher.warnings]
    return found
