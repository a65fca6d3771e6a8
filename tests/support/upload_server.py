"""A server that takes bodies of any size without holding them, and makes large replies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE = b"\x00\xff" * 32_768


@dataclass
class Uploaded:
    """One request as it arrived; of its body only size and digest."""

    line: str
    headers: dict[str, str]
    size: int = 0
    whole: bool = False
    digest: str = ""


@dataclass
class UploadServer:
    """``seen`` are its requests. ``download`` bytes come back from paths that end in /content."""

    port: int = 0
    seen: list[Uploaded] = field(default_factory=list)
    download: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            await self._one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        got = Uploaded(head[0], headers)
        self.seen.append(got)
        self.arrived.set()
        digest = hashlib.sha256()
        async for piece in _body(reader, headers):
            got.size += len(piece)
            digest.update(piece)
        got.whole, got.digest = True, digest.hexdigest()
        if not head[0].split(" ")[1].endswith("/content"):
            body = b'{"id": "file-1", "bytes": %d}' % got.size
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % self.download)
        for _ in range(self.download // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if "content-length" in headers:
        left = int(headers["content-length"])
        while left:
            piece = await reader.read(min(left, 1 << 18))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece
        return
    while "transfer-encoding" in headers and (size := int(await reader.readuntil(b"\r\n"), 16)):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


@contextlib.asynccontextmanager
async def upload_server() -> AsyncIterator[UploadServer]:
    """Run one."""
    running = UploadServer()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
