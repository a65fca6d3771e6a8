"""LiteLLM, Pydantic AI and the ``llm`` command as clients, from their own environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from support.client_environments import program_of, run_client, told_by
from support.pages import blocks
from support.vendor.serving import Served

HERE: Final = Path(__file__).parent


def test_litellm_works_whole(served: Served, tmp_path: Path) -> None:
    """Plain, streamed, tools, reasoning, choices, JSON, many at once, and its typed errors."""
    driver = str(HERE / "drive_litellm.py")
    told = told_by(tmp_path / "home", program_of("openai"), driver, **served.environment())
    assert told["plain"] == ["You said: Hello", "stop"]
    assert told["usage"] == [5, 3]
    text, tokens, in_pieces = told["streamed"]
    assert text == "You said: Say 潮😀"
    assert tokens == 10
    assert in_pieces is True
    assert told["tools"] == ["tool_calls", "I was told: Oslo: fair; Rome: fair"]
    assert told["reasoning"] == "The question has 1 words."
    assert told["choices"] == 2
    assert told["json"] == {"a": "some a"}
    assert told["many"] == [f"You said: number {number}" for number in range(8)]
    assert told["unknown"] == ["NotFoundError", 404]
    assert told["refused"] == ["BadRequestError", 400]
    assert told["limited"] == ["RateLimitError", 429]


def test_pydantic_ai_agents_work(served: Served, tmp_path: Path) -> None:
    """Text, history, streams, a tool loop, and checked output in all three of its ways."""
    driver = str(HERE / "drive_pydantic_ai.py")
    told = told_by(
        tmp_path / "home", program_of("openai"), driver, "gpt-4o", **served.environment()
    )
    assert told["plain"] == "You said: Hello"
    assert told["history"] == "You said: And?"
    assert told["streamed"] == ["You said: Say 潮 and more", True, True]
    assert told["tool"] == "I was told: Oslo: fair"
    nodes, answer = told["two tools"]
    assert nodes.count("CallToolsNode") == 2
    assert answer == "I was told: Oslo: fair; Rome: fair"
    assert told["streamed tool"] == ["I was told: Oslo: fair", True, True]
    place = {"city": "Vaduz", "people": 5696}
    for way in ("output by tool", "output by schema", "output by prompt"):
        assert told[way] == [place, 2], way
    assert told["unknown"] == [404, "model_not_found"]


Llm = Callable[..., str]


@pytest.fixture
def llm(served: Served, tmp_path: Path) -> Llm:
    """The command with the gateway's models in its folder, as ``docs/clients.md`` says."""
    folder = tmp_path / "llm"
    folder.mkdir()
    [models] = blocks("docs/clients.md", "yaml")
    models = models.replace("http://127.0.0.1:8080/v1", served.base_url)
    (folder / "extra-openai-models.yaml").write_text(models)
    environment = {**served.environment(), "LLM_USER_PATH": str(folder)}
    # Nothing but the file and the key set here may lead the command to the gateway.
    del environment["OPENAI_BASE_URL"], environment["OPENAI_API_KEY"]

    def run(*arguments: str, input: str = "") -> str:
        home = tmp_path / "home"
        done = run_client(home, program_of("openai", "llm"), *arguments, input=input, **environment)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    run("keys", "set", "gateway", input=served.environment()["OPENAI_API_KEY"] + "\n")
    return run


def test_the_llm_command_asks_and_goes_on(llm: Llm, served: Served) -> None:
    """Streamed by default, a system prompt, an attachment, and the conversation continued."""
    assert llm("-m", "gateway", "Say 潮😀") == "You said: Say 潮😀"
    assert served.vendor.seen[-1].json["stream"] is True
    assert llm("-m", "gateway", "--no-stream", "-s", "Be brief.", "Hello") == "You said: Hello"
    assert llm("-m", "gateway", "-c", "And?") == "You said: And?"
    roles = [message["role"] for message in served.vendor.seen[-1].json["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_the_llm_command_runs_tools_and_fills_schemas(llm: Llm) -> None:
    """A function given on the command line is called, its result told; a schema is kept."""
    weather = (
        'def get_weather(city: str) -> str:\n    "Tell the weather."\n    return city + ": fair"'
    )
    said = llm("-m", "gateway", "--functions", weather, "How is it in 'Oslo'?")
    assert said == "I was told: Oslo: fair"
    filled = llm("-m", "gateway", "--schema", "city, people int", "It is 'Vaduz', with 5696.")
    assert json.loads(filled) == {"city": "Vaduz", "people": 5696}
