"""The same replies through aiohttp's client and ours: they must agree."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from chatgpt_to_api.transport.errors import TransportError
from support.calls import Caller, whole
from support.raw_server import Peer, RawServer, chunked, http_reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = gzip.compress(b"text " * 1000)

RAW = {
    "length": http_reply(b"hello", b"Content-Type: text/plain", b"X-A: b"),
    "chunked": CHUNKED + chunked(b"a", b"b" * 5000, b"c"),
    "upper-case chunk sizes": CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
    "chunk extensions": CHUNKED + b"5;x=y\r\nhello\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nto the end",
    "old": b"HTTP/1.0 200 OK\r\n\r\nto the end",
    "nothing": http_reply(),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + http_reply(b"after"),
    "hints": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + http_reply(b"after"),
    "redirect": http_reply(b"over there", b"location: /x", status=b"307 Temporary Redirect"),
    "repeated headers": http_reply(b"", b"set-cookie: a=1", b"set-cookie: b=2"),
    "latin-1 header": http_reply(b"", "x-name: Grüße".encode("latin-1")),
    "no reason": b"HTTP/1.1 404\r\ncontent-length: 2\r\n\r\nno",
    "odd status": http_reply(b"x", status=b"599 Odd"),
    "gzip": http_reply(GZIP, b"content-encoding: gzip"),
    "deflate": http_reply(zlib.compress(b"text"), b"content-encoding: deflate"),
    "raw deflate": http_reply(zlib.compress(b"text", wbits=-15), b"content-encoding: deflate"),
    "identity": http_reply(b"text", b"content-encoding: identity"),
    "cut length": http_reply(b"12345")[:-2],
    "cut chunk": CHUNKED + b"5\r\nhel",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nx: y\r\n",
    "no answer": b"",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n" + CHUNKED[17:] + chunked(b"x"),
    "bad length": b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    "bad chunk size": CHUNKED + b"g\r\nhello\r\n0\r\n\r\n",
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 0\r\n\r\n",
    "control byte": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
}  # fmt: skip

Outcome = tuple[int, list[tuple[bytes, bytes]], bytes] | str


@pytest.fixture
async def theirs() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        yield session


async def ours_of(call: Caller, port: int, path: str = "/", method: str = "GET") -> Outcome:
    try:
        reply = await call(port, method=method.encode(), target=path.encode())
        return reply.head.status, _comparable(reply.head.headers), await whole(reply)
    except TransportError:
        return "error"


async def theirs_of(
    session: aiohttp.ClientSession, port: int, path: str = "/", method: str = "GET"
) -> Outcome:
    try:
        async with session.request(
            method, f"http://127.0.0.1:{port}{path}", allow_redirects=False
        ) as reply:
            headers = [(name.lower(), value) for name, value in reply.raw_headers]
            return reply.status, _comparable(headers), await reply.read()
    except aiohttp.ClientError:
        return "error"


def _comparable(headers: object) -> list[tuple[bytes, bytes]]:
    """Leave out what differs by design: the clock, and what described a body before decoding."""
    gone = (b"date", b"content-encoding", b"content-length")
    return [field for field in headers if field[0] not in gone]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", RAW)
async def test_raw_replies_mean_the_same_to_both(
    call: Caller, theirs: aiohttp.ClientSession, name: str
) -> None:
    """Status, headers and body agree, and what one refuses the other refuses too."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(RAW[name])

    async with RawServer(script) as server:
        ours = await ours_of(call, server.port)
        assert ours == await theirs_of(theirs, server.port)


async def _stream(request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await reply.prepare(request)
    for i in range(20):
        await reply.write(b"data: %d\n\n" % i)
    await reply.write_eof()
    return reply


async def _compressed(request: web.Request) -> web.Response:
    reply = web.Response(text="long enough to be compressed " * 100)
    reply.enable_compression(web.ContentCoding[request.query["coding"]])
    return reply


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), headers={"x-seen": request.method})


async def _big(request: web.Request) -> web.Response:
    return web.Response(body=b"b" * 3_000_000)


async def _none(request: web.Request) -> web.Response:
    return web.Response(status=204)


async def _moved(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"location": "/big"})


async def test_a_real_server_means_the_same_to_both(
    call: Caller, theirs: aiohttp.ClientSession
) -> None:
    """Shapes that aiohttp's own server makes, HEAD and large bodies included, over keep-alive."""
    app = web.Application()
    app.router.add_get("/stream", _stream)
    app.router.add_get("/compressed", _compressed)
    app.router.add_route("*", "/echo", _echo)
    app.router.add_get("/big", _big)
    app.router.add_get("/none", _none)
    app.router.add_get("/moved", _moved)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        for method, path in (
            ("GET", "/stream"),
            ("GET", "/compressed?coding=gzip"),
            ("GET", "/compressed?coding=deflate"),
            ("GET", "/echo"),
            ("DELETE", "/echo"),
            ("HEAD", "/echo"),
            ("GET", "/big"),
            ("HEAD", "/big"),
            ("GET", "/none"),
            ("GET", "/moved"),
            ("GET", "/nowhere"),
            ("PATCH", "/big"),
        ):
            ours = await ours_of(call, port, path, method)
            assert ours == await theirs_of(theirs, port, path, method), (method, path)
            assert ours != "error"
    finally:
        await runner.cleanup()
