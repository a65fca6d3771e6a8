"""Short ways to send a request through the product's HTTP client and to read the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.reply import Reply
from chatgpt_to_api.wire.http import Headers, HttpRequest, Origin
from chatgpt_to_api.wire.proxy import Proxy


class Caller:
    """Sends requests with defaults that fit a test. ``deadline`` is in seconds from now."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client

    async def __call__(
        self,
        port: int,
        *,
        scheme: str = "http",
        host: str = "127.0.0.1",
        method: bytes = b"GET",
        target: bytes = b"/",
        headers: Headers = (),
        body: bytes = b"",
        proxy: Proxy | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        deadline: float = 60.0,
    ) -> Reply:
        return await self.client.send(
            HttpRequest(method, Origin(scheme, host, port), target, headers, body),
            proxy=proxy,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            deadline=asyncio.get_running_loop().time() + deadline,
        )

    async def upload(
        self,
        port: int,
        pieces: AsyncIterator[bytes],
        length: int | None,
        *,
        read_timeout: float = 60.0,
        deadline: float = 60.0,
    ) -> Reply:
        """POST a body that comes in pieces."""
        return await self.client.upload(
            HttpRequest(b"POST", Origin("http", "127.0.0.1", port), b"/", ()),
            pieces,
            length,
            proxy=None,
            connect_timeout=5.0,
            read_timeout=read_timeout,
            deadline=asyncio.get_running_loop().time() + deadline,
        )

    async def text(self, port: int, **how: object) -> bytes:
        """The body of a whole call."""
        return await whole(await self(port, **how))  # type: ignore[arg-type]


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop run until ``holds()``, for what has no event of its own; 20 s at most."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 20
    while not holds():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0)


async def held_back(reply: Reply) -> None:
    """Wait until so much is unread that the connection is not read from any more."""
    await until(lambda: reply.carrier is None or reply.carrier.paused)
    assert reply.carrier is not None


async def whole(reply: Reply) -> bytes:
    """Read a reply to its end and close it."""
    parts = []
    while data := await reply.read():
        parts.append(data)
    reply.close()
    return b"".join(parts)
