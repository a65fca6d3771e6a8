"""Our server on a real socket, with small real handlers behind its doors; and a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from starlette.routing import BaseRoute

from chatgpt_to_api.dialects.contract import Asked, Door, ReplyEncoder, Stamp
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.late import Late
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.app import build_asgi
from chatgpt_to_api.server.doors import Bearer, DoorEntry, Doors
from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames
from chatgpt_to_api.server.protocol import HttpProtocol
from chatgpt_to_api.wire.http import HttpReply, RequestHead

CHAT = "/v1/chat/completions"
JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream")

Handle = Callable[[Exchange, Caller], Awaitable[None]]


class PlainDoor:
    """A door that renders errors in a shape of its own, so that a test sees who rendered."""

    dialect = "plain"
    endpoint = "chat"

    def ask(self, head: RequestHead, body: bytes) -> Asked:
        raise AssertionError("the tests' handlers read bodies themselves")

    def reply(self, asked: Asked, stamp: Stamp) -> ReplyEncoder:
        raise AssertionError("the tests' handlers write replies themselves")

    def failure(self, error: GatewayError) -> HttpReply:
        body = {"door": error.code, "message": error.message}
        return HttpReply(error.status, [JSON], json.dumps(body).encode())


class Handler:
    """Serves a door with a coroutine function."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        await self._handle(exchange, caller)


class State:
    """What uvicorn's server keeps of connections and tasks."""

    def __init__(self) -> None:
        self.connections: set[HttpProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()


async def echo(exchange: Exchange, caller: Caller) -> None:
    """Answer with what came: caller, path, and the body's length and beginning."""
    body = await exchange.body(1 << 30)
    shown = {
        "caller": caller.id,
        "own": caller.own is not None,
        "path": exchange.head.path,
        "query": exchange.head.query.decode(),
        "size": len(body),
        "body": body[:200].decode("latin-1"),
        "request_id": exchange.request_id,
        "peer": exchange.peer,
    }
    whole(exchange, json.dumps(shown).encode())


def whole(exchange: Exchange, body: bytes, status: int = 200) -> None:
    """Send a whole JSON reply."""
    exchange.start(status, [JSON, (b"content-length", str(len(body)).encode())])
    exchange.write(body)
    exchange.finish()


def make_front(
    handle: Handle = echo,
    *,
    limits: Limits | None = None,
    keys: Sequence[str] = (),
    origins: Sequence[str] = (),
    hosts: Sequence[str] = (),
    caller_tokens: bool = False,
    bearer: Bearer = Bearer.KEY,
    routes: Callable[[Gatekeeper], Sequence[BaseRoute]] = lambda _: (),
    late: Mapping[str, Callable[[], Handle]] = MappingProxyType({}),
) -> ServerFront:
    """A front with one door at ``CHAT``, served by ``handle``.

    ``late`` are more doors, with what makes what serves them.
    """
    gatekeeper = Gatekeeper(
        ClientKeys(keys),
        hosts=HostNames(hosts),
        origins=AllowedOrigins(origins),
        caller_tokens=caller_tokens,
    )
    return ServerFront(
        doors=Doors(
            {
                CHAT: DoorEntry(PlainDoor(), Handler(handle), bearer),
                **{path: Late(partial(_made, make, bearer)) for path, make in late.items()},
            }
        ),
        gatekeeper=gatekeeper,
        app=build_asgi(routes(gatekeeper)),
        limits=limits or Limits(),
    )


def _made(make: Callable[[], Handle], bearer: Bearer) -> DoorEntry:
    return DoorEntry(PlainDoor(), Handler(make()), bearer)


class DoorServer:
    """A running server: its port, its front, and the connections uvicorn would know of."""

    def __init__(self, front: ServerFront, server: asyncio.Server, state: State) -> None:
        self.front = front
        self.state = state
        self.port: int = server.sockets[0].getsockname()[1]

    async def connect(self, *, receive_buffer: int | None = None) -> Wire:
        """Open a raw connection; ``receive_buffer`` makes it one that takes little, in bytes."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
        return Wire(reader, writer)

    async def ask(self, request: bytes) -> Reply:
        """Send one request on a fresh connection and read its reply."""
        wire = await self.connect()
        try:
            return await wire.ask(request)
        finally:
            wire.close()


@contextlib.asynccontextmanager
async def door_server(handle: Handle = echo, **options: Any) -> AsyncIterator[DoorServer]:
    """Serve a front (see ``make_front``) on a free port of 127.0.0.1."""
    front = make_front(handle, **options)
    state = State()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(front, state, loop), "127.0.0.1", 0)
    try:
        yield DoorServer(front, server, state)
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.cut()
        await front.roster.empty()
        for task in tuple(state.tasks):
            task.cancel()
        if state.tasks:
            await asyncio.wait(tuple(state.tasks))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened in it that nobody announces."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def ticks(front: ServerFront, count: int) -> None:
    """Wait until the server's coarse clock has ticked so often."""
    done = asyncio.Event()

    class Clock:
        left = count

        def on_tick(self) -> None:
            self.left -= 1
            if self.left == 0:
                done.set()

    clock = Clock()
    front.roster.join(clock, "clock", asyncio.get_running_loop())
    try:
        await done.wait()
    finally:
        front.roster.leave(clock, "clock")


@dataclass
class Reply:
    """One reply as it came. ``whole`` is false when the connection ended before its body did."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    chunks: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A client that sends and reads raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, request: bytes, *, head: bool = False) -> Reply:
        self.send(request)
        return await self.reply(head=head)

    async def status_line(self) -> bytes:
        """The next line, for interim replies."""
        return await self.reader.readline()

    async def reply(self, *, head: bool = False) -> Reply:
        """Read one whole reply; ``head``: it answers a HEAD request and has no body."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = raw[:-4].decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [f.split(": ", 1) for f in fields]
        headers = dict(pairs)
        assert len(headers) == len(pairs), f"a header came twice: {fields}"
        reply = Reply(int(status), headers, b"")
        try:
            if head or reply.status in (204, 304):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                await self._chunks(reply)
            elif "content-length" in headers:
                reply.body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                reply.body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            reply.whole = False
        reply.body += b"".join(reply.chunks)
        return reply

    async def _chunks(self, reply: Reply) -> None:
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            chunk = await self.reader.readexactly(size + 2)
            assert chunk.endswith(b"\r\n")
            if not size:
                return
            reply.chunks.append(chunk[:-2])

    async def closed(self) -> bool:
        """Wait for the server's end of the connection; whether nothing came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Go away with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


def post(
    body: bytes = b"{}",
    *headers: str,
    path: str = CHAT,
    host: str = "localhost",
    method: str = "POST",
    version: str = "1.1",
) -> bytes:
    """A whole request with a content-length."""
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *headers: str, host: str = "localhost", method: str = "GET") -> bytes:
    """A whole request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()
