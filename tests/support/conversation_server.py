"""Our conversation backend on a real socket: the server's own protocol, doors and site.

Only what answers is scripted, by canonical events.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec

from chatgpt_to_api.config.settings import ConversationSettings
from chatgpt_to_api.dialects.conversation.door import CONVERSATION_PATHS, DOOR
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.gateway.conversations import Conversations
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.app import build_asgi
from chatgpt_to_api.server.conversation_site import ConversationSite
from chatgpt_to_api.server.doors import Bearer, DoorEntry, Doors
from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames
from chatgpt_to_api.server.protocol import protocol_for
from chatgpt_to_api.store.conversations import StoredConversations
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.secrets import Cipher
from support.gateway_process import Answer, fetch
from support.scripted_engine import ScriptedEngine, Step, says


class Card(msgspec.Struct):
    id: str


class ConversationServer:
    """One running server. ``script`` is what the next questions are answered with."""

    def __init__(self) -> None:
        self.script: Sequence[Step] = says("Hello", " there")
        self.scripts: list[Sequence[Step]] = []
        """Played first, each once."""
        self.engine = ScriptedEngine(lambda _: self._next())
        self.model_names = ["gpt-4o", "text-davinci-002-render-sha"]
        self.port = 0

    def _next(self) -> Sequence[Step]:
        return self.scripts.pop(0) if self.scripts else self.script

    def models(self) -> list[Card]:
        return [Card(name) for name in self.model_names]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def call(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        token: str | None = "alice",
        **headers: str,
    ) -> Answer:
        """One request, made from a thread as a blocking client makes it."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        return await asyncio.to_thread(
            fetch, self.url + path, method=method, body=body, headers=fields
        )


@contextlib.asynccontextmanager
async def conversation_server(
    data_dir: Path, *, keys: Sequence[str] = (), anonymous: bool = False
) -> AsyncIterator[ConversationServer]:
    """Run a server for the length of a block."""
    loop = asyncio.get_running_loop()
    server = ConversationServer()
    store = await Store.open(data_dir, Cipher(bytes(32), "a test"))
    conversations = Conversations(
        StoredConversations(store, ConversationSettings()),
        UnsavedConversations(),
        wall=lambda: 1_700_000_000.25,
        new_id=lambda: str(uuid4()),
    )
    backend = ConversationBackend(
        server.engine, conversations, owner_digest=store.cipher.digest, max_body=1 << 20
    )
    bearer = Bearer.IDENTITY_OR_NOBODY if anonymous else Bearer.IDENTITY
    gatekeeper = Gatekeeper(ClientKeys(keys), hosts=HostNames(), origins=AllowedOrigins(()))
    site = ConversationSite(
        backend, server, gatekeeper, bearer=bearer, wall=lambda: 1_700_000_000.0
    )
    front = ServerFront(
        doors=Doors({path: DoorEntry(DOOR, backend, bearer) for path in CONVERSATION_PATHS}),
        gatekeeper=gatekeeper,
        app=build_asgi(site.routes()),
        limits=Limits(),
    )
    state: Any = SimpleNamespace(connections=set(), tasks=set())
    protocol = protocol_for(front)
    listening = await loop.create_server(lambda: protocol(None, state, {}, loop), "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.cut()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await store.close()
