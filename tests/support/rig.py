"""A gateway process in front of a scripted conversation backend."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any

from support.gateway_process import Answer, GatewayProcess, gateway_process
from support.scripted_backend import Play, Script, ScriptedBackend


class Rig:
    """One gateway, its backend, and blocking calls made from a thread."""

    def __init__(self, gateway: GatewayProcess, backend: ScriptedBackend) -> None:
        self.gateway = gateway
        self.backend = backend

    async def ask(self, *args: Any, **more: Any) -> Answer:
        return await asyncio.to_thread(self.gateway.ask, *args, **more)

    async def fetch(self, *args: Any, **more: Any) -> Answer:
        return await asyncio.to_thread(self.gateway.fetch, *args, **more)

    async def admin(self, *args: Any) -> Answer:
        return await asyncio.to_thread(self.gateway.admin, *args)

    async def credentials(self) -> list[dict[str, Any]]:
        """The credentials as the admin API shows them."""
        shown = await self.admin("GET", "/admin/tokens")
        assert shown.status == 200, shown.text
        listed: list[dict[str, Any]] = shown.json["tokens"]
        return listed

    async def states(self) -> dict[str, int]:
        """How many credentials are in which state."""
        states: dict[str, int] = {}
        for credential in await self.credentials():
            states[credential["state"]] = states.get(credential["state"], 0) + 1
        return states

    @contextlib.asynccontextmanager
    async def stream(
        self, content: str = "hello", model: str = "gpt-3.5-turbo", **more: Any
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A raw streaming request; leaving the block hangs up."""
        body = json.dumps(
            {"model": model, "stream": True, "messages": [{"role": "user", "content": content}]}
            | more
        ).encode()
        port = await asyncio.to_thread(lambda: self.gateway.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        try:
            yield reader, writer
        finally:
            writer.close()


Rigging = Callable[..., AbstractAsyncContextManager[Rig]]


@contextlib.asynccontextmanager
async def sharing(folder: Path) -> AsyncIterator[Rigging]:
    """As ``rigging``, but whoever sets nothing has one gateway, as it was when it was new."""
    folders = (folder / f"data-{number}" for number in count(1))

    async with contextlib.AsyncExitStack() as stack:
        standing: Rig | None = None

        @contextlib.asynccontextmanager
        async def rig(
            play: Script | Sequence[Play], *, tokens: Sequence[str] = ("tok-a",), **environment: str
        ) -> AsyncIterator[Rig]:
            nonlocal standing
            if environment:
                async with rigging(next(folders))(play, tokens=tokens, **environment) as own:
                    yield own
                return
            if standing is None:
                standing = await stack.enter_async_context(rigging(next(folders))(play, tokens=()))
            await standing.backend.forget(play)
            for part in ([], list(tokens)):
                given = await standing.admin("PATCH", "/admin/tokens", part)
                assert given.status == 200, given.text
            reset = await standing.admin("POST", "/admin/tokens/reset")
            assert reset.status == 200, reset.text
            yield standing

        yield rig


def rigging(data_dir: Path) -> Rigging:
    """Return what makes a rig with this data folder."""

    @contextlib.asynccontextmanager
    async def rig(
        script: Script | Sequence[Play], *, tokens: Sequence[str] = ("tok-a",), **environment: str
    ) -> AsyncIterator[Rig]:
        # Each blocking call holds a thread; the default pool has only as many as there are cores.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
        async with ScriptedBackend(script) as backend:
            variables = {
                "API_REVERSE_PROXY": backend.url(),
                "ACCESS_TOKENS": ",".join(tokens),
                **environment,
            }
            with gateway_process(data_dir, **variables) as gateway:
                await asyncio.to_thread(lambda: gateway.port)
                yield Rig(gateway, backend)

    return rig
