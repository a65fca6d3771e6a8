"""A call cancelled in any phase leaves no connection, no task and a client that works."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trustme

from chatgpt_to_api.wire.proxy import Proxy
from support.calls import Caller, until
from support.proxies import dead_end
from support.raw_server import Peer, RawServer, answering, http_reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def cancelled(work: Awaitable[object], reached: Callable[[], bool]) -> None:
    """Start ``work``, cancel it once ``reached()``, and see it end by that."""
    task = asyncio.ensure_future(work)
    await until(lambda: reached() or task.done())
    assert not task.done(), "it ended before it could be cancelled"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def clean(call: Caller) -> None:
    """No connection is left, no task, nothing remembered, and the next call works."""
    await until(lambda: call.client.open_connections == 0)
    assert call.client._sites == {}
    await until(lambda: len(asyncio.all_tasks()) == 1)
    async with RawServer(answering(http_reply(b"fine"))) as server:
        assert await call.text(server.port) == b"fine"


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port on 127.0.0.1 whose queue is full, so that a connection attempt gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(8)]
        for sock in filling:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for sock in filling:
            sock.close()


async def test_while_connecting(call: Caller, full_port: int) -> None:
    """Cancelled before TCP was through."""
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await call(full_port)

    await cancelled(work(), started.is_set)
    await clean(call)


async def test_while_resolving(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while the name is looked up."""
    asked = asyncio.Event()

    async def never(*_args: object, **_more: object) -> list[object]:
        asked.set()
        await asyncio.Event().wait()
        return []

    # A resolver that hangs cannot be had on loopback.
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        await cancelled(call(80, host="name.example"), asked.is_set)
    await clean(call)


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [(None, "https"), ("http", "https"), ("https", "https"), ("https", "http"), ("socks5", "http")],
)
async def test_during_a_handshake(
    call: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str | None,
    scheme: str,
) -> None:
    """Cancelled while TLS or a proxy is being spoken to."""
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    spoken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        spoken.set()
        await peer.gone()

    async with RawServer(script) as server:
        if kind is None:
            work = call(server.port, scheme=scheme)
        else:
            proxy = Proxy(kind, "127.0.0.1", server.port)  # type: ignore[arg-type]
            work = call(80, scheme=scheme, host="name.example", proxy=proxy)
        await cancelled(work, spoken.is_set)
        await server.quiet()
    await clean(call)


async def test_during_tls_inside_a_tunnel(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled after the proxy's consent, while the origin is being spoken to through it."""
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    spoken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.reader.read(1)
        spoken.set()
        await peer.gone()

    async with RawServer(script) as server:
        proxy = Proxy("http", "127.0.0.1", server.port)
        await cancelled(call(443, scheme="https", host="name.example", proxy=proxy), spoken.is_set)
        await server.quiet()
    await clean(call)


async def test_while_waiting_for_the_head(call: Caller) -> None:
    """Cancelled after the request was sent, on a fresh and on a kept connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"first"))
        server.requests.append(await peer.request())
        await peer.gone()

    async with RawServer(dead_end()) as silent:
        await cancelled(call(silent.port), lambda: silent.open == 1)
        await silent.quiet()
    async with RawServer(script) as server:
        assert await call.text(server.port) == b"first"
        await cancelled(call(server.port), lambda: len(server.requests) == 1)
        await server.quiet()
        assert server.connections == 1  # being cancelled is no stale connection
    await clean(call)


@pytest.mark.parametrize("coding", [b"", b"content-encoding: gzip\r\n"])
async def test_while_waiting_for_the_body(call: Caller, coding: bytes) -> None:
    """Cancelled in read(): the call is given up, so that an upstream stops working for nobody."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED[:-2] + coding + b"\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        await cancelled(reply.read(), lambda: reply.waiter is not None)
        await server.quiet()
        reply.close()
    await clean(call)


async def test_at_the_very_moment_the_reply_arrives(call: Caller) -> None:
    """Cancelled between the reply's arrival and the task's turn: nothing leaks either way."""
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"whole"))
        await arrived.wait()

    async with RawServer(script) as server:
        task = asyncio.ensure_future(call(server.port))
        # With the last byte the connection is idle again, one step before the task runs.
        sites = call.client._sites
        await until(lambda: any(site.idle for site in sites.values()))
        if not task.done():
            task.cancel()
        try:
            (await task).close()
        except asyncio.CancelledError:
            pass
        arrived.set()
        await server.quiet()
    await clean(call)


async def test_a_task_that_reads_can_be_waited_for_with_a_limit(call: Caller) -> None:
    """asyncio.wait with a timeout leaves a read in its task unharmed: the way to keep a stream."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await go_on.wait()
        await peer.send(b"2\r\nhi\r\n0\r\n\r\n")

    async with RawServer(script) as server:
        reply = await call(server.port)
        reading = asyncio.ensure_future(reply.read())
        done, _ = await asyncio.wait({reading}, timeout=0.05)
        assert not done
        go_on.set()
        assert await reading == b"hi"
        assert await reply.read() == b""


async def test_a_storm_of_cancelled_calls_leaves_nothing(call: Caller) -> None:
    """Two hundred calls to a server that answers in its own time, cancelled at every step."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED, b"2\r\nhi\r\n", b"0\r\n\r\n")

    async with RawServer(script) as server:
        for steps in range(200):
            task = asyncio.ensure_future(call.text(server.port))
            for _ in range(steps % 40):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await call.client.close()
        await server.quiet()
    assert call.client.open_connections == 0
