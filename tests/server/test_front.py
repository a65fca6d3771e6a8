"""Requests on the wire: doors, preflights, errors, and what pages of other origins may read."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from support.door_server import CHAT, EVENTS, Handle, door_server, echo, get, post, until

PAGE = "Origin: https://app.example"
ASKED = "Access-Control-Request-Method: POST"


async def test_without_keys_a_foreign_page_gets_nothing() -> None:
    """Neither an answer nor permission to read the refusal."""
    async with door_server() as server:
        reply = await server.ask(post(b"{}", PAGE))
        assert reply.status == 403
        assert reply.json["door"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["vary"] == "origin"
        preflight = await server.ask(get(CHAT, PAGE, ASKED, method="OPTIONS"))
        assert preflight.status == 403
        assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize(
    "options",
    [{"origins": ["https://app.example"]}, {"origins": ["*"]}, {"keys": ["secret"]}],
    ids=["named", "any", "keys"],
)
async def test_an_allowed_page_may_ask_and_read(options: dict[str, list[str]]) -> None:
    """Preflight, answer and error, each with what the browser wants to see."""
    key = ["Authorization: Bearer secret"] if "keys" in options else []
    async with door_server(**options) as server:
        preflight = await server.ask(
            get(
                CHAT,
                PAGE,
                ASKED,
                "Access-Control-Request-Headers: authorization, x-stainless-lang",
                method="OPTIONS",
            )
        )
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        allowed = preflight.headers["access-control-allow-headers"]
        assert allowed == "authorization, x-stainless-lang"
        assert preflight.headers["vary"] == "origin"
        for request in (post(b"{}", PAGE, *key), post(b"{}", PAGE, *key, method="PUT")):
            reply = await server.ask(request)
            assert reply.headers["access-control-allow-origin"] == "https://app.example"
            exposed = reply.headers["access-control-expose-headers"]
            assert exposed.startswith(
                "x-request-id, request-id, retry-after, x-ignored-parameters, "
            )


async def test_a_page_without_the_key_may_read_why() -> None:
    """The 401 reaches the page, so that it can tell its user."""
    async with door_server(keys=["secret"]) as server:
        reply = await server.ask(post(b"{}", PAGE))
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["access-control-allow-origin"] == "https://app.example"


async def test_our_own_page_may_ask() -> None:
    """Same origin is no cross-origin request, but browsers send Origin on POST."""
    async with door_server() as server:
        own = post(b"{}", "Origin: http://localhost:8080", host="localhost:8080")
        assert (await server.ask(own)).status == 200


async def test_paths_under_v1_have_preflights_too_and_others_do_not() -> None:
    """A page may list models; the admin API and the home page are not shared."""
    async with door_server(origins=["*"]) as server:
        for path, status in (("/v1/models", 204), ("/admin/tokens", 404), ("/", 404)):
            reply = await server.ask(get(path, PAGE, ASKED, method="OPTIONS"))
            assert reply.status == status
            shared = "access-control-allow-origin" in reply.headers
            assert shared is (status == 204)


async def test_options_without_a_page_lists_what_the_path_takes() -> None:
    """The original answered these too."""
    async with door_server() as server:
        reply = await server.ask(get(CHAT, method="OPTIONS"))
        assert reply.status == 204
        assert reply.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("headers", ["x\x7f", "a" * 3000, "a\tb"])
async def test_odd_header_names_are_not_echoed(headers: str) -> None:
    """What a preflight asks for is repeated only where it is names."""
    async with door_server(origins=["*"]) as server:
        reply = await server.ask(
            get(CHAT, PAGE, ASKED, f"Access-Control-Request-Headers: {headers}", method="OPTIONS")
        )
        if reply.status == 204:
            assert reply.headers["access-control-allow-headers"].startswith("authorization")


async def test_a_private_network_preflight_is_answered() -> None:
    """Browsers ask once more before a public page reaches a private address."""
    async with door_server(origins=["https://app.example"]) as server:
        private = "Access-Control-Request-Private-Network: true"
        reply = await server.ask(get(CHAT, PAGE, ASKED, private, method="OPTIONS"))
        assert reply.headers["access-control-allow-private-network"] == "true"


async def test_a_stream_to_a_page_carries_its_permission() -> None:
    """CORS holds for streamed replies like for whole ones."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        exchange.start(200, [EVENTS])
        exchange.finish(b"data: x\n\n")

    async with door_server(handle, origins=["https://app.example"]) as server:
        reply = await server.ask(post(b"{}", PAGE))
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert reply.body == b"data: x\n\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (post(b"{}", "X-Forwarded-For: 1.2.3.4"), 401, "client_keys_required"),
        (post(b"{}", host="evil.example"), 403, "host_not_allowed"),
        (post(b"{}", "Sec-Fetch-Site: cross-site"), 403, "origin_not_allowed"),
    ],
)
async def test_refusals_are_in_the_doors_shape(
    request_bytes: bytes, status: int, code: str
) -> None:
    """A client reads errors in the dialect it speaks."""
    async with door_server() as server:
        reply = await server.ask(request_bytes)
        assert (reply.status, reply.json["door"]) == (status, code)


async def test_keys_take_effect_at_the_next_request() -> None:
    """The set can be replaced while connections are open."""
    async with door_server() as server:
        wire = await server.connect()
        assert (await wire.ask(post())).status == 200
        server.front._gatekeeper.keys.replace(["secret"])
        assert (await wire.ask(post())).status == 401
        reply = await wire.ask(post(b"{}", "Authorization: Bearer secret"))
        assert reply.status == 200
        assert reply.json["caller"]


async def test_an_unknown_path_is_a_404_that_points_home() -> None:
    """In OpenAI's shape, with the path, harmlessly shown."""
    async with door_server() as server:
        reply = await server.ask(get("/v1/nothing/%1b%5b31m" + "x" * 500))
        assert reply.status == 404
        error = reply.json["error"]
        assert error["code"] == "not_found"
        assert error["type"] == "invalid_request_error"
        assert error["param"] is None
        assert "GET /" in error["message"]
        assert "\x1b" not in error["message"]
        assert len(error["message"]) < 300
        assert len(reply.headers["x-request-id"]) == 16


async def test_a_door_is_made_by_its_first_request_while_others_are_served() -> None:
    """Once for all who come meanwhile, and for a misspelled path that leads there too."""
    wanted, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    made = []

    def make() -> Handle:
        loop.call_soon_threadsafe(wanted.set)
        assert may_go_on.wait(30)
        made.append(threading.current_thread())
        return echo

    async with door_server(late={"/v1/late": make}) as server, asyncio.TaskGroup() as clients:
        first = clients.create_task(server.ask(post(b"{1}", path="/v1/late")))
        second = clients.create_task(server.ask(post(b"{2}", path="/v1/late/")))
        astray = clients.create_task(server.ask(post(b"{3}", path="/v1/v1/late")))
        await wanted.wait()
        assert (await server.ask(post(b"{}"))).status == 200
        may_go_on.set()
        assert (await first).json["body"] == "{1}"
        assert (await second).json["body"] == "{2}"
        assert (await astray).status == 404
        assert "/v1/late" in (await astray).json["message"]
    assert len(made) == 1
    assert made != [threading.main_thread()]


async def test_a_client_that_leaves_while_its_door_is_made_harms_nobody() -> None:
    """The door is there for the next."""
    wanted, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def make() -> Handle:
        loop.call_soon_threadsafe(wanted.set)
        assert may_go_on.wait(30)
        return echo

    async with door_server(late={"/v1/late": make}) as server:
        wire = await server.connect()
        wire.send(post(path="/v1/late"))
        await wanted.wait()
        wire.close()
        await until(lambda: not server.state.connections)
        may_go_on.set()
        assert (await server.ask(post(path="/v1/late"))).status == 200


async def test_a_late_door_checks_keys_like_any_other() -> None:
    """From its first request on, in its own shape."""
    async with door_server(late={"/v1/late": lambda: echo}, keys=["secret"]) as server:
        for _ in range(2):
            refused = await server.ask(post(path="/v1/late"))
            assert (refused.status, refused.json["door"]) == (401, "missing_api_key")
            key = "Authorization: Bearer secret"
            assert (await server.ask(post(b"{}", key, path="/v1/late"))).status == 200
