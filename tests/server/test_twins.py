"""A connection's next request with the same head: served without the parser, never differently."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.by_hand import Pause
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.server.exchange import HttpExchange
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.protocol import STRANGERS
from chatgpt_to_api.server.twins import Twin, remember
from chatgpt_to_api.wire.http import RequestHead
from support.door_server import CHAT, Reply, Wire, door_server, post, until, whole

ONCE_MORE = post(b"once more")


class Heads:
    """A handler that notes which requests came with which remembered head."""

    def __init__(self) -> None:
        self.twins: list[Twin | None] = []

    async def __call__(self, exchange: Exchange, caller: Caller) -> None:
        assert isinstance(exchange, HttpExchange)
        self.twins.append(exchange.twin)
        body = await exchange.body(1 << 20)
        shown = {
            "caller": caller.id,
            "headers": {n.decode(): v.decode() for n, v in exchange.head.headers},
            "body": body.decode("latin-1"),
        }
        del_length(shown)
        whole(exchange, json.dumps(shown).encode())


def del_length(shown: dict[str, Any]) -> None:
    """The one field whose place is elsewhere in a repeated head."""
    shown["headers"].pop("content-length", None)


async def test_a_head_that_comes_again_is_recognised_whatever_the_body() -> None:
    """The exchanges share what was remembered; each has its own body and request id."""
    heads = Heads()
    async with door_server(heads) as server:
        wire = await server.connect()
        replies = [await wire.ask(post(body)) for body in (b"1", b"", b"x" * 20_000, b"last")]
    assert [reply.json["body"] for reply in replies] == ["1", "", "x" * 20_000, "last"]
    first, *others = heads.twins
    assert first is not None
    assert all(twin is first for twin in others)
    assert len({reply.headers["x-request-id"] for reply in replies}) == 4


def but(request: bytes, old: bytes, new: bytes) -> bytes:
    assert old in request
    return request.replace(old, new, 1)


@pytest.mark.parametrize(
    "second",
    [
        ONCE_MORE,
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: 0009"),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: +9"),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: 9 "),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: "),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: -9"),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: 9\r\nContent-Length: 9"),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: 9\r\nTransfer-Encoding: chunked"),
        but(ONCE_MORE, b"Content-Length: 9", b"Content-Length: 9\r\nConnection: close"),
        but(ONCE_MORE, b"localhost", b"evil.example"),
        but(ONCE_MORE, b"POST", b"GET"),
        but(ONCE_MORE, CHAT.encode(), b"/nowhere"),
        b"\r\n" + ONCE_MORE,
        ONCE_MORE + b"GARBAGE\r\n\r\n",
    ],
)
async def test_what_differs_is_answered_as_on_a_fresh_connection(second: bytes) -> None:
    """A repeated head changes nothing but the cost: every other byte goes to the parser."""
    async with door_server(Heads()) as server:
        fresh = await server.ask(second)
        wire = await server.connect()
        await wire.ask(post(b"first"))
        again = await wire.ask(second)
    assert (again.status, comparable(again)) == (fresh.status, comparable(fresh))
    assert again.headers.get("connection") == fresh.headers.get("connection")


def comparable(reply: Reply) -> object:
    return reply.json if reply.body else None


async def test_pipelined_and_split_requests_after_a_repeated_head() -> None:
    """Two in one read and one in two reads are the parser's again, in their order."""
    async with door_server(Heads()) as server:
        wire = await server.connect()
        await wire.ask(post(b"first"))
        wire.send(post(b"a") + post(b"b"))
        assert [(await wire.reply()).json["body"] for _ in "ab"] == ["a", "b"]
        half = post(b"in two reads")
        wire.send(half[:-5])
        other = await server.connect()
        await other.ask(post(b"meanwhile"))  # the first half has been read by now
        wire.send(half[-5:])
        assert (await wire.reply()).json["body"] == "in two reads"
        assert (await wire.ask(post(b"last"))).json["body"] == "last"


@pytest.mark.parametrize("before", [(), ("old-key-of-somebody",)])
async def test_a_key_that_is_taken_away_is_missed_at_once(before: tuple[str, ...]) -> None:
    """What was decided about a head holds only while the client keys do."""
    async with door_server(Heads(), keys=before) as server:
        wire = await server.connect()
        header = ["Authorization: Bearer old-key-of-somebody"]
        assert (await wire.ask(post(b"1", *header))).status == 200
        assert (await wire.ask(post(b"2", *header))).status == 200
        server.front._gatekeeper.keys.replace(["another-key-of-somebody"])
        assert (await wire.ask(post(b"3", *header))).status == 401


async def test_an_origin_is_looked_at_each_time() -> None:
    """A web page's requests get their CORS lines, repeated head or not."""
    async with door_server(Heads(), origins=["http://page.example"]) as server:
        wire = await server.connect()
        replies = [await wire.ask(post(b"x", "Origin: http://page.example")) for _ in range(3)]
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {
        "http://page.example"
    }


async def test_a_body_over_the_limit_is_refused_with_a_known_head_too() -> None:
    """413, and the reply arrives."""
    async with door_server(Heads(), limits=Limits(body=100)) as server:
        wire = await server.connect()
        assert (await wire.ask(post(b"x" * 100))).status == 200
        assert (await wire.ask(post(b"x" * 101))).status == 413


async def test_heads_that_never_come_again_are_not_remembered_for_ever() -> None:
    """A client that numbers its requests in a header soon costs nothing extra."""
    heads = Heads()
    async with door_server(heads) as server:
        wire = await server.connect()
        for number in range(STRANGERS + 3):
            await wire.ask(post(b"x", f"X-Number: {number}"))
    assert [twin is not None for twin in heads.twins] == [True] * STRANGERS + [False] * 3


async def test_a_stop_closes_a_connection_after_a_repeated_request() -> None:
    """The server's last reply says so, however the request was read."""
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        body = await exchange.body(100)
        if body == b"slow":
            begun.set()
            await gate.wait()
        whole(exchange, b"{}")

    async with door_server(handle) as server:
        wire = await server.connect()
        await wire.ask(post(b"first"))
        wire.send(post(b"slow"))
        await begun.wait()
        for connection in server.state.connections:
            connection.shutdown()
        gate.set()
        assert (await wire.reply()).headers["connection"] == "close"
        assert await wire.closed()


class ByHand:
    """A handler that waits, the first request aside, as one does for an upstream's bytes."""

    def __init__(self) -> None:
        self.waits: Pause | None = None
        self.begun = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, exchange: Exchange, caller: Caller) -> None:
        body = await exchange.body(100)
        if body != b"first":
            exchange.on_gone(exchange.work.cancel)
            self.waits = Pause()
            self.begun.set()
            try:
                await self.waits
            except asyncio.CancelledError:
                await asyncio.sleep(0)  # tidying up may take its time
                self.ended.append("cancelled")
                exchange.work.uncancel()
                return
        self.ended.append("answered")
        whole(exchange, body)

    def go_on(self) -> None:
        assert self.waits is not None
        self.waits.end()


async def test_a_repeated_request_is_answered_inside_the_call_that_brings_its_reply() -> None:
    """It has no task while it waits for nothing else, and needs no turn of the loop."""
    handle = ByHand()
    async with door_server(handle) as server:
        wire = await server.connect()
        await wire.ask(post(b"first"))
        wire.send(post(b"second"))
        await handle.begun.wait()
        await until(lambda: not server.state.tasks)
        handle.go_on()
        assert handle.ended == ["answered"] * 2
        assert (await wire.reply()).body == b"second"


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset, Wire.half_close])
async def test_a_client_that_leaves_amid_a_repeated_request_is_noticed(
    leave: Callable[[Wire], None],
) -> None:
    """At once, and nothing is left of the request, its task or its connection."""
    handle = ByHand()
    async with door_server(handle) as server:
        wire = await server.connect()
        await wire.ask(post(b"first"))
        wire.send(post(b"second"))
        await handle.begun.wait()
        leave(wire)
        await until(lambda: handle.ended == ["answered", "cancelled"])
        await until(lambda: not server.state.tasks and not server.state.connections)


async def test_a_server_that_stops_waits_for_a_repeated_request() -> None:
    """From then on the request has a task, which can be waited for, or cut."""
    for cut in (False, True):
        handle = ByHand()
        async with door_server(handle) as server:
            wire = await server.connect()
            await wire.ask(post(b"first"))
            wire.send(post(b"second"))
            await handle.begun.wait()
            for connection in server.state.connections:
                connection.shutdown()
            (task,) = server.state.tasks
            if cut:
                task.cancel()
            else:
                handle.go_on()
            await asyncio.wait([task])
            assert handle.ended == ["answered", "cancelled" if cut else "answered"]
            assert (await wire.reply()).headers["connection"] == "close"
            assert await wire.closed()
            await until(lambda server=server: not server.state.tasks)  # type: ignore[misc]


@settings(max_examples=300)
@given(before=st.binary(max_size=12), after=st.binary(max_size=30), length=st.integers(0, 20))
def test_only_one_whole_request_with_the_very_head_is_recognised(
    before: bytes, after: bytes, length: int
) -> None:
    """Whatever stands before, between or after, the body is exactly what the length says."""
    raw = post(b"abc")
    head = RequestHead("POST", CHAT, b"", [(b"host", b"localhost"), (b"content-length", b"3")])
    twin = remember(raw, head, dict(head.headers), CHAT.encode())
    assert twin is not None
    told = raw[: raw.index(b"3\r\n\r\n")] + b"%d\r\n\r\n" % length
    data = before + told + after
    body = twin.body(data)
    if before:
        assert body is None
    elif body is None:
        assert len(after) != length
    else:
        assert body == after
        assert len(body) == length
