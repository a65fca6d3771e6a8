"""OpenAI's Codex without a terminal: a whole episode, over every kind of upstream.

It is asked for a file, calls a tool that it really executes, is told the result, and answers.
Without Node it is reported as skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from support.client_environments import node, node_modules, run_client
from support.gateway_process import GatewayProcess, gateway_process
from support.responses_replies import call, message, stream
from support.scripted_backend import Play, ScriptedBackend, Seen, conversation, json_play
from support.stage import backend_thread

HERE: Final = Path(__file__).parent
KEY: Final = "sk-client-key"
PAGE: Final = HERE.parents[1] / "docs" / "codex.md"
COMMAND: Final = "printf tides > made.txt && cat made.txt"
PATCH: Final = '*** Begin Patch\n*** Add File: made.txt\n+"tides" \\ 潮\n*** End Patch\n'
CONFIG: Final = """
[server]
api_keys = ["{key}"]

[upstreams.chat]
kind = "openai"
base_url = "{address}/v1"
api_keys = ["sk-chat"]
endpoints = ["chat"]
models = ["gpt-5.5", "unheard-of"]

[upstreams.native]
kind = "openai-responses"
base_url = "{address}/native/v1"
api_keys = ["sk-native"]
models = ["native"]

[upstreams.conversation]
base_url = "{address}/backend-api/conversation"
models = ["web"]
"""


def chat(*deltas: dict[str, Any], finish: str = "stop") -> Play:
    """A streamed chat completion."""

    def chunk(delta: dict[str, Any], ends: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": ends}
        return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()

    lines = [*map(chunk, deltas), chunk({}, finish), b"data: [DONE]"]
    return Play(pieces=[line + b"\n\n" for line in lines])


def calling(name: str, arguments: dict[str, str]) -> Play:
    function = {"name": name, "arguments": json.dumps(arguments)}
    made = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return chat({"content": "I will. "}, {"tool_calls": [made]}, finish="tool_calls")


def model(seen: Seen) -> Play:
    """Whoever is asked calls one tool, and repeats what it gave back."""
    if seen.path.startswith("/backend-api"):
        result = re.search(r"<tool_response id=.*Output:\\n(\w+)", seen.body.decode())
        if result is not None:
            return conversation("It holds: ", result[1])
        arguments = json.dumps({"cmd": COMMAND})
        said = f'<tool_call>\n{{"name": "exec_command", "arguments": {arguments}}}\n</tool_call>'
        return conversation("I will.\n", said)
    if seen.method == "GET":
        return json_play({"object": "list", "data": []})
    if seen.path.startswith("/native"):
        last = seen.json["input"][-1]
        if last["type"] == "function_call_output":
            return stream([message("It holds: " + last["output"].split()[-1])])
        return stream([message("I will."), call("exec_command", json.dumps({"cmd": COMMAND}))])
    last = seen.json["messages"][-1]
    if last["role"] == "tool":
        return chat({"content": "It holds: "}, {"content": last["content"].split()[-1]})
    if seen.json["model"] == "gpt-5.5":
        return calling("apply_patch", {"input": PATCH})
    return calling("exec_command", {"cmd": COMMAND})


@dataclass
class Episode:
    """What Codex did: its items, its last words, the file it made, who was asked what."""

    items: list[Any]
    said: str
    made: str
    seen: list[Seen]
    left_the_machine: list[str]


@dataclass
class Stage:
    """A gateway and its upstreams, and the agent's program."""

    gateway: GatewayProcess
    backend: ScriptedBackend
    outside: ScriptedBackend
    program: str

    def episode(self, home: Path, name: str) -> Episode:
        """Run one episode with a model."""
        self.backend.seen.clear()
        self.outside.seen.clear()
        home.mkdir()
        work = home / "work"
        work.mkdir()
        (home / "config.toml").write_text(configuration(self.gateway.url("/v1")))
        done = run_client(
            home,
            *(node(), self.program, "exec", "--json", "--skip-git-repo-check"),
            *("--cd", str(work), "--sandbox", "danger-full-access", "--model", name),
            "Make a file.",
            CODEX_HOME=str(home),
            GATEWAY_KEY=KEY,
            HTTP_PROXY=self.outside.url(""),
            HTTPS_PROXY=self.outside.url(""),
            NO_PROXY="127.0.0.1",
        )
        assert done.returncode == 0, done.stderr + done.stdout
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert events[-1]["type"] == "turn.completed", done.stdout
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        said = [item["text"] for item in items if item["type"] == "agent_message"]
        made = work / "made.txt"
        return Episode(
            items,
            said[-1],
            made.read_text() if made.exists() else "",
            [seen for seen in self.backend.seen if seen.method == "POST"],
            [f"{seen.method} {seen.path}" for seen in self.outside.seen],
        )


def configuration(base_url: str) -> str:
    """The settings of the page, with the gateway's address, and what would look elsewhere off."""
    [shown] = re.findall(r"```ini\n(model_provider.*?)```", PAGE.read_text(), re.DOTALL)
    return shown.replace("http://127.0.0.1:8080/v1", base_url)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    modules = node_modules(HERE / "codex", tmp_path_factory.mktemp("codex"))
    data = tmp_path_factory.mktemp("gateway") / "data"
    data.mkdir()
    with (
        backend_thread(model) as backend,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
    ):
        (data / "config.toml").write_text(CONFIG.format(key=KEY, address=backend.url("")))
        with gateway_process(data, ACCESS_TOKENS="tok-a") as gateway:
            program = modules / "@openai" / "codex" / "bin" / "codex.js"
            yield Stage(gateway, backend, outside, str(program))


@pytest.mark.parametrize("name", ["unheard-of", "native", "web"])
def test_a_command_is_executed_and_its_output_told(stage: Stage, tmp_path: Path, name: str) -> None:
    """Text, a call, the file it makes, the result, the final answer."""
    episode = stage.episode(tmp_path / "home", name)
    [command] = [item for item in episode.items if item["type"] == "command_execution"]
    assert (command["exit_code"], command["aggregated_output"]) == (0, "tides")
    assert episode.made == "tides"
    assert episode.said == "It holds: tides"
    assert len(episode.seen) == 2
    assert episode.left_the_machine == []


def test_a_patch_is_applied(stage: Stage, tmp_path: Path) -> None:
    """Trap 50: a custom tool over chat completions, its text as the model wrote it."""
    episode = stage.episode(tmp_path / "home", "gpt-5.5")
    changes = [item for item in episode.items if item["type"] == "file_change"]
    assert [change["path"].rpartition("/")[2] for change in changes[0]["changes"]] == ["made.txt"]
    assert episode.made == '"tides" \\ 潮\n'
    assert episode.said.startswith("It holds: ")
    called = episode.seen[-1].json["messages"][-2]["tool_calls"][0]["function"]
    assert json.loads(called["arguments"]) == {"input": PATCH}


def test_what_comes_before_a_turn_keeps_its_bytes(stage: Stage, tmp_path: Path) -> None:
    """Trap 65: the second request begins with the first, so that a prompt cache is of use."""
    first, second = stage.episode(tmp_path / "home", "unheard-of").seen
    messages, tools = first.json["messages"], first.json["tools"]
    assert second.json["messages"][: len(messages)] == messages
    assert second.json["tools"] == tools
    assert second.json["prompt_cache_key"] == first.json["prompt_cache_key"]
    shared, found, _ = first.body.partition(b'],"stream"')
    assert found
    assert second.body.startswith(shared)
