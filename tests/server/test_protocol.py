"""HTTP as the doors need it: order, keep-alive, bodies in every form, limits, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
from collections.abc import Sequence

import aiohttp
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from structlog.testing import capture_logs

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.server.limits import Limits
from support.door_server import (
    CHAT,
    EVENTS,
    JSON,
    Wire,
    door_server,
    get,
    post,
    ticks,
    until,
    whole,
)


def behind(_: object) -> Sequence[BaseRoute]:
    async def here(request: Request) -> Response:
        body = await request.body()
        return JSONResponse({"asgi": request.url.path, "size": len(body)})

    return [Route("/here", here, methods=["GET", "POST"])]


async def test_a_door_answers_with_one_body_one_length_and_a_request_id() -> None:
    """The plain case: POST in, JSON out, on a connection that stays."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(post(b'{"a": 1}'))
        assert reply.status == 200
        assert reply.json["body"] == '{"a": 1}'
        assert reply.headers["x-request-id"] == reply.json["request_id"]
        assert len(reply.headers["x-request-id"]) == 16
        assert "connection" not in reply.headers
        again = await wire.ask(post(b""))
        assert again.json["size"] == 0
        assert again.headers["x-request-id"] != reply.headers["x-request-id"]


async def test_a_thousand_requests_on_one_connection() -> None:
    """Keep-alive holds, and nothing of a finished request stays behind."""
    async with door_server() as server:
        wire = await server.connect()
        for number in range(1000):
            reply = await wire.ask(post(str(number).encode()))
            assert reply.json["body"] == str(number)
        assert len(server.state.connections) == 1
        assert not server.state.tasks


async def test_pipelined_requests_are_answered_in_order_whoever_answers() -> None:
    """Doors, ASGI programs, refusals and 404s mixed in one packet."""
    async with door_server(routes=behind) as server:
        wire = await server.connect()
        wire.send(
            post(b"one")
            + get("/here")
            + post(b"two")
            + get(CHAT)
            + post(b"three", path="/here")
            + get("/nowhere")
            + post(b"four")
        )
        replies = [await wire.reply() for _ in range(7)]
        assert [reply.status for reply in replies] == [200, 200, 200, 405, 200, 404, 200]
        assert [replies[i].json["body"] for i in (0, 2, 6)] == ["one", "two", "four"]
        assert replies[1].json == {"asgi": "/here", "size": 0}
        assert replies[4].json == {"asgi": "/here", "size": 5}
        assert len({reply.headers["x-request-id"] for reply in replies}) == 7


async def test_a_slow_request_holds_back_the_ones_behind_it() -> None:
    """One request of a connection is answered at a time."""
    gate = asyncio.Event()
    begun: list[bytes] = []

    async def handle(exchange: Exchange, caller: Caller) -> None:
        body = await exchange.body(100)
        begun.append(body)
        if body == b"slow":
            await gate.wait()
        whole(exchange, body)

    async with door_server(handle) as server:
        wire = await server.connect()
        other = await server.connect()
        wire.send(post(b"slow") + post(b"next"))
        assert (await other.ask(post(b"other"))).body == b"other"
        assert begun == [b"slow", b"other"]
        gate.set()
        assert (await wire.reply()).body == b"slow"
        assert (await wire.reply()).body == b"next"


async def test_a_flood_of_pipelined_requests_ends_the_connection() -> None:
    """What waits on one connection is bounded in number, not only in bytes."""
    gate = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        await exchange.body(10)
        exchange.on_gone(gate.set)
        await gate.wait()

    async with door_server(handle, limits=Limits(requests_ahead=10)) as server:
        wire = await server.connect()
        wire.send(post() * 11)
        await until(lambda: bool(server.state.tasks))
        wire.send(post())
        await gate.wait()
        assert await wire.closed()


async def test_nor_does_a_flood_of_offers_fill_the_log() -> None:
    """Requests that offer another protocol are read again, each inside the reading of the last."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        gone = asyncio.Event()
        exchange.on_gone(gone.set)
        await gone.wait()

    with capture_logs() as logs:
        async with door_server(handle, limits=Limits(requests_ahead=10)) as server:
            wire = await server.connect()
            wire.send(post(b"{}", "Connection: Upgrade", "Upgrade: h2c") * 20)
            assert await wire.closed()
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize("seed", range(8))
async def test_no_bytes_break_the_server(seed: int) -> None:
    """Damaged requests are answered with a 4xx or by the end, and leave nothing behind."""
    chance = random.Random(seed)
    chunked = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    whole_ones = [
        post(b'{"a": 1}', "Expect: 100-continue"),
        post(b"{}", "Connection: Upgrade", "Upgrade: h2c"),
        chunked + b"3\r\nabc\r\n0\r\n\r\n",
        post(b"{}", version="1.0") + post(b"{}"),
        post(b"x" * 300, path="/here") + post(b"{}", "Connection: close") + post(b"{}"),
    ]
    with capture_logs() as logs:
        async with door_server(routes=behind, limits=Limits(body=200, linger_silence=1)) as server:
            for _ in range(60):
                damaged = bytearray(chance.choice(whole_ones))
                for _ in range(chance.randint(0, 4)):
                    at = chance.randrange(len(damaged))
                    damaged[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
                wire = await server.connect()
                cut = chance.randrange(len(damaged))
                wire.send(bytes(damaged[:cut]))
                await wire.writer.drain()
                wire.send(bytes(damaged[cut:]))
                wire.half_close()
                said = b""
                with contextlib.suppress(ConnectionError):
                    while data := await wire.reader.read(1 << 16):
                        said += data
                assert said == b"" or said.startswith(b"HTTP/1.1 ")
                assert b" 500 " not in said
                wire.close()
            assert (await server.ask(post(b"{}"))).status == 200
            await until(lambda: not server.state.connections)
            assert not server.state.tasks
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize("cut", [1, 7, 64])
async def test_a_request_in_any_pieces_is_the_same_request(cut: int) -> None:
    """Bytes arrive as the network likes."""
    request = post(b"x" * 200, "X-Api-Key: abc") + post(b"second")
    async with door_server() as server:
        wire = await server.connect()
        for start in range(0, len(request), cut):
            wire.send(request[start : start + cut])
            await wire.writer.drain()
        assert (await wire.reply()).json["size"] == 200
        assert (await wire.reply()).json["body"] == "second"


async def test_a_chunked_body_arrives_whole_and_its_trailers_are_no_headers() -> None:
    """Chunks are joined; a field after the body cannot pose as one before it."""
    seen: list[bytes | None] = []

    async def handle(exchange: Exchange, caller: Caller) -> None:
        body = await exchange.body(100)
        seen.append(exchange.head.header(b"x-after"))
        whole(exchange, body)

    async with door_server(handle) as server:
        wire = await server.connect()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        reply = await wire.ask(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-After: 1\r\n\r\n")
        assert reply.body == b"abcde"
        assert seen == [None]
        assert (await wire.ask(post(b"go on"))).body == b"go on"


async def test_trailers_without_end_are_refused() -> None:
    """What nobody reads would be held as a whole, and copied for each piece of it."""
    begun = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        async for _ in exchange.chunks():
            begun.set()
        raise AssertionError("the body has no end")

    async with door_server(handle, limits=Limits(head=1000)) as server:
        wire = await server.connect()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        wire.send(head + b"3\r\nabc\r\n")
        await begun.wait()
        reply = await wire.ask(b"0\r\nX: " + b"a" * 1000)
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert "trailers" in reply.json["message"]


async def test_a_body_of_small_chunks_may_be_longer_than_a_head() -> None:
    """Only bytes that are none of the body are counted, and only until more of it comes."""
    async with door_server(limits=Limits(head=1000)) as server:
        wire = await server.connect()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        wire.send(head)
        for _ in range(20):
            wire.send(b"1\r\na\r\n" * 50)
            await wire.writer.drain()
        assert (await wire.ask(b"0\r\n\r\n")).json["size"] == 1000


async def test_body_pieces_are_handed_on_as_they_come() -> None:
    """A relay can read a body piece by piece, before it is complete."""
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        async for piece in exchange.chunks():
            taken.put_nowait(piece)
        whole(exchange, b"done")

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(b"abcdef")[:-3])
        assert await taken.get() == b"abc"
        wire.send(b"def")
        assert await taken.get() == b"def"
        assert (await wire.reply()).body == b"done"


async def test_a_body_nobody_takes_is_not_piled_up() -> None:
    """Reading pauses while a streaming handler does not ask, so memory stays bounded."""
    gate = asyncio.Event()
    largest = 0
    total = 0

    async def handle(exchange: Exchange, caller: Caller) -> None:
        nonlocal largest, total
        await gate.wait()
        async for piece in exchange.chunks():
            largest = max(largest, len(piece))
            total += len(piece)
        whole(exchange, b"done")

    size = 24 * 1024 * 1024
    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(b"x" * size))
        await until(lambda: any(c.read_paused for c in server.state.connections))
        gate.set()
        assert (await wire.reply()).body == b"done"
        assert total == size
        assert largest < 1024 * 1024


async def test_the_client_is_told_to_continue_when_the_body_is_wanted() -> None:
    """100 Continue is sent once the handler asks, and not to a client that did not wait."""
    async with door_server() as server:
        wire = await server.connect()
        request = post(b"hello", "Expect: 100-continue")
        wire.send(request[:-5])
        assert await wire.status_line() == b"HTTP/1.1 100 Continue\r\n"
        assert await wire.status_line() == b"\r\n"
        wire.send(b"hello")
        assert (await wire.reply()).json["body"] == "hello"
        assert (await wire.ask(request)).json["body"] == "hello"


async def test_an_expected_body_that_is_refused_is_not_asked_for() -> None:
    """A client without a key sees its 401 instead of 100 Continue, then the end."""
    async with door_server(keys=["secret"]) as server:
        wire = await server.connect()
        wire.send(post(b"hello", "Expect: 100-continue")[:-5])
        reply = await wire.reply()
        assert reply.status == 401
        assert reply.headers["connection"] == "close"


async def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    """Content-Length alone decides, also with Expect: no 100, a 413 at once."""
    begun: list[Exchange] = []

    async def handle(exchange: Exchange, caller: Caller) -> None:
        begun.append(exchange)
        async for _ in exchange.chunks():
            pass
        whole(exchange, b"never")

    async with door_server(handle, limits=Limits(body=1000)) as server:
        wire = await server.connect()
        wire.send(post(b"x" * 1001, "Expect: 100-continue")[:-1001])
        reply = await wire.reply()
        assert begun == []
        assert reply.status == 413
        assert reply.json["door"] == "request_too_large"
        assert "1000 bytes" in reply.json["message"]
        assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_sends_all_before_it_reads_still_gets_its_413(chunked: bool) -> None:
    """The rest of a body too large is read and dropped, so that no reset eats the reply."""

    def ask(port: int) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        body = b"x" * 20_000_000
        if chunked:
            pieces = (body[i : i + 65536] for i in range(0, len(body), 65536))
            client.request("POST", CHAT, pieces, encode_chunked=True)
        else:
            client.request("POST", CHAT, body)
        reply = client.getresponse()
        result = reply.status, reply.read()
        client.close()
        return result

    async with door_server(limits=Limits(body=100_000)) as server:
        status, body = await asyncio.to_thread(ask, server.port)
        assert status == 413
        assert json.loads(body)["door"] == "request_too_large"


@pytest.mark.parametrize("offer", [(), ("Connection: Upgrade", "Upgrade: h2c")])
async def test_what_follows_a_refusal_that_closes_is_not_served(offer: tuple[str, ...]) -> None:
    """While the rest is dropped, nothing in it is a request any more."""
    begun: list[Exchange] = []
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    async def handle(exchange: Exchange, caller: Caller) -> None:
        begun.append(exchange)

    with capture_logs() as logs:
        async with door_server(handle, keys=["secret"]) as server:
            wire = await server.connect()
            request = post(b"one", "Expect: 100-continue")
            wire.send(request[:-3])
            assert (await wire.reply()).status == 401
            wire.send(request[-3:] + post(b"two", "Authorization: secret", *offer))
            await server.front.roster.empty()
    assert begun == []
    assert failures == []
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_a_large_body_is_collected_whole() -> None:
    """Who asks for the whole body gets it, however large within the limit."""
    async with door_server() as server:
        assert (await server.ask(post(b"x" * 5_000_000))).json["size"] == 5_000_000


async def test_what_is_dropped_after_a_refusal_is_bounded() -> None:
    """A client that never stops sending is cut off."""
    async with door_server(limits=Limits(body=1000, linger_bytes=200_000)) as server:
        wire = await server.connect()
        wire.send(f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

        async def send_for_ever() -> None:
            while True:
                wire.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await wire.writer.drain()

        with pytest.raises(ConnectionError):
            await send_for_ever()
        assert not server.state.connections


async def test_a_small_unread_body_does_not_cost_the_connection() -> None:
    """A handler that answers without reading leaves a connection that goes on."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        whole(exchange, b"unread")

    async with door_server(handle) as server:
        wire = await server.connect()
        request = post(b"x" * 1000)
        wire.send(request[:-500])
        reply = await wire.reply()
        assert reply.body == b"unread"
        assert "connection" not in reply.headers
        wire.send(request[-500:] + request)
        assert (await wire.reply()).body == b"unread"


async def test_a_large_unread_body_ends_the_connection_after_the_reply() -> None:
    """What is too much to drop for keep-alive is dropped within bounds, then the end."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        whole(exchange, b"unread")

    async with door_server(handle, limits=Limits(swallow=1000)) as server:
        wire = await server.connect()
        request = post(b"x" * 100_000)
        wire.send(request[:1000])
        reply = await wire.reply()
        assert reply.body == b"unread"
        assert reply.headers["connection"] == "close"
        wire.send(request[1000:])
        assert await wire.closed()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NOT HTTP AT ALL\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /with space HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nauthorization: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_a_proper_request_is_a_400_in_openai_shape(
    request_bytes: bytes,
) -> None:
    """Ambiguous framing is refused, never guessed; the connection ends."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(request_bytes)
        assert reply.status == 400
        assert reply.json["error"]["type"] == "invalid_request_error"
        assert reply.json["error"]["code"] == "invalid_request"
        assert len(reply.headers["x-request-id"]) == 16
        assert reply.headers["connection"] == "close"
        wire.half_close()
        assert await wire.closed()


async def test_nonsense_behind_a_request_waits_for_its_turn() -> None:
    """A running reply is not broken by what a client sends after its request."""
    gate = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.write(b"first")
        await gate.wait()
        exchange.write(b"last")
        exchange.finish()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post() + b"\x00\x01 nonsense\r\n\r\n")
        gate.set()
        assert (await wire.reply()).body == b"firstlast"
        assert (await wire.reply()).status == 400


async def test_a_broken_chunk_fails_who_reads_the_body() -> None:
    """Half a body never looks whole."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        try:
            await exchange.body(1000)
        except GatewayError as error:
            whole(exchange, error.message.encode(), error.status)

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        wire.send(b"3\r\nabc\r\nnonsense\r\n")
        reply = await wire.reply()
        assert reply.status == 400
        assert b"not valid HTTP" in reply.body


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Long: " + "x" * 70_000],
        [f"X-{number}: 1" for number in range(101)],
        ["X-Pieces: " + "x" * 3_000_000],
    ],
)
async def test_a_head_too_large_is_a_431(fields: list[str]) -> None:
    """Bytes and fields of a head are bounded, in one read or in many."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(post(b"{}", *fields))
        assert reply.status == 431
        assert reply.json["error"]["code"] == "request_head_too_large"


async def test_a_large_head_within_the_limits_is_served() -> None:
    """A long token is no attack."""
    async with door_server() as server:
        reply = await server.ask(post(b"{}", "Authorization: Bearer " + "x" * 60_000))
        assert reply.status == 200


async def test_a_head_that_never_ends_is_a_408() -> None:
    """A byte now and then does not hold a connection for ever."""
    async with door_server(limits=Limits(tick=0.02, head_time=0.1, linger_silence=0.1)) as server:
        wire = await server.connect()
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n")
        reply = await wire.reply()
        assert reply.status == 408
        assert reply.json["error"]["code"] == "request_timeout"
        assert await wire.closed()


async def test_a_body_that_stops_coming_is_a_408_by_the_door() -> None:
    """The handler that waits for the body is told, and renders it."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        try:
            await exchange.body(1000)
        except GatewayError as error:
            whole(exchange, error.code.encode(), error.status)

    async with door_server(handle, limits=Limits(tick=0.02, silence=0.1)) as server:
        wire = await server.connect()
        wire.send(post(b"x" * 10)[:-5])
        reply = await wire.reply()
        assert reply.status == 408
        assert reply.body == b"request_timeout"
        assert reply.headers["connection"] == "close"


async def test_a_request_in_the_works_is_not_timed_out() -> None:
    """The server's clock is for slow senders, not for slow answers."""
    limits = Limits(tick=0.01, head_time=0.01, silence=0.01, idle=0.01, stall=0.01)

    async def handle(exchange: Exchange, caller: Caller) -> None:
        await exchange.body(10)
        await ticks(server.front, 10)
        whole(exchange, b"late")

    async with door_server(handle, limits=limits) as server:
        assert (await server.ask(post())).body == b"late"


async def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    """Keep-alive ends after a silence; each request begins it anew."""
    async with door_server(limits=Limits(tick=0.05, idle=0.2)) as server:
        idle = await server.connect()
        used = await server.connect()
        waits = asyncio.ensure_future(idle.closed())
        while not waits.done():
            assert (await used.ask(post())).status == 200
        assert waits.result()
        assert (await used.ask(post())).status == 200
        assert await used.closed()


async def test_a_long_answer_does_not_shorten_the_idle_time_after_it() -> None:
    """Keep-alive counts from the reply's end."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        await exchange.body(10)
        await ticks(server.front, 20)
        whole(exchange, b"late")

    async with door_server(handle, limits=Limits(tick=0.02, idle=0.2)) as server:
        wire = await server.connect()
        for _ in range(2):
            assert (await wire.ask(post())).body == b"late"
            await ticks(server.front, 3)


async def test_connections_of_one_address_are_bounded() -> None:
    """One more than allowed is told so; a place that becomes free is given again."""
    async with door_server(limits=Limits(peer_connections=2)) as server:
        first, second = await server.connect(), await server.connect()
        assert (await first.ask(post())).status == 200
        assert (await second.ask(post())).status == 200
        third = await server.connect()
        reply = await third.reply()
        assert reply.status == 503
        assert "too many open connections" in reply.json["error"]["message"]
        third.close()
        first.close()
        await until(lambda: len(server.state.connections) == 1)
        fourth = await server.connect()
        assert (await fourth.ask(post())).status == 200


@pytest.mark.parametrize(
    ("request_line", "path", "query"),
    [
        (f"{CHAT}/", f"{CHAT}/", ""),
        (f"{CHAT}?a=1&b=%20", CHAT, "a=1&b=%20"),
        ("/v1/chat%2fcompletions", CHAT, ""),
        (f"http://localhost{CHAT}", CHAT, ""),
    ],
)
async def test_a_door_is_found_however_its_path_is_spelled(
    request_line: str, path: str, query: str
) -> None:
    """A final slash, a query, an escape or an absolute target lead to the same door."""
    async with door_server() as server:
        reply = await server.ask(post(path=request_line))
        assert reply.status == 200
        assert (reply.json["path"], reply.json["query"]) == (path, query)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_is_a_405_in_the_doors_shape(method: str) -> None:
    """It says what the path takes, in a header too."""
    async with door_server() as server:
        reply = await server.ask(post(method=method))
        assert reply.status == 405
        assert reply.json["door"] == "method_not_allowed"
        assert method in reply.json["message"]
        assert reply.headers["allow"] == "POST, OPTIONS"


async def test_head_at_a_door_has_no_body_and_the_connection_goes_on() -> None:
    """HEAD answers like GET, with its length and without its bytes."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(get(CHAT, method="HEAD"), head=True)
        assert reply.status == 405
        assert int(reply.headers["content-length"]) > 0
        assert (await wire.ask(post(b"next"))).json["body"] == "next"


async def test_an_offer_to_change_the_protocol_is_ignored() -> None:
    """Clients that try h2c first are answered in HTTP/1.1, body and all."""
    async with door_server(routes=behind) as server:
        wire = await server.connect()
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
        reply = await wire.ask(post(b"hello", *upgrade))
        assert reply.json["body"] == "hello"
        split = post(b"in pieces", *upgrade, path="/here")
        wire.send(split[:30])
        wire.send(split[30:-4])
        wire.send(split[-4:] + post(b"after"))
        assert (await wire.reply()).json == {"asgi": "/here", "size": 9}
        assert (await wire.reply()).json["body"] == "after"


async def test_http_1_0_gets_no_chunks_and_the_end_of_the_connection() -> None:
    """An old client reads until the connection closes."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        await exchange.body(10)
        exchange.start(200, [EVENTS])
        exchange.write(b"one ")
        exchange.write(b"two")
        exchange.finish()

    async with door_server(handle) as server:
        wire = await server.connect()
        reply = await wire.ask(post(version="1.0"))
        assert "transfer-encoding" not in reply.headers
        assert reply.headers["connection"] == "close"
        assert reply.body == b"one two"


async def test_http_1_0_keeps_a_connection_it_asks_to_keep() -> None:
    """With a known length the old way of keep-alive works."""
    async with door_server() as server:
        wire = await server.connect()
        for _ in range(2):
            reply = await wire.ask(post(b"{}", "Connection: keep-alive", version="1.0"))
            assert reply.status == 200
            assert reply.headers["connection"] == "keep-alive"


async def test_a_client_that_wants_to_close_is_closed() -> None:
    """Connection: close is answered in kind; what comes after it is not read."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(post(b"{}", "Connection: close") + post(b"never"))
        assert reply.headers["connection"] == "close"
        assert reply.status == 200
        wire.half_close()
        assert await wire.closed()


async def test_a_handler_that_fails_is_a_500_that_names_the_request() -> None:
    """No stack trace leaves; the id leads to it."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        raise ZeroDivisionError("the secret reason")

    async with door_server(handle) as server:
        wire = await server.connect()
        reply = await wire.ask(post())
        assert reply.status == 500
        assert reply.json["door"] == "internal_error"
        assert reply.headers["x-request-id"] in reply.json["message"]
        assert b"secret" not in reply.body


async def test_a_handler_that_fails_amid_a_stream_cuts_it() -> None:
    """What was said is there; a good end is not."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.write(b"half")
        raise ZeroDivisionError

    async with door_server(handle) as server:
        reply = await server.ask(post())
        assert reply.chunks == [b"half"]
        assert not reply.whole


async def test_an_error_that_cannot_even_be_rendered_ends_the_connection() -> None:
    """Nobody waits for ever, whatever fails."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        raise GatewayError("a message", code=Unprintable())  # type: ignore[arg-type]

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post())
        assert await wire.closed()
        await until(lambda: not server.state.tasks)


class Unprintable:
    """Nothing JSON can say."""


async def test_a_request_left_unanswered_is_a_500() -> None:
    """A handler that forgets its exchange does not leave the client waiting."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        return

    async with door_server(handle) as server:
        assert (await server.ask(post())).status == 500


async def test_aiohttp_streams_up_and_down() -> None:
    """A client nobody here wrote: chunked upload, chunked reply, many at once."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        async for piece in exchange.chunks():
            exchange.write(piece)
            await exchange.drain()
        exchange.finish()

    async def pieces() -> object:
        for number in range(50):
            yield f"{number},".encode() * 1000

    expected = b"".join([f"{number},".encode() * 1000 for number in range(50)])
    async with door_server(handle) as server, aiohttp.ClientSession() as session:

        async def once() -> bytes:
            url = f"http://127.0.0.1:{server.port}{CHAT}"
            async with session.post(url, data=pieces()) as reply:
                return await reply.read()

        results = await asyncio.gather(*(once() for _ in range(20)))
        assert all(result == expected for result in results)


async def first_bytes(wire: Wire) -> bytes:
    return await wire.reader.read(1 << 16)


async def test_head_and_first_bytes_leave_together() -> None:
    """One packet for a whole reply; a stream's head goes with its first event."""
    gate = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        if await exchange.body(10) == b"whole":
            whole(exchange, b"all")
            return
        exchange.start(200, [EVENTS])
        exchange.write(b"event")
        await gate.wait()
        exchange.finish()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post(b"whole"))
        assert (await first_bytes(wire)).endswith(b"\r\n\r\nall")
        wire.send(post(b"stream"))
        assert (await first_bytes(wire)).endswith(b"\r\n\r\n5\r\nevent\r\n")
        gate.set()
        assert await first_bytes(wire) == b"0\r\n\r\n"


async def test_a_head_without_events_yet_leaves_by_itself() -> None:
    """A stream that has nothing to say is open all the same."""
    gate = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        await gate.wait()
        exchange.finish()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post())
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        gate.set()
        assert await first_bytes(wire) == b"0\r\n\r\n"


async def test_the_last_bytes_leave_with_the_end() -> None:
    """``finish`` takes what is left to say: one packet instead of two."""
    gate = asyncio.Event()

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.write(b"one")
        await gate.wait()
        exchange.finish(b"two")

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post())
        assert (await first_bytes(wire)).endswith(b"3\r\none\r\n")
        gate.set()
        assert await first_bytes(wire) == b"3\r\ntwo\r\n0\r\n\r\n"
        assert (await wire.ask(post())).body == b"onetwo"


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nx-evil: 1", b"a\rb"])
async def test_a_header_with_a_line_break_never_leaves(value: bytes) -> None:
    """A caller's words in a header cannot make another header."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [JSON, (b"x-ignored-parameters", value)])

    async with door_server(handle) as server:
        reply = await server.ask(post())
        assert reply.status == 500
        assert "x-evil" not in reply.headers


async def test_fields_that_only_the_server_sets_are_left_out() -> None:
    """A relayed reply brings its own connection handling and ids; ours hold."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        headers = [
            JSON,
            (b"connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"x-request-id", b"theirs"),
            (b"access-control-allow-origin", b"*"),
        ]
        exchange.start(200, headers)
        exchange.write(b"{}")
        exchange.finish()

    async with door_server(handle) as server:
        reply = await server.ask(post())
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.headers["x-request-id"] != "theirs"
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("body", [b"too long", b"x"])
async def test_a_reply_that_does_not_keep_its_length_is_cut(body: bytes) -> None:
    """A wrong content-length cannot shift the next reply on the connection."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [JSON, (b"content-length", b"3")])
        exchange.write(body)
        exchange.finish()

    async with door_server(handle) as server:
        wire = await server.connect()
        wire.send(post() + post())
        received = b""
        while data := await wire.reader.read(1 << 16):
            received += data
        assert received.count(b"HTTP/1.1") <= 1
        assert b"too long" not in received
