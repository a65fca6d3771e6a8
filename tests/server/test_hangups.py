"""A client that goes away is noticed at once, in every phase of its request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.server.limits import Limits
from support.door_server import EVENTS, Wire, door_server, get, post, until, whole

Leave = Callable[[Wire], None]

LEAVES: dict[str, Leave] = {"close": Wire.close, "reset": Wire.reset, "half close": Wire.half_close}


@pytest.fixture(params=LEAVES.values(), ids=LEAVES.keys())
def leave(request: pytest.FixtureRequest) -> Leave:
    """The ways a client goes away; the end of its stream alone counts too."""
    chosen: Leave = request.param
    return chosen


class Watched:
    """A handler that waits for ever in one phase, and notes what it is told."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.waits = asyncio.Event()
        self.told = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, exchange: Exchange, caller: Caller) -> None:
        exchange.on_gone(self.told.set)
        try:
            if self.phase == "body":
                self.waits.set()
                await exchange.body(1_000_000)
            await exchange.body(1_000_000)
            if self.phase in ("head sent", "streaming"):
                exchange.start(200, [EVENTS])
            if self.phase == "streaming":
                exchange.write(b"event")
            self.waits.set()
            await self.told.wait()
            assert exchange.gone
            # Whatever comes after is for nobody, and harmless.
            exchange.start(200, [EVENTS])
            exchange.write(b"late")
            await exchange.drain()
            exchange.finish()
            exchange.abort()
            self.ended.append("told")
        except ClientGone:
            self.ended.append("gone")


@pytest.mark.parametrize("phase", ["body", "working", "head sent", "streaming"])
async def test_the_handler_is_told(phase: str, leave: Leave) -> None:
    """While the body arrives, before the reply, amid the reply."""
    handle = Watched(phase)
    async with door_server(handle) as server:
        wire = await server.connect()
        request = post(b"x" * 1000)
        wire.send(request[:-500] if phase == "body" else request)
        await handle.waits.wait()
        leave(wire)
        await handle.told.wait()
        await until(lambda: not server.state.tasks)
        assert handle.ended == ["gone" if phase == "body" else "told"]
        await until(lambda: not server.state.connections)


async def test_the_handler_is_told_when_more_requests_were_sent_behind_its_own(
    leave: Leave,
) -> None:
    """The running request is told, not the last one read; those behind it never begin."""
    handle = Watched("working")
    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(b"one") + post(b"two") + post(b"three") + b"POST /v1/ch")
        await handle.waits.wait()
        leave(wire)
        await handle.told.wait()
        await until(lambda: not server.state.tasks)
        assert handle.ended == ["told"]


async def test_the_handler_is_told_although_reading_is_paused(leave: Leave) -> None:
    """Behind a flood of pipelined bytes the end of the stream is still seen."""
    handle = Watched("working")
    async with door_server(handle, limits=Limits(ahead=1000, tick=0.02)) as server:
        wire = await server.connect()
        wire.send(post(b"one") + post(b"two"))
        await handle.waits.wait()
        wire.send(post(b"x" * 2000))
        await until(lambda: any(c.read_paused for c in server.state.connections))
        wire.send(post(b"never read"))
        await wire.writer.drain()
        leave(wire)
        await handle.told.wait()
        await until(lambda: not server.state.tasks)
        assert handle.ended == ["told"]


async def test_whoever_asks_late_is_told_too() -> None:
    """A callback given after the client went is called, from the loop."""
    late = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        told = asyncio.Event()
        exchange.on_gone(told.set)
        await told.wait()
        exchange.on_gone(late.set)
        assert not late.is_set()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post())
        await until(lambda: bool(server.state.tasks))
        wire.close()
        await late.wait()


async def test_a_body_is_not_empty_because_the_client_left() -> None:
    """Whoever asks late gets no body instead of an empty one."""
    ended: list[str] = []

    async def handle(exchange: Exchange, caller: Caller) -> None:
        told = asyncio.Event()
        exchange.on_gone(told.set)
        await told.wait()
        for ask in (exchange.body(100), anext(aiter(exchange.chunks()))):
            try:
                await ask
            except ClientGone:
                ended.append("gone")

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(b"whole"))
        await until(lambda: bool(server.state.tasks))
        wire.close()
        await until(lambda: ended == ["gone", "gone"])


async def test_nobody_is_told_after_a_good_end() -> None:
    """A client that leaves after its reply has not gone away amid it."""
    told: list[str] = []

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.on_gone(lambda: told.append("gone"))
        whole(exchange, b"{}")
        exchange.on_gone(lambda: told.append("late"))

    async with door_server(handle) as server:
        wire = await server.connect()
        assert (await wire.ask(post())).status == 200
        wire.close()
        await until(lambda: not server.state.connections)
        assert told == []


async def test_a_client_that_leaves_before_its_request_is_whole_leaves_nothing(
    leave: Leave,
) -> None:
    """Half a head starts nothing."""
    async with door_server() as server:
        wire = await server.connect()
        wire.send(post()[:30])
        await until(lambda: bool(server.state.connections))
        leave(wire)
        await until(lambda: not server.state.connections)
        assert not server.state.tasks


async def test_a_refused_request_may_be_hung_up_on(leave: Leave) -> None:
    """A refusal nobody waits for is no trouble."""
    async with door_server(keys=["key"]) as server:
        for _ in range(5):
            wire = await server.connect()
            wire.send(post(b"x" * 1000)[:-10])
            leave(wire)
            await until(lambda: not server.state.connections and not server.state.tasks)


async def test_an_asgi_program_is_told(leave: Leave) -> None:
    """Starlette's own way to notice works on our exchanges."""
    waits, ended = asyncio.Event(), asyncio.Event()

    async def endless(request: Request) -> Response:
        async def events() -> object:
            try:
                yield b"one"
                waits.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        return StreamingResponse(events())

    async with door_server(routes=lambda _: [Route("/endless", endless)]) as server:
        wire = await server.connect()
        wire.send(get("/endless"))
        await waits.wait()
        leave(wire)
        await ended.wait()
        await until(lambda: not server.state.tasks)


async def test_many_hang_ups_in_every_phase_leave_nothing_behind() -> None:
    """No task, no connection, no count of a peer stays."""
    async with door_server(Watched("working")) as server:
        for number in range(300):
            wire = await server.connect()
            request = post(b"x" * 100)
            wire.send(request[: number * 7 % (len(request) + 1)])
            if number % 2:
                wire.reset()
            else:
                wire.close()
        await until(lambda: not server.state.connections)
        await until(lambda: not server.state.tasks)
        assert server.front.roster._peers == {}


async def test_a_cut_reply_does_not_look_whole() -> None:
    """``abort`` delivers what was written and leaves out the end that looks good."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.write(b"data: error\n\n")
        exchange.abort()

    async with door_server(handle) as server:
        reply = await server.ask(post())
        assert reply.chunks == [b"data: error\n\n"]
        assert not reply.whole
        await until(lambda: not server.state.connections)


async def test_a_cut_reply_to_an_old_client_is_a_reset() -> None:
    """Where the connection's end is the body's end, only a reset tells."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.write(b"data: error\n\n")
        exchange.abort()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(version="1.0"))
        with pytest.raises(ConnectionResetError):
            await wire.reader.readuntil(b"never")


async def test_an_abort_before_the_reply_just_closes() -> None:
    """Nothing is sent that nobody meant."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.abort()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post() + post())
        assert await wire.closed()
