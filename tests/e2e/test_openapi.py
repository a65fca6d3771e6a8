"""The description the gateway serves of itself: whole, and true of a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from chatgpt_to_api.admin.credentials import CredentialApi
from chatgpt_to_api.admin.model_routes import ModelRouteApi
from chatgpt_to_api.admin.routes import AdminApi
from chatgpt_to_api.admin.settings import SettingsApi
from chatgpt_to_api.admin.upstreams import UpstreamApi
from chatgpt_to_api.openapi.document import document
from chatgpt_to_api.server.conversation_site import ConversationSite
from chatgpt_to_api.server.gemini_site import GeminiSite
from chatgpt_to_api.server.ollama_site import OllamaSite
from chatgpt_to_api.server.responses_site import ResponsesSite
from chatgpt_to_api.server.site import Site
from support.gateway_process import ADMIN_PASSWORD, clean_environment, gateway_process
from support.scripted_backend import Play, Seen, chat_chunks, json_play, scripted_backend

METHODS = ("get", "put", "post", "patch", "delete")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
VECTORS = {
    "object": "list",
    "model": "m1",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
CONFIG = """
[upstreams.vendor]
kind = "openai"
base_url = "{url}"
api_keys = ["sk-upstream-key"]
endpoints = ["chat", "models", "embeddings"]
models = ["*"]

[upstreams.conversation]
kind = "conversation"
base_url = "http://127.0.0.1:9/backend-api/conversation"
models = ["never-asked-*"]
"""


def admin_routes() -> list[Route]:
    """The admin API's routes, of APIs that stand on nothing."""
    found: list[Route] = []
    for part in (AdminApi, UpstreamApi, ModelRouteApi, CredentialApi, SettingsApi):
        made: Any = object.__new__(part)
        made._auth = None
        found += made.routes()
    return found


def described() -> set[tuple[str, str]]:
    return {
        (path, method)
        for path, operations in document()["paths"].items()
        for method in operations
        if method in METHODS
    }


def test_every_route_is_described_and_nothing_else_but_doors_is() -> None:
    """A route that is added without a description fails here, and so does one that is gone."""
    admin = admin_routes()
    routes = [
        *Site.routes(object.__new__(Site)),
        *GeminiSite.routes(object.__new__(GeminiSite)),
        *admin,
        *ConversationSite.routes(object.__new__(ConversationSite)),
        *ResponsesSite.routes(object.__new__(ResponsesSite)),
        *OllamaSite.routes(object.__new__(OllamaSite)),
    ]
    served = {re.sub(r":path\}", "}", route.path) for route in routes}
    served -= {path for path in served if path.endswith("{rest}")}  # answers 404 to what is left
    served -= {"/favicon.ico"}
    doors = {path for path, method in described() if method == "post"} - served
    assert served == {path for path, _ in described()} - doors
    assert "/v1/chat/completions" in doors
    for route in admin:
        methods = {m.lower() for m in route.methods or ()} - {"head"}
        assert methods == {method for path, method in described() if path == route.path}


def test_every_reference_leads_somewhere() -> None:
    """Schemas are collected in several places; none is forgotten and none is left over."""
    shown = document()
    names = set(shown["components"]["schemas"])
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(shown)))
    assert used <= names
    assert names - used == set()


async def test_generated_requests_find_no_server_error_and_no_lie(tmp_path: Path) -> None:
    """schemathesis, with everything it generates, against a gateway whose upstream is well."""

    def play(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"object": "list", "data": [{"id": "m1"}]})
        if seen.path.endswith("/embeddings"):
            return json_play(VECTORS)
        if seen.json.get("stream"):
            return Play(pieces=chat_chunks(["hi"]))
        return json_play(WHOLE)

    async with scripted_backend(play) as backend:
        data = tmp_path / "data"
        data.mkdir()
        (data / "config.toml").write_text(CONFIG.format(url=backend.url("/v1")))
        with gateway_process(data) as gateway:
            url = await asyncio.to_thread(gateway.url, "/openapi.json")
            # A changed password would only have every later request refused, and with a key of
            # the vendor's own what only it has would be asked of it.
            left = ("/admin/password", "/admin/openai")
            excluded = [word for path in left for word in ("--exclude-path", path)]
            await schemathesis(tmp_path, url, *excluded)
            answer = await asyncio.to_thread(gateway.fetch, "/openapi.json")
            assert answer.json == json.loads(json.dumps(document()))
            assert "Traceback" not in gateway.text


async def schemathesis(folder: Path, url: str, *choice: str) -> None:
    environments = Path(__file__).parents[2] / ".venvs" / "schemathesis"
    command = environments / ("Scripts/schemathesis.exe" if os.name == "nt" else "bin/schemathesis")
    assert command.exists(), f"{command} is missing: `make test` makes it"
    process = await asyncio.create_subprocess_exec(
        str(command),
        *("run", url, "--checks", CHECKS, "--max-examples", "4", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"),
        *("--continue-on-failure", "--warnings", "off", "--no-shrink"),
        *("-H", f"Authorization: {ADMIN_PASSWORD}"),
        *choice,
        cwd=folder,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-8000:]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_a_description_says_what_a_door_requires(path: str) -> None:
    """Model and input are required, by the struct that decodes them."""
    shown: Any = document()
    body = shown["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    name = body["$ref"].rpartition("/")[2]
    schema = shown["components"]["schemas"][name]
    first = schema["allOf"][0]["$ref"].rpartition("/")[2] if "allOf" in schema else name
    assert "model" in shown["components"]["schemas"][first]["required"]
