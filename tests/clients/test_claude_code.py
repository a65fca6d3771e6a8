"""Claude Code itself, without a terminal, through one whole episode over each kind of upstream.

It is asked for what stands in a file; the model has it run a command that reads the file, and tells
the answer. The command really runs. Without Node the episodes are reported as skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.anthropic_server import KEY, event
from support.client_environments import QUIET, node_modules
from support.gateway_process import GatewayProcess, clean_environment, gateway_process
from support.scripted_backend import Play, ScriptedBackend, Seen, conversation, json_play
from support.stage import backend_thread

HERE: Final = Path(__file__).parent
CLIENT_KEY: Final = "sk-client-key"
SECRET: Final = "the fjord is calm"
COMMAND: Final = {"command": "cat note.txt", "description": "Read the note"}
CONFIG: Final = """
[server]
api_keys = ["{client}"]

[upstreams.claude]
kind = "anthropic"
base_url = "{url}"
api_keys = ["{key}"]
models = ["claude-*"]

[upstreams.chat]
kind = "openai"
base_url = "{url}/v1"
models = ["gpt-*"]

[upstreams.conversation]
base_url = "{url}/backend-api/conversation"
models = ["web"]
"""


def serve(seen: Seen) -> Play:
    """A model that reads the file when it can, and then says what stands in it."""
    if seen.method != "POST":
        return json_play({}, 404)
    knows = SECRET.encode() in seen.body
    if seen.path.startswith("/backend-api"):
        return on_the_web(knows, seen)
    if seen.path.startswith("/v1/messages/count_tokens"):
        return json_play({"input_tokens": 1000})
    if seen.path.startswith("/v1/messages"):
        return native(knows, seen.json)
    return chat(knows, seen.json)


def on_the_web(knows: bool, seen: Seen) -> Play:
    if knows:
        return conversation("The note says: ", SECRET)
    if b'\\"name\\":\\"Bash\\"' not in seen.body:
        return conversation("A note")
    call = json.dumps({"name": "Bash", "arguments": COMMAND})
    return conversation("I look.\n", f"<tool_call>\n{call}\n</tool_call>")


def chat(knows: bool, body: Any) -> Play:
    delta: dict[str, Any] = {"content": f"The note says: {SECRET}" if knows else "I look."}
    deltas = [{"role": "assistant"}, delta]
    reason = "stop"
    if not knows and any(tool["function"]["name"] == "Bash" for tool in body.get("tools", ())):
        written = json.dumps(COMMAND)
        function = {"name": "Bash", "arguments": written[:9]}
        call = {"index": 0, "id": "functions.Bash:0", "type": "function", "function": function}
        rest = {"index": 0, "function": {"arguments": written[9:]}}
        deltas += [{"tool_calls": [call]}, {"tool_calls": [rest]}]
        reason = "tool_calls"
    if not body.get("stream"):
        message = {"role": "assistant", "content": delta["content"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json_play({"id": "c", "model": body["model"], "choices": [choice]})
    pieces = []
    for part, finish in [*((delta, None) for delta in deltas), ({}, reason)]:
        choice = {"index": 0, "delta": part, "finish_reason": finish}
        chunk = {"id": "c", "model": body["model"], "choices": [choice]}
        pieces.append(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    usage = {"prompt_tokens": 900, "completion_tokens": 9}
    last = {"id": "c", "model": body["model"], "choices": [], "usage": usage}
    pieces.append(b"data: " + json.dumps(last).encode() + b"\n\n")
    return Play(pieces=[*pieces, b"data: [DONE]\n\n"])


def native(knows: bool, body: Any) -> Play:
    text = f"The note says: {SECRET}" if knows else "I look."
    calls = not knows and any(tool["name"] == "Bash" for tool in body.get("tools", ()))
    usage = {"input_tokens": 900, "output_tokens": 9}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    if not body.get("stream"):
        content = [{"type": "text", "text": text}]
        return json_play({**message, "content": content, "stop_reason": "end_turn"})
    pieces = [
        event("message_start", message=message),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        event("content_block_stop", index=0),
    ]
    if calls:
        block = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
        piece = {"type": "input_json_delta", "partial_json": json.dumps(COMMAND)}
        pieces += [
            event("content_block_start", index=1, content_block=block),
            event("content_block_delta", index=1, delta=piece),
            event("content_block_stop", index=1),
        ]
    reason = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    pieces += [event("message_delta", delta=reason, usage=usage), event("message_stop")]
    return Play(pieces=pieces)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The agent's program; it is large, so nothing is left of it."""
    folder = tmp_path_factory.mktemp("agent")
    modules = node_modules(HERE / "claude-code", folder)
    programs = [*modules.glob("@anthropic-ai/claude-code-*/claude*")]
    if not programs:
        pytest.skip("the agent has no program for this platform")
    yield str(programs[0])
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayProcess, ScriptedBackend, ScriptedBackend]]:
    data = tmp_path_factory.mktemp("claude") / "data"
    data.mkdir()
    with (
        backend_thread(serve) as backend,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
    ):
        config = CONFIG.format(client=CLIENT_KEY, url=backend.url(""), key=KEY)
        (data / "config.toml").write_text(config)
        with gateway_process(data, ACCESS_TOKENS="tok-a") as gateway:
            yield gateway, backend, outside


def run(
    agent: str,
    standing: tuple[GatewayProcess, ScriptedBackend, ScriptedBackend],
    home: Path,
    model: str,
    **more: str,
) -> Any:
    """Run the agent in a folder with the note; what it tells at the end."""
    gateway, backend, outside = standing
    backend.seen.clear()
    work = home / "work"
    work.mkdir()
    (work / "note.txt").write_text(SECRET)
    proxy = outside.url("")
    environment = clean_environment(
        **QUIET,
        HOME=str(home),
        USERPROFILE=str(home),
        ANTHROPIC_BASE_URL=gateway.url(""),
        ANTHROPIC_API_KEY=CLIENT_KEY,
        ANTHROPIC_MODEL=model,
        ANTHROPIC_SMALL_FAST_MODEL=model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        DISABLE_ERROR_REPORTING="1",
        DISABLE_TELEMETRY="1",
        HTTP_PROXY=proxy,
        HTTPS_PROXY=proxy,
        NO_PROXY="127.0.0.1",
        IS_SANDBOX="1",
        **more,
    )
    done = subprocess.run(
        [
            *(agent, "-p", "What stands in note.txt? Read it with Bash."),
            *("--output-format", "json", "--allowedTools", "Bash"),
        ],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr + done.stdout + gateway.text[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("model", ["gpt-5.2", "web", "claude-sonnet-4-5"])
def test_an_episode(
    agent: str,
    standing: tuple[GatewayProcess, ScriptedBackend, ScriptedBackend],
    tmp_path: Path,
    model: str,
) -> None:
    """Text, a call that runs, its result, the final answer; and no word to any other host."""
    _, backend, outside = standing
    told = run(agent, standing, tmp_path, model)
    assert told["result"] == f"The note says: {SECRET}"
    assert told["num_turns"] == 2
    assert told["is_error"] is False
    assert told["usage"]["input_tokens"] > 0
    assert len([seen for seen in backend.seen if SECRET.encode() in seen.body]) == 1
    assert [seen.path for seen in outside.seen] == []
    assert os.path.getsize(tmp_path / "work" / "note.txt") == len(SECRET)  # noqa: PTH202


def test_it_offers_what_the_gateway_lists(
    agent: str,
    standing: tuple[GatewayProcess, ScriptedBackend, ScriptedBackend],
    tmp_path: Path,
) -> None:
    """Trap 62: models of every kind pass its filter, under names that lead back to them."""
    told = run(
        agent,
        standing,
        tmp_path,
        "claude/web",
        CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1",
    )
    assert told["result"] == f"The note says: {SECRET}"
    cached = (tmp_path / ".claude" / "cache" / "gateway-models.json").read_text()
    assert '"claude/web"' in cached
