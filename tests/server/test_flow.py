"""A client that reads slowly holds back who writes to it, and only them; and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.server.limits import Limits
from support.door_server import EVENTS, Wire, door_server, get, post, ticks, until, whole

PIECE = b"x" * 16_384


class Writer:
    """A handler that writes pieces as long as it may."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces
        self.written = 0
        self.gone = asyncio.Event()

    async def __call__(self, exchange: Exchange, caller: Caller) -> None:
        exchange.on_gone(self.gone.set)
        exchange.start(200, [EVENTS])
        while self.written < self._pieces and not exchange.gone:
            exchange.write(PIECE)
            self.written += 1
            await exchange.drain()
        exchange.finish()


async def test_drain_waits_for_a_client_that_reads_slowly() -> None:
    """Only what the system buffers hold, and a little more, is written ahead."""
    handle = Writer(2000)
    async with door_server(handle) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post())
        await until(lambda: any(c.write_paused for c in server.state.connections))
        stopped = handle.written
        for _ in range(1000):
            await asyncio.sleep(0)
        assert handle.written <= stopped + 1 < 1000
        reply = await wire.reply()
        assert len(reply.body) == 2000 * len(PIECE)


@pytest.mark.parametrize("leave", [Wire.reset, Wire.half_close])
async def test_who_waits_in_drain_is_freed_when_the_client_goes(
    leave: Callable[[Wire], None],
) -> None:
    """A hang-up while the buffers are full is seen too, and does not wait for them."""
    handle = Writer(1 << 30)
    async with door_server(handle) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post())
        await until(lambda: any(c.write_paused for c in server.state.connections))
        leave(wire)
        await handle.gone.wait()
        await until(lambda: not server.state.tasks)


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    """A reader that stalls does not hold a task and its buffers for ever."""
    handle = Writer(1 << 30)
    async with door_server(handle, limits=Limits(tick=0.02, stall=0.1)) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post())
        await handle.gone.wait()
        await until(lambda: not server.state.connections)


async def test_a_reply_that_nobody_takes_is_not_kept_for_ever() -> None:
    """Also after its handler has finished."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        whole(exchange, b"x" * 50_000_000)

    async with door_server(handle, limits=Limits(tick=0.02, stall=0.1)) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post())
        await until(lambda: bool(server.state.connections))
        await until(lambda: not server.state.connections)
        assert not (await wire.reply()).whole


async def test_a_slow_reader_is_not_a_stalled_one() -> None:
    """Whoever takes a little in each stretch of time keeps its reply."""
    handle = Writer(600)
    # Longer than a kernel takes to notice that a small window is open again.
    async with door_server(handle, limits=Limits(tick=0.01, stall=0.5)) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post())
        await wire.reader.readuntil(b"\r\n\r\n")
        total = 0
        while total < 600 * len(PIECE):
            data = await wire.reader.read(65536)
            assert data, "it was cut off"
            total += len(data)
            if total < 5_000_000:
                await ticks(server.front, 1)  # slow, yet never silent for long
        assert not handle.gone.is_set()


async def test_other_clients_do_not_wait_for_a_slow_one() -> None:
    """Backpressure is per connection."""
    slow = Writer(1 << 30)

    async def handle(exchange: Exchange, caller: Caller) -> None:
        if await exchange.body(10) == b"slow":
            await slow(exchange, caller)
        else:
            whole(exchange, b"quick")

    async with door_server(handle) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(post(b"slow"))
        await until(lambda: any(c.write_paused for c in server.state.connections))
        assert (await server.ask(post())).body == b"quick"


async def test_an_asgi_program_is_held_back_too() -> None:
    """Starlette's stream stops while its client does not read."""
    written = 0

    async def big(request: Request) -> Response:
        async def pieces() -> object:
            nonlocal written
            for _ in range(2000):
                written += 1
                yield PIECE

        return StreamingResponse(pieces())

    async with door_server(routes=lambda _: [Route("/big", big)]) as server:
        wire = await server.connect(receive_buffer=4096)
        wire.send(get("/big"))
        await until(lambda: any(c.write_paused for c in server.state.connections))
        assert written < 1000
        assert len((await wire.reply()).body) == 2000 * len(PIECE)
