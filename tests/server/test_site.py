"""The small routes: health, models, the first page; for friends and for strangers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import NamedTuple

import pytest
from starlette.routing import BaseRoute

from chatgpt_to_api.errors import ModelNotFound
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.site import Site
from chatgpt_to_api.server.status import Status, UpstreamStatus
from support.door_server import DoorServer, Reply, door_server, get

FAR = "X-Forwarded-For: 203.0.113.7"
"""What makes a request a stranger's, where no keys are set."""

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"

READY = UpstreamStatus("conversation", "conversation", ready=True, says="2 credentials: 2 ready")
MISSING = UpstreamStatus(
    "vendor<script>", "openai", ready=False, says="out of service", advice="Set VENDOR_KEY & wait."
)


class Card(NamedTuple):
    id: str
    created: int = 1700000000
    owned_by: str = "conversation"
    context_length: int | None = None


class Shown:
    """A gateway as the site sees it."""

    def __init__(self, *upstreams: UpstreamStatus, advice: tuple[str, ...] = ()) -> None:
        self._status = Status(upstreams, model="gpt-4o", advice=advice)

    def models(self) -> Sequence[Card]:
        return [Card("gpt-4o"), Card("org/model:free")]

    def model_card(self, name: str) -> Card:
        for card in self.models():
            if card.id == name:
                return card
        raise ModelNotFound(f"No route leads to {name}.", param="model")

    def status(self) -> Status:
        return self._status


def site(*upstreams: UpstreamStatus, advice: tuple[str, ...] = ()) -> object:
    """What ``door_server`` takes as ``routes``."""

    def routes(gatekeeper: Gatekeeper) -> Sequence[BaseRoute]:
        return Site(Shown(*upstreams, advice=advice), gatekeeper, dict).routes()

    return routes


async def ask(server: DoorServer, path: str, *headers: str, host: str = "localhost") -> Reply:
    return await server.ask(get(path, *headers, host=host))


async def test_ping_and_health_answer_everybody() -> None:
    """Load balancers and the original's users ask without a key."""
    async with door_server(routes=site(), keys=["secret"]) as server:
        assert (await ask(server, "/ping")).json == {"message": "pong"}
        assert (await ask(server, "/healthz", FAR)).json == {"status": "alive"}
        assert (await ask(server, "/favicon.ico")).status == 204


@pytest.mark.parametrize("path", ["/", "/ping", "/healthz", "/readyz", "/v1/models", "/v1/models/"])
async def test_head_is_get_without_the_body(path: str) -> None:
    """Same status and length; the connection goes on."""
    async with door_server(routes=site(READY)) as server:
        wire = await server.connect()
        full = await wire.ask(get(path))
        head = await wire.ask(get(path, method="HEAD"), head=True)
        assert head.status == full.status == 200
        assert head.headers["content-length"] == full.headers["content-length"]
        assert (await wire.ask(get("/ping"))).status == 200


async def test_ready_means_that_some_upstream_can_answer_now() -> None:
    """One is enough; none is a 503 with its reasons."""
    async with door_server(routes=site(READY, MISSING)) as server:
        reply = await ask(server, "/readyz")
        assert (reply.status, reply.json) == (200, {"status": "ready"})
    async with door_server(routes=site(MISSING)) as server:
        reply = await ask(server, "/readyz")
        assert reply.status == 503
        assert reply.json["reasons"] == ["vendor<script>: out of service"]
        outside = await ask(server, "/readyz", FAR)
        assert (outside.status, outside.json) == (503, {"status": "not ready"})
    async with door_server(routes=site()) as server:
        assert (await ask(server, "/readyz")).json["reasons"] == ["No upstream is configured."]


async def test_models_in_openai_shape() -> None:
    """The list, one of them (its name may hold slashes), and the old engines."""
    async with door_server(routes=site(READY)) as server:
        listed = (await ask(server, "/v1/models")).json
        assert listed["object"] == "list"
        assert listed["data"][0] == {
            "id": "gpt-4o",
            "object": "model",
            "created": 1700000000,
            "owned_by": "conversation",
        }
        one = (await ask(server, "/v1/models/org/model:free")).json
        assert one == listed["data"][1]
        engines = (await ask(server, "/v1/engines")).json
        assert [engine["id"] for engine in engines["data"]] == ["gpt-4o", "org/model:free"]
        assert engines["data"][0]["ready"] is True
        missing = await ask(server, "/v1/models/nope")
        assert missing.status == 404
        assert missing.json["error"]["code"] == "model_not_found"
        assert missing.json["error"]["param"] == "model"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/engines"])
async def test_models_are_for_whom_the_doors_are_for(path: str) -> None:
    """The same keys and the same rules for pages, hosts and strangers."""
    async with door_server(routes=site(READY), keys=["secret"]) as server:
        refused = await ask(server, path)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json["error"]["code"] == "missing_api_key"
        assert (await ask(server, path, "Authorization: Bearer secret")).status == 200
    async with door_server(routes=site(READY)) as server:
        assert (await ask(server, path, FAR)).status == 401
        assert (await ask(server, path, "Origin: https://evil.example")).status == 403
        assert (await ask(server, path, "Sec-Fetch-Site: cross-site")).status == 403
        assert (await ask(server, path, host="evil.example")).status == 403


async def test_a_page_that_may_ask_may_read_models() -> None:
    """CORS holds behind ASGI as at the doors, errors included."""
    async with door_server(routes=site(READY), origins=["https://app.example"]) as server:
        for path, status in (("/v1/models", 200), ("/v1/models/nope", 404), ("/v1/nope", 404)):
            reply = await ask(server, path, "Origin: https://app.example")
            assert reply.status == status
            assert reply.headers["access-control-allow-origin"] == "https://app.example"


class Texts(HTMLParser):
    """The text and the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: bytes) -> Texts:
    texts = Texts()
    texts.feed(page.decode())
    return texts


async def test_the_first_page_explains_itself_to_a_browser() -> None:
    """What it is, what is ready, what is missing, what to do, and the command to paste."""
    async with door_server(routes=site(READY, MISSING, advice=("Do this & that.",))) as server:
        reply = await ask(server, "/", BROWSER, host="localhost:8080")
        assert reply.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        page = read(reply.body)
        for part in (
            "ChatGPT-to-API",
            "conversation (conversation): 2 credentials: 2 ready",
            "vendor<script> (openai): out of service",
            "Set VENDOR_KEY & wait.",
            "Do this & that.",
            "curl http://localhost:8080/v1/chat/completions",
            "OpenAI: http://localhost:8080/v1",
            "Anthropic: http://localhost:8080",
        ):
            assert part in page.text
        assert "script" not in page.elements


async def test_the_first_page_explains_itself_to_a_terminal() -> None:
    """The same, as plain text."""
    async with door_server(routes=site(READY, MISSING)) as server:
        reply = await ask(server, "/", "Accept: */*")
        assert reply.headers["content-type"].startswith("text/plain")
        text = reply.body.decode()
        assert "ready    conversation (conversation): 2 credentials: 2 ready" in text
        assert "missing  vendor<script> (openai): out of service" in text
        assert "Set VENDOR_KEY & wait." in text
        lines = [line.split() for line in text.splitlines()]
        for api in ("Anthropic", "Gemini", "Ollama"):
            assert [api, "http://localhost"] in lines
        assert ["OpenAI", "http://localhost/v1"] in lines


async def test_the_command_it_shows_works() -> None:
    """Pasted into a shell, it asks this very gateway."""
    async with door_server(routes=site(READY)) as server:
        at = f"127.0.0.1:{server.port}"
        text = (await ask(server, "/", host=at)).body.decode()
        (command,) = [line.strip() for line in text.splitlines() if line.startswith("  curl ")]
        shell = await run(command)
        assert json.loads(json.loads(shell)["body"])["model"] == "gpt-4o"


async def run(command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("host", ["a;rm -rf", "`id`", '"><script>', "a b", "$(id)", "x" * 300])
async def test_a_host_header_cannot_get_into_the_command(host: str) -> None:
    """With keys any Host may come; only a sane one is repeated."""
    async with door_server(routes=site(READY), keys=["secret"]) as server:
        reply = await ask(server, "/", "Authorization: secret", host=host)
        assert reply.status == 200
        assert host not in reply.body.decode()
        assert f"http://127.0.0.1:{server.port}/" in reply.body.decode()


@pytest.mark.parametrize("accept", [BROWSER, "Accept: */*"])
@pytest.mark.parametrize(
    ("options", "headers", "host"),
    [
        ({}, [FAR], "localhost"),
        ({}, [], "evil.example"),
        ({}, ["Origin: https://evil.example"], "localhost"),
        ({}, ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: iframe"], "localhost"),
        ({"keys": ["secret"]}, [], "localhost"),
        ({"keys": ["secret"]}, ["Authorization: Bearer wrong"], "localhost"),
    ],
)
async def test_a_stranger_sees_the_name_and_nothing_else(
    accept: str, options: dict[str, list[str]], headers: list[str], host: str
) -> None:
    """No upstream, no advice, no version."""
    async with door_server(routes=site(READY, MISSING, advice=("hint",)), **options) as server:
        reply = await ask(server, "/", accept, *headers, host=host)
        assert reply.status == 200
        text = read(reply.body).text if accept == BROWSER else reply.body.decode()
        for secret in ("conversation", "credential", "vendor", "hint", "0.1", "curl"):
            assert secret not in text
        assert "ChatGPT-to-API" in text


async def test_somebody_who_follows_a_link_is_no_stranger() -> None:
    """A page elsewhere may link here; it cannot read what its visitor sees."""
    async with door_server(routes=site(READY)) as server:
        visit = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document", BROWSER]
        assert b"credentials" in (await ask(server, "/", *visit)).body


async def test_without_any_upstream_the_page_says_so() -> None:
    """An empty configuration is no error; what to do is said."""
    async with door_server(routes=site(advice=("Set API_REVERSE_PROXY.",))) as server:
        for accept in (BROWSER, "Accept: */*"):
            body = (await ask(server, "/", accept)).body.decode()
            assert "No upstream is configured." in body
            assert "Set API_REVERSE_PROXY." in body
            assert "Then ask it" in body
