"""The gateway's list of models, as each kind of client asks for it and then uses it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from support.gateway_process import Answer, gateway_process, wait_until
from support.rig import Rig
from support.scripted_backend import Seen, json_play, scripted_backend
from support.vendor.server import KEY, Vendor

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANTHROPIC: Final = {"anthropic-version": "2023-06-01"}
CONFIG: Final = """
[upstreams.vendor]
kind = "openai"
base_url = "{address}/v1"
api_keys = ["{key}"]

[[routes]]
model = "claude-mine"
candidates = [{{ upstream = "vendor", model = "gpt-4o" }}]
"""
MANY: Final = 500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    vendor = Vendor()
    listed = [{"id": name} for name in ("gpt-4o", "o4-mini", "vendor/deep:name")]
    listed += [{"id": f"model-{number}"} for number in range(MANY)]

    def serve(seen: Seen) -> Any:
        return json_play({"data": listed}) if seen.method == "GET" else vendor(seen)

    data = tmp_path_factory.mktemp("lists") / "data"
    data.mkdir()
    async with scripted_backend(serve) as backend:
        (data / "config.toml").write_text(CONFIG.format(address=backend.url(""), key=KEY))
        with gateway_process(data) as gateway:
            # The upstream's list is asked for beside the requests.
            await asyncio.to_thread(
                wait_until, lambda: len(gateway.fetch("/v1/models").json["data"]) > MANY
            )
            yield Rig(gateway, backend)


async def anthropic(rig: Rig, path: str) -> Answer:
    return await rig.fetch(path, headers=ANTHROPIC)


async def test_every_model_is_found_by_turning_pages_and_routes(rig: Rig) -> None:
    """Trap 62: Anthropic's shape, its default page, and ids that lead where they should."""
    names: list[str] = []
    query = ""
    while True:
        page = (await anthropic(rig, f"/v1/models?limit=100{query}")).json
        names += [entry["id"] for entry in page["data"]]
        assert page["first_id"] == page["data"][0]["id"]
        assert page["last_id"] == page["data"][-1]["id"]
        if not page["has_more"]:
            break
        query = f"&after_id={page['last_id']}"
    plain = [entry["id"] for entry in (await rig.fetch("/v1/models")).json["data"]]
    assert len(names) == len(set(names)) == len(plain)
    assert all(name.startswith("claude") for name in names)
    assert {"claude-mine", "claude/gpt-4o", "claude/vendor/deep:name"} <= set(names)
    first = (await anthropic(rig, "/v1/models")).json
    assert len(first["data"]) == 20 and first["has_more"] is True
    shown = (await anthropic(rig, "/v1/models/claude/vendor/deep:name")).json
    assert (shown["id"], shown["display_name"]) == ("claude/vendor/deep:name", "vendor/deep:name")
    assert shown["type"] == "model" and shown["created_at"].endswith("Z")
    theirs = (await rig.fetch("/v1/models/claude/gpt-4o")).json
    assert (theirs["object"], theirs["owned_by"]) == ("model", "vendor")


async def test_an_alias_is_asked_like_the_model_it_stands_for(rig: Rig) -> None:
    """Trap 62: reversible, at every door; the upstream hears its own name."""
    for model in ("claude/gpt-4o", "claude-mine"):
        rig.backend.seen.clear()
        answer = await rig.ask("Hello", model)
        assert answer.status == 200, answer.text
        assert rig.backend.seen[-1].json["model"] == "gpt-4o"
        assert answer.headers["x-upstream-model"] == "gpt-4o"
    body = {
        "model": "claude/gpt-4o",
        "stream": False,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    answer = await rig.fetch("/api/chat", method="POST", body=json.dumps(body))
    assert answer.json["message"]["content"] == "You said: Hello"
    assert rig.backend.seen[-1].json["model"] == "gpt-4o"


async def test_codex_is_given_a_catalogue(rig: Rig) -> None:
    """Trap 62: ``models``, not ``data``; and nothing that would stand for its own entries."""
    models = (await rig.fetch("/v1/models?client_version=0.171.0")).json["models"]
    slugs = {model["slug"] for model in models}
    assert {"gpt-4o", "claude-mine", "model-7"} <= slugs and "o4-mini" not in slugs
    for field in ("display_name", "shell_type", "visibility", "truncation_policy", "priority"):
        assert all(model[field] is not None for model in models), field


async def test_a_list_comes_from_memory_at_once_and_without_redirects(rig: Rig) -> None:
    """Trap 62: well within a hundred milliseconds, with five hundred models; nobody is asked."""
    rig.backend.seen.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    times = []
    for path in ("/v1/models", "/v1/models/", "/v1/models?limit=1000", "/api/tags") * 5:
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n\r\n"
        begun = time.perf_counter()
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        times.append(time.perf_counter() - begun)
        assert head.startswith(b"HTTP/1.1 200 ")
    writer.close()
    for path in range(4):  # the quickest of five: the others may have waited for the machine
        assert min(times[path::4]) < 0.1
    assert rig.backend.seen == []


async def test_a_wrong_page_is_refused(rig: Rig) -> None:
    """With a 400 that names the part of the query."""
    for query in ("limit=0", "after_id=nobody"):
        answer = await anthropic(rig, f"/v1/models?{query}")
        assert answer.status == 400 and answer.json["type"] == "error"
        assert query.partition("=")[0] in answer.json["error"]["message"]
    missing = await anthropic(rig, "/v1/models/claude/")
    assert missing.status == 200  # a catch-all upstream may have whatever is asked for


async def test_the_aliases_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Then names are names."""
    data = tmp_path_factory.mktemp("plain") / "data"
    data.mkdir()
    async with scripted_backend(Vendor()) as backend:
        (data / "config.toml").write_text(CONFIG.format(address=backend.url(""), key=KEY))
        with gateway_process(data, CHATGPT_TO_API_MODEL_ALIASES="off") as gateway:
            rig = Rig(gateway, backend)
            page = (await anthropic(rig, "/v1/models")).json
            assert [entry["id"] for entry in page["data"]][:1] == ["claude-mine"]
            answer = await rig.ask("Hello", "claude/gpt-4o")
            assert answer.status == 404
            assert backend.seen[-1].json["model"] == "claude/gpt-4o"
