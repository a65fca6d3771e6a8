"""Anthropic's own packages, of Python and Node, and the AI SDK, over each kind of upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.anthropic_server import KEY, AnthropicServer
from support.client_environments import node, node_modules, program_of, run_client, told_by
from support.gateway_process import GatewayProcess, gateway_process
from support.pages import blocks
from support.scripted_backend import Play, ScriptedBackend, Seen, conversation, json_play
from support.stage import backend_thread
from support.vendor.server import KEY as VENDOR_KEY
from support.vendor.server import Vendor

HERE: Final = Path(__file__).parent
CLIENT_KEY: Final = "sk-client-key"
MODELS: Final = ("claude-sonnet-4-5", "gpt-4o", "web")
CONFIG: Final = """
[server]
api_keys = ["{client}"]

[upstreams.claude]
kind = "anthropic"
base_url = "{url}"
api_keys = ["{key}"]
models = ["claude-*"]

[upstreams.vendor]
kind = "openai"
base_url = "{url}/v1"
api_keys = ["{vendor}"]
models = ["gpt-4o"]

[upstreams.conversation]
base_url = "{url}/backend-api/conversation"
models = ["web"]
"""


def on_the_web(seen: Seen) -> Play:
    """What a model on the web writes, asked in words for a call or for nothing of the kind."""
    if b"answer with status 400" in seen.body:
        return json_play({"detail": "no"}, 400)
    if b"fail midway" in seen.body:
        return Play(pieces=conversation("You ").pieces[:1], end="close")
    if b"Oslo: fair" in seen.body:
        return conversation("It says: ", "Oslo: fair")
    if b"<tools>" in seen.body:
        call = '{"name": "weather", "arguments": {"city": "Oslo"}}'
        return conversation(f"<tool_call>{call}</tool_call>")
    return conversation("You said: ", "Hello")


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayProcess, ScriptedBackend]]:
    """A gateway over three servers, and a proxy for whoever would leave this machine."""
    claude, vendor = AnthropicServer(holds=False), Vendor()

    def serve(seen: Seen) -> Play:
        if seen.path.startswith("/backend-api"):
            return on_the_web(seen)
        return claude(seen) if seen.path.startswith("/v1/messages") else vendor(seen)

    data = tmp_path_factory.mktemp("anthropic") / "data"
    data.mkdir()
    with (
        backend_thread(serve) as backend,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
    ):
        url = backend.url("")
        config = CONFIG.format(client=CLIENT_KEY, url=url, key=KEY, vendor=VENDOR_KEY)
        (data / "config.toml").write_text(config)
        with gateway_process(data, ACCESS_TOKENS="tok-a") as gateway:
            yield gateway, outside


def environment(standing: tuple[GatewayProcess, ScriptedBackend]) -> dict[str, str]:
    gateway, outside = standing
    proxy = outside.url("")
    return {
        "ANTHROPIC_BASE_URL": gateway.url(""),
        "ANTHROPIC_API_KEY": CLIENT_KEY,
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "127.0.0.1",
    }


def test_the_python_package_works(
    standing: tuple[GatewayProcess, ScriptedBackend], tmp_path: Path
) -> None:
    """Whole, accumulated from a stream, tool runners, counts, stop strings, typed errors."""
    driver = str(HERE / "drive_anthropic.py")
    python = program_of("anthropic")
    told = told_by(tmp_path / "home", python, driver, *MODELS, **environment(standing))
    for model in MODELS:
        shown: dict[str, Any] = told[model]
        assert shown["whole"] == "You said: Hello", model
        assert shown["request_id"] is True
        assert shown["streamed"] == {
            "text": "You said: Hello",
            "blocks": ["text"],
            "stop": ["end_turn", None],
            "usage": True,
            "started": 1,
        }
        assert shown["stopped"]["text"] == "You said: H", model
        assert shown["stopped"]["stop"] == ["stop_sequence", "ell"], model
        assert shown["runner"].endswith(": fair"), model
        assert shown["streamed_runner"] == shown["runner"]
        assert shown["counted"] > 0
        assert shown["refused"] == ["BadRequestError", 400, "invalid_request_error"], model
        assert shown["cut"] is not None, model
    assert told["unknown"] == ["NotFoundError", 404, "not_found_error"]
    assert told["thoughts"][:3] == ["thinking", "redacted_thinking", "text"]
    assert told["thoughts"][3] == "You said: go on"
    assert standing[1].seen == []


def test_the_node_packages_work(
    standing: tuple[GatewayProcess, ScriptedBackend],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
) -> None:
    """The same from Node, and the AI SDK's tool loop and stream."""
    modules = node_modules(HERE / "node-anthropic", tmp_path_factory.mktemp("npm"))
    driver = str(HERE / "drive_anthropic.mjs")
    told = told_by(
        tmp_path / "home", node(), driver, str(modules), *MODELS, **environment(standing)
    )
    for model in MODELS:
        shown = told[model]
        assert shown["whole"] == "You said: Hello", model
        assert shown["requestId"] is True
        assert shown["streamed"] == shown["pieces"] == shown["flowed"] == "You said: Hello"
        assert shown["runner"].endswith(": fair"), model
        assert shown["looped"].endswith(": fair"), model
        assert shown["counted"] is True
        assert shown["refused"] == ["BadRequestError", 400, "invalid_request_error"], model
    assert standing[1].seen == []


# -- docs/anthropic.md -------------------------------------------------------------------------

PAGE: Final = "docs/anthropic.md"


def ours(block: str, gateway: GatewayProcess) -> str:
    """A block with this gateway's address and key."""
    assert "http://127.0.0.1:8080" in block
    block = block.replace("http://127.0.0.1:8080", gateway.url(""))
    return block.replace('"anything"', f'"{CLIENT_KEY}"')


def test_the_pages_python_block_works(
    standing: tuple[GatewayProcess, ScriptedBackend], tmp_path: Path
) -> None:
    """It prints what the model said, without any variable set."""
    (block,) = blocks(PAGE, "python")
    python = program_of("anthropic")
    done = run_client(tmp_path / "home", python, "-c", ours(block, standing[0]))
    assert done.stdout.strip() == "You said: Hello from Oslo!", done.stderr


def test_the_pages_node_blocks_work(
    standing: tuple[GatewayProcess, ScriptedBackend], tmp_path: Path
) -> None:
    """The same from Node."""
    node_modules(HERE / "node-anthropic", tmp_path)
    written = blocks(PAGE, "js")
    assert len(written) == 2
    for place, block in enumerate(written):
        program = tmp_path / f"block{place}.mjs"
        program.write_text(ours(block, standing[0]))
        done = run_client(tmp_path / "home", node(), str(program))
        assert done.stdout == "You said: Hello from Oslo!", done.stderr


def test_the_pages_variables_are_those_of_the_agents_test() -> None:
    """What is told to Claude Code's users is what the episodes are run with."""
    (block,) = (b for b in blocks(PAGE, "sh") if "ANTHROPIC_MODEL" in b)
    tested = (HERE / "test_claude_code.py").read_text()
    for name in ("BASE_URL", "API_KEY", "MODEL", "SMALL_FAST_MODEL"):
        assert f"ANTHROPIC_{name}=" in block
        assert f"ANTHROPIC_{name}=" in tested
