"""Ports, and how a server stops: as a real process that gets real signals."""

from __future__ import annotations

import asyncio
import re
import signal
import socket

import pytest

from chatgpt_to_api.server.listen import CannotListen, bind, serve
from support.door_server import Wire, make_front, post
from support.serving_process import serving_process

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
async def test_an_idle_server_stops_at_once(number: signal.Signals) -> None:
    """Connections that ask nothing hold nobody up; what runs after the server still runs."""
    async with serving_process(30) as server:
        wire = await server.connect()
        assert (await wire.ask(post(b"hello"))).body == b"hello"
        server.signal(number)
        assert await wire.closed()
        assert await server.process.wait() == 0
        assert "closed well" in await server.output()


async def test_a_running_request_may_end_while_the_server_stops() -> None:
    """Nobody new is let in, the one inside is answered, and told that the connection ends."""
    async with serving_process(30) as server:
        wire = await server.connect()
        request = post(b"hello")
        wire.send(request[:-2])
        assert (await (await server.connect()).ask(post(b"x"))).status == 200
        server.signal(signal.SIGTERM)
        await server.stopped_listening()
        wire.send(request[-2:])
        reply = await wire.reply()
        assert reply.body == b"hello"
        assert reply.headers["connection"] == "close"
        assert await server.process.wait() == 0


async def begun(server: object, body: bytes) -> Wire:
    """A request that the server has begun to work on."""
    wire: Wire = await server.connect()  # type: ignore[attr-defined]
    wire.send(post(body))
    if body == b"stream":
        await wire.reader.readuntil(b"event\r\n")
    else:
        probe = await server.connect()  # type: ignore[attr-defined]
        assert (await probe.ask(post(b"x"))).status == 200
    return wire


async def test_after_the_drain_what_still_runs_is_cut() -> None:
    """A stream breaks visibly; who got nothing yet is told why and when to try again."""
    async with serving_process(0.2) as server:
        stream = await begun(server, b"stream")
        hanging = await begun(server, b"hang")
        server.signal(signal.SIGTERM)
        reply = await hanging.reply()
        assert reply.status == 503
        assert reply.json["door"] == "service_unavailable"
        assert reply.headers["connection"] == "close"
        assert await stream.reader.read() == b""
        assert await server.process.wait() == 0
        assert "closed well" in await server.output()


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_second_signal_stops_at_once(number: signal.Signals) -> None:
    """Somebody who presses twice does not want to wait."""
    async with serving_process(600) as server:
        stream = await begun(server, b"stream")
        server.signal(number)
        await server.stopped_listening()
        server.signal(number)
        assert await stream.reader.read() == b""
        assert await server.process.wait() == 0


async def test_more_open_files_are_asked_for() -> None:
    """Systems start at few; a thousand streams need two thousand sockets."""
    async with serving_process(1, "ulimit -Sn 200") as server:
        reply = await (await server.connect()).ask(post(b"files"))
        assert int(reply.body) > 200


async def test_serving_ends_when_its_task_is_cancelled() -> None:
    """Whoever runs the server in a larger program can stop it."""
    front = make_front()
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    started = asyncio.Event()
    task = asyncio.create_task(serve(front, sockets, drain=0, started=started.set))
    await started.wait()
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    assert (await wire.ask(post())).status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await wire.closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_accepted_connections_are_probed_for_life() -> None:
    """A client that vanished without a word is found gone."""
    front = make_front()
    sockets = bind("127.0.0.1", 0)
    started = asyncio.Event()
    task = asyncio.create_task(serve(front, sockets, drain=0, started=started.set))
    await started.wait()
    wire = Wire(*await asyncio.open_connection(*sockets[0].getsockname()))
    assert (await wire.ask(post())).status == 200
    (connection,) = front.roster._open
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_port_0_is_a_free_port_the_same_for_every_address() -> None:
    """``localhost`` may be two addresses; one URL must do."""
    sockets = bind("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[0].getsockname()[1] > 0
    finally:
        for sock in sockets:
            sock.close()


def test_every_interface_is_one_socket() -> None:
    """As in a container."""
    (sock,) = bind("0.0.0.0", 0)
    assert sock.getsockname()[0] == "0.0.0.0"
    sock.close()


def test_a_port_in_use_is_told_with_a_way_out() -> None:
    """Not a stack trace: the address, the likely reason, the setting."""
    (taken,) = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(CannotListen, match=re.escape(f"127.0.0.1 port {port} is in use")) as told:
        bind("127.0.0.1", port)
    assert "SERVER_PORT" in str(told.value)
    taken.close()
    (again,) = bind("127.0.0.1", port)
    again.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "300.1.1.1"])
def test_an_address_of_somebody_else_is_told(host: str) -> None:
    """The setting to change is named."""
    with pytest.raises(CannotListen, match="SERVER_HOST"):
        bind(host, 0)


def test_everywhere_in_ipv6_means_ipv4_too() -> None:
    """``::`` takes both, as servers written in other languages do."""
    if not socket.has_ipv6:
        with pytest.raises(CannotListen):
            bind("::", 0)
        return
    (both,) = bind("::", 0)
    with socket.create_connection(("127.0.0.1", both.getsockname()[1]), timeout=5):
        pass
    both.close()
