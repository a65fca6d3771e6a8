"""What stands behind ASGI: errors in OpenAI's shape, bodies within limits, final slashes."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chatgpt_to_api.errors import RateLimited
from chatgpt_to_api.server.limits import Limits
from support.door_server import door_server, get, post


async def size(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())})


async def fails(request: Request) -> Response:
    raise ZeroDivisionError("the secret reason")


async def fails_late(request: Request) -> Response:
    async def pieces() -> object:
        yield b"half"
        raise ZeroDivisionError

    return StreamingResponse(pieces())


async def busy(request: Request) -> Response:
    raise RateLimited("Come back later.", retry_after=6.2)


async def teapot(request: Request) -> Response:
    raise HTTPException(418, "short and stout", headers={"X-Handle": "1"})


async def shows(request: Request) -> Response:
    return JSONResponse(
        {
            "client": list(request.client or ()),
            "path": request.url.path,
            "query": request.url.query,
            "raw": request.scope["raw_path"].decode(),
            "version": request.scope["http_version"],
            "header": request.headers.get("x-thing"),
            "id": request.state.request_id,
        }
    )


ROUTES = [
    Route("/size", size, methods=["POST"]),
    Route("/fails", fails),
    Route("/fails-late", fails_late),
    Route("/busy", busy),
    Route("/teapot", teapot),
    Route("/shows/{rest:path}", shows),
]


def routes(_: object) -> list[Route]:
    return ROUTES


async def test_a_program_sees_its_request() -> None:
    """The usual ASGI scope, and the id to log with."""
    async with door_server(routes=routes) as server:
        reply = await server.ask(get("/shows/a%20b/?q=%20", "X-Thing: 1"))
        shown = reply.json
        assert shown["client"][0] == "127.0.0.1"
        assert shown["path"] == "/shows/a b"
        assert shown["query"] == "q=%20"
        assert shown["raw"] == "/shows/a%20b/"
        assert shown["version"] == "1.1"
        assert shown["header"] == "1"
        assert shown["id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/size", "/size/", "/size//"])
async def test_a_final_slash_is_forgiven(path: str) -> None:
    """Without a redirect, which would lose a POST's body."""
    async with door_server(routes=routes) as server:
        assert (await server.ask(post(b"abc", path=path))).json == {"size": 3}


async def test_errors_are_rendered_with_their_status() -> None:
    """GatewayErrors, Starlette's own, and wrong methods."""
    async with door_server(routes=routes) as server:
        reply = await server.ask(get("/busy"))
        assert reply.status == 429
        assert reply.headers["retry-after"] == "7"
        assert reply.json["error"]["code"] == "rate_limit_exceeded"
        assert reply.json["error"]["type"] == "rate_limit_error"
        reply = await server.ask(get("/teapot"))
        assert reply.status == 418
        assert reply.headers["x-handle"] == "1"
        assert reply.json["error"]["message"] == "short and stout"
        reply = await server.ask(get("/size"))
        assert reply.status == 405
        assert reply.headers["allow"] == "POST"
        assert reply.json["error"]["code"] == "method_not_allowed"


async def test_a_program_that_fails_is_a_500_that_names_the_request() -> None:
    """Before its reply; amid it, the reply is cut."""
    async with door_server(routes=routes) as server:
        reply = await server.ask(get("/fails"))
        assert reply.status == 500
        assert reply.headers["x-request-id"] in reply.json["error"]["message"]
        assert b"secret" not in reply.body
        late = await server.ask(get("/fails-late"))
        assert (late.body, late.whole) == (b"half", False)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_a_413_that_arrives(chunked: bool) -> None:
    """The limit of the doors holds here too."""
    async with door_server(routes=routes, limits=Limits(body=10_000)) as server:
        wire = await server.connect()
        if chunked:
            wire.send(b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            wire.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n0\r\n\r\n")
        else:
            wire.send(post(b"x" * 2_000_000, path="/size"))
        reply = await wire.reply()
        assert reply.status == 413
        assert reply.json["error"]["code"] == "request_too_large"


async def test_programs_and_bodies_of_any_size() -> None:
    """Large bodies come piece by piece, with 100 Continue where it is awaited."""
    async with door_server(routes=routes) as server:
        wire = await server.connect()
        assert (await wire.ask(post(b"x" * 5_000_000, path="/size"))).json == {"size": 5_000_000}
        request = post(b"abc", "Expect: 100-continue", path="/size")
        wire.send(request[:-3])
        assert await wire.status_line() == b"HTTP/1.1 100 Continue\r\n"
        await wire.status_line()
        wire.send(request[-3:])
        assert (await wire.reply()).json == {"size": 3}


async def test_requests_to_programs_run_side_by_side() -> None:
    """One connection's program does not hold up another's."""
    gate = asyncio.Event()

    async def waits(request: Request) -> Response:
        await gate.wait()
        return Response(b"waited")

    async with door_server(routes=lambda _: [Route("/waits", waits), *ROUTES]) as server:
        slow = await server.connect()
        slow.send(get("/waits"))
        assert (await server.ask(post(b"", path="/size"))).status == 200
        gate.set()
        assert (await slow.reply()).body == b"waited"
