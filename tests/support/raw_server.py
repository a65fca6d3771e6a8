"""A TCP server on loopback whose script is a coroutine: raw bytes out, raw requests in."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Self


@dataclass
class RawRequest:
    """One request: first line, head as it came, headers by lower-case name, body."""

    line: bytes
    head: bytes
    headers: dict[bytes, bytes]
    body: bytes


class Peer:
    """The server's end of one connection. ``number`` counts connections from 0."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> RawRequest:
        """Read one whole request. Raises IncompleteReadError when the client has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = head[:-4].split(b"\r\n")
        headers = {
            name.lower(): value.strip()
            for name, value in (field.split(b":", 1) for field in fields)
        }
        body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return RawRequest(line, head, headers, body)

    async def send(self, *pieces: bytes) -> None:
        """Write pieces, each alone."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed or reset the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs ``script`` once for each connection and closes it when the script returns.

    ``connections``: how many were accepted; ``requests``: what scripts noted there. An error in a
    script other than the client's going away is raised when the server is left.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self.connections = 0
        self.requests: list[RawRequest] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accepted,
            *("127.0.0.1", 0),
            ssl=self._tls,
            limit=4 * 1024 * 1024,
            backlog=2048,  # who finds it full connects seconds later
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._errors and error is None:
            raise self._errors[0]

    async def quiet(self) -> None:
        """Wait until no connection is open. Raises TimeoutError after 10 s, when one has leaked."""
        async with asyncio.timeout(10):
            await self._idle.wait()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._idle.clear()
        peer = Peer(self.connections, reader, writer)
        self.connections += 1
        try:
            await self._script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        except asyncio.CancelledError:
            pass  # the server is being left; asyncio's streams would log it
        except Exception as error:  # noqa: BLE001  # raised where the server is left
            self._errors.append(error)
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()


def answering(*replies: bytes) -> Script:
    """Answer each request with the next reply (the last repeats) until the client goes away."""

    async def script(peer: Peer) -> None:
        left = list(replies)
        while True:
            await peer.request()
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def http_reply(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Build a reply with a content-length."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


def chunked(*chunks: bytes) -> bytes:
    """Build the body of a chunked reply, its end included."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
