"""Small outbound proxies on loopback: HTTP (CONNECT and absolute form) and SOCKS5.

Whatever name they are asked for, they connect to 127.0.0.1 on the port asked for: names that exist
nowhere show that the proxy, not the client, resolves them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl

from support.raw_server import Peer, RawServer, Script


class HttpProxy(RawServer):
    """An HTTP proxy. ``asked``: (request line, proxy-authorization) of each request.

    ``refusal``: a status line to answer every request with. ``credentials``: ``user:password`` it
    insists on.
    """

    def __init__(
        self,
        *,
        credentials: str | None = None,
        refusal: bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(self._serve, tls=tls)
        self.asked: list[tuple[bytes, bytes | None]] = []
        self._refusal = refusal
        self._wanted = (
            None
            if credentials is None
            else b"Basic " + base64.b64encode(credentials.encode("utf-8"))
        )

    async def _serve(self, peer: Peer) -> None:
        request = await peer.request()
        shown = request.headers.get(b"proxy-authorization")
        self.asked.append((request.line, shown))
        if self._refusal is not None:
            await peer.send(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\nno" % self._refusal)
            return
        if shown != self._wanted:
            await peer.send(
                b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
            )
            return
        method, target, _ = request.line.split()
        if method == b"CONNECT":
            reader, writer = await _reach(target.rpartition(b":")[2])
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            authority, _, path = target.removeprefix(b"http://").partition(b"/")
            reader, writer = await _reach(authority.rpartition(b":")[2])
            head = request.head.replace(target, b"/" + path, 1)
            writer.write(head + request.body)
        await _join(peer.reader, peer.writer, reader, writer)


class Socks5Proxy(RawServer):
    """A SOCKS5 proxy. ``asked``: the host names or addresses it was asked to connect to.

    ``code``: the reply code it answers every request with (0 is success).
    """

    def __init__(self, *, credentials: tuple[str, str] | None = None, code: int = 0) -> None:
        super().__init__(self._serve)
        self.asked: list[str] = []
        self._credentials = credentials
        self._code = code

    async def _serve(self, peer: Peer) -> None:
        reader = peer.reader
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 0 if self._credentials is None else 2
        if method not in methods:
            await peer.send(b"\x05\xff")
            return
        await peer.send(bytes((5, method)))
        if self._credentials is not None:
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = (user.decode(), password.decode()) == self._credentials
            await peer.send(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = (await reader.readexactly(4 if kind == 1 else 16)).hex()
        self.asked.append(host)
        port = int.from_bytes(await reader.readexactly(2), "big")
        if self._code:
            await peer.send(bytes((5, self._code, 0, 1, 0, 0, 0, 0, 0, 0)))
            return
        there, back = await _reach(b"%d" % port)
        await peer.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        await _join(reader, peer.writer, there, back)


def dead_end() -> Script:
    """A script that reads and never answers: a server or proxy that hangs."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    return script


async def _reach(port: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(port))


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there: asyncio.StreamReader,
    back: asyncio.StreamWriter,
) -> None:
    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    try:
        await asyncio.gather(pipe(reader, back), pipe(there, writer))
    finally:
        back.close()
