"""Ollama's own clients, of Python and Node, over a server of its kind and over others."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.client_environments import node, node_modules, program_of, run_client, told_by
from support.gateway_process import GatewayProcess, gateway_process
from support.ollama_server import OllamaServer
from support.pages import blocks
from support.scripted_backend import Play, ScriptedBackend, Seen, conversation, json_play
from support.stage import backend_thread
from support.vendor.server import KEY, Vendor

HERE: Final = Path(__file__).parent
CLIENT_KEY: Final = "sk-client-key"
CONFIG: Final = """
[server]
api_keys = ["{client}"]

[upstreams.home]
kind = "ollama"
base_url = "{address}"
models = ["llama3.2", "llava:7b", "nomic-embed-text"]

[upstreams.vendor]
kind = "openai"
base_url = "{address}/v1"
api_keys = ["{key}"]
endpoints = ["chat", "models", "embeddings"]
models = ["gpt-4o", "gpt-4o-mini", "o4-mini"]

[upstreams.conversation]
base_url = "{address}/backend-api/conversation"
models = ["web"]
"""


def web_answer(seen: Seen) -> Play:
    """What a model on the web writes, asked in words for a call, for JSON, or for neither."""
    if b"answer with status 400" in seen.body:
        return json_play({"detail": "no"}, 400)
    if b"fail midway" in seen.body:
        return Play(pieces=conversation("You ").pieces[:1], end="close")
    if b"Oslo: fair" in seen.body:
        return conversation("I was told: ", "Oslo: fair")
    if b"<tools>" in seen.body:
        call = '{"name": "weather", "arguments": {"city": "Oslo"}}'
        return conversation(f"<tool_call>{call}</tool_call>")
    if b"must be one JSON" in seen.body:
        return conversation('{"city": "Vaduz", "people": 5696}')
    return conversation("You said: ", "Hello")


@contextlib.contextmanager
def standing(data: Path) -> Iterator[tuple[GatewayProcess, ScriptedBackend, ScriptedBackend]]:
    ollama, vendor = OllamaServer(), Vendor()

    def serve(seen: Seen) -> Play:
        if seen.path.startswith("/api/"):
            return ollama(seen)
        return web_answer(seen) if seen.path.startswith("/backend-api") else vendor(seen)

    data.mkdir()
    with (
        backend_thread(serve) as backend,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
    ):
        config = CONFIG.format(address=backend.url(""), key=KEY, client=CLIENT_KEY)
        (data / "config.toml").write_text(config)
        with gateway_process(data, ACCESS_TOKENS="tok-a") as gateway:
            yield gateway, backend, outside


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with standing(tmp_path_factory.mktemp("ollama") / "data") as (running, _, outside):
        yield running
        assert outside.seen == []  # nobody asked another host


@pytest.mark.parametrize(
    ("model", "seeing", "embedding", "told", "image", "size"),
    [
        ("llama3.2", "llava:7b", "nomic-embed-text", "weather=Oslo: fair", "[70 bytes]", 4),
        ("gpt-4o", "gpt-4o", "gpt-4o-mini", "Oslo: fair", "[image/png, 70 bytes]", 8),
        ("web", "-", "-", "Oslo: fair", "", 0),
    ],
    ids=["ollama", "openai", "conversation"],
)
def test_the_python_package_works(
    gateway: GatewayProcess,
    tmp_path: Path,
    model: str,
    seeing: str,
    embedding: str,
    told: str,
    image: str,
    size: int,
) -> None:
    """Sync and async, streams, tools, images, JSON, embeddings, lists, typed errors."""
    said: Any = told_by(
        tmp_path / "home",
        program_of("ollama"),
        str(HERE / "drive_ollama.py"),
        model,
        seeing,
        embedding,
        OLLAMA_HOST=gateway.url(""),
        OLLAMA_API_KEY=CLIENT_KEY,
    )
    assert said["whole"] == ["assistant", "You said: Hello"]
    assert said["streamed"] == said["generated"] == said["options"] == "You said: Hello"
    assert said["final"] == [True, "stop", True, True]
    assert said["whole_final"] == said["generated_final"] == said["final"]
    assert said["loop"] == [f"I was told: {told}", 2]
    assert said["streamed_tools"] == [["weather", {"city": "Oslo"}]]
    assert said["json"] == {"city": "Vaduz", "people": 5696}
    assert {"llama3.2:latest", "llava:7b", "gpt-4o:latest", "web:latest"} <= set(said["list"])
    assert said["ps"] == said["list"]
    capabilities, info, _ = said["show"]
    assert {"completion", "tools"} <= set(capabilities) and info
    assert said["loaded"] == "load"
    assert said["unknown"] == [404, True, False]
    assert said["refused"] == [400, True, False]
    assert said["broken"][1:] == [True, False]
    assert said["async"] == {
        "whole": "You said: Hello",
        "streamed": "You said: Hello",
        "generated": "You said: Hello",
        "listed": True,
    }
    assert said["pull"][0] == 403 and "at the upstream" in said["pull"][1]
    if seeing != "-":
        assert said["image"] == f"You said: What is it? {image}"
        assert said["embed"] == [2, size, size]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_modules(HERE / "node-ollama", tmp_path_factory.mktemp("npm"))


@pytest.mark.parametrize(
    ("model", "told"), [("llama3.2", "weather=Oslo: fair"), ("gpt-4o", "Oslo: fair")]
)
def test_the_npm_package_works(
    gateway: GatewayProcess, modules: Path, tmp_path: Path, model: str, told: str
) -> None:
    """Whole, streamed, aborted, a tool loop, lists, errors."""
    said: Any = told_by(
        tmp_path / "home",
        node(),
        str(HERE / "drive_ollama.mjs"),
        str(modules / "ollama"),
        gateway.url(""),
        CLIENT_KEY,
        model,
    )
    assert said["whole"] == "You said: Hello"
    assert said["streamed"] == "You said: Say 潮😀"
    assert said["final"] == [True, "stop", True, True]
    assert said["generated"] == "You said: Hello"
    assert said["loop"] == [f"I was told: {told}", 2]
    assert {"llama3.2:latest", "gpt-4o:latest", "web:latest"} <= set(said["list"])
    assert {"completion", "tools"} <= set(said["show"])
    assert said["ps"] == len(said["list"])
    assert said["version"]
    assert said["unknown"] == ["ResponseError", 404, False]
    # Content that no client has seen yet may be asked for again, and then there is a status.
    assert said["broken"] in (["Error", None, False], ["ResponseError", 502, False])
    assert said["aborted"] == "AbortError"


# -- docs/ollama.md ----------------------------------------------------------------------------

PAGE: Final = "docs/ollama.md"
ADDRESS: Final = "http://127.0.0.1:8080"


def ours(block: str, gateway: GatewayProcess) -> str:
    """A block with this gateway's address and key."""
    assert ADDRESS in block
    return block.replace(ADDRESS, gateway.url("")).replace(
        "Bearer anything", f"Bearer {CLIENT_KEY}"
    )


def test_the_pages_python_block_works(gateway: GatewayProcess, tmp_path: Path) -> None:
    """It prints what the model said."""
    [block] = blocks(PAGE, "python")
    done = run_client(tmp_path / "home", program_of("ollama"), "-c", ours(block, gateway))
    assert done.stdout.strip() == "You said: Hello from Oslo!", done.stderr


def test_the_pages_node_block_works(gateway: GatewayProcess, modules: Path, tmp_path: Path) -> None:
    """It prints what the model said, as it comes."""
    [block] = blocks(PAGE, "js")
    program = modules.parent / "page.mjs"
    program.write_text(ours(block, gateway))
    done = run_client(tmp_path / "home", node(), str(program))
    assert done.stdout == "You said: Hello from Oslo!", done.stderr


def test_the_pages_settings_lead_to_what_the_editors_ask_for(gateway: GatewayProcess) -> None:
    """Each names the address without a path; there the calls that they make are answered."""
    [webui] = blocks(PAGE, "ini")
    [yaml] = blocks(PAGE, "yaml")
    [settings] = blocks(PAGE, "json")
    named = [
        webui.partition("=")[2].strip(),
        re.findall(r"apiBase: (\S+)", yaml)[0],
        json.loads(settings)["github.copilot.chat.byok.ollamaEndpoint"],
    ]
    assert named == [ADDRESS] * 3
    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}

    def call(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body)
        method = "GET" if body is None else "POST"
        answer = gateway.fetch(path, method=method, body=data, headers=headers)
        assert answer.status == 200, answer.text
        return answer.json

    # Copilot: version, list, each model's abilities; then OpenAI's own endpoint.
    assert tuple(map(int, call("/api/version")["version"].split("."))) >= (0, 6, 4)
    for entry in call("/api/tags")["models"]:
        shown = call("/api/show", {"model": entry["model"]})
        info = shown["model_info"]
        assert info["general.architecture"] and info["general.basename"] and shown["capabilities"]
    messages = [{"role": "user", "content": "Hello"}]
    reply = call("/v1/chat/completions", {"model": "gpt-4o:latest", "messages": messages})
    assert reply["choices"][0]["message"]["content"] == "You said: Hello"
    # Continue: what a model is, then a chat with options.
    model = re.findall(r"model: (\S+)", yaml)[0]
    call("/api/show", {"name": model})
    options = {"num_ctx": 32768, "num_predict": 4096, "stop": []}
    chat = {"model": model, "messages": messages, "options": options, "keep_alive": 1800}
    assert call("/api/chat", {**chat, "stream": False})["message"]["content"] == "You said: Hello"
    # Open WebUI: list, what is loaded, and its own names in the answers.
    assert call("/api/ps")["models"]
    assert call("/api/chat", {**chat, "stream": False, "model": "gpt-4o:latest"})["model"] == (
        "gpt-4o:latest"
    )
