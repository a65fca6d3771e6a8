"""A laptop and nothing else: the command, the embedded model, curl and the official SDK."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from support.embedded_model import give_model
from support.gateway_process import GatewayProcess, gateway_process, wait_until
from support.shared_rig import events_of

QUESTION = (
    '{"model": "text-davinci-002-render-sha", "max_tokens": 12, '
    '"messages": [{"role": "user", "content": "你是什么模型,是GPT3.5吗"}]}'
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with nothing configured."""
    data_dir = tmp_path_factory.mktemp("embedded") / "data"
    give_model(data_dir)
    with gateway_process(data_dir, EMBEDDED_MODEL="") as running:
        yield running


def test_the_start_prints_a_curl_that_works(gateway: GatewayProcess) -> None:
    """The printed line, pasted into a shell, answers with text of the real model."""
    port = gateway.port
    wait_until(lambda: "curl http" in gateway.text)
    [line] = [line.strip() for line in gateway.output if "curl http" in line]
    assert f":{port}/v1/chat/completions" in line
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, "-c", line.replace("curl ", "curl -sS --noproxy '*' ")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    answer = json.loads(done.stdout)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"].strip()
    assert len(gateway.output) <= 12


def test_the_guides_model_name_is_answered_by_the_embedded_model(gateway: GatewayProcess) -> None:
    """A well-known name gets an answer, and the reply says which model really gave it."""
    answer = gateway.fetch("/v1/chat/completions", method="POST", body=QUESTION, timeout=300).json
    assert answer["model"] == "smollm2-135m-instruct"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 12


def test_the_sdk_streams_from_it(gateway: GatewayProcess) -> None:
    """Streaming, by the official package."""
    with openai.OpenAI(base_url=gateway.url("/v1"), api_key="x", max_retries=0) as sdk:
        stream = sdk.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Say hello."}],
            stream=True,
            max_tokens=8,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip()
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 8


TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather."}}


def test_a_request_without_tools_is_passed_on_as_it_is(gateway: GatewayProcess) -> None:
    """The server's own reply, with fields that only it knows: nothing was translated."""
    answer = gateway.ask("Say hello.", max_tokens=2, n=2, tools=None)
    assert answer.json["timings"] and len(answer.json["choices"]) == 2
    assert "x-emulated" not in answer.headers


def test_more_answers_than_it_writes_at_once_are_refused_with_the_limit(
    gateway: GatewayProcess,
) -> None:
    """In words of the API, with the setting that changes it."""
    answer = gateway.ask("Hi", n=128, max_tokens=2)
    assert (answer.status, answer.json["error"]["param"]) == (400, "n")
    assert "at most 4 answers" in answer.json["error"]["message"]
    assert len(gateway.ask("Hi", n=4, max_tokens=2).json["choices"]) == 4


def test_it_is_told_of_tools_in_words(gateway: GatewayProcess) -> None:
    """Its template would leave them out: the prompt is longer for them, and what has no effect
    beside them is still named."""
    plain = gateway.ask("Say hello.", max_tokens=2)
    told = gateway.ask("Say hello.", max_tokens=2, tools=[TOOL], user="u", metadata={"a": "b"})
    assert told.headers["x-emulated"] == "tools"
    assert told.headers["x-ignored-parameters"] == "user, metadata"
    grown = told.json["usage"]["prompt_tokens"] - plain.json["usage"]["prompt_tokens"]
    assert grown > 100
    refused = gateway.ask("Say hello.", tools=[TOOL], modalities=["audio"])
    assert (refused.status, refused.json["error"]["param"]) == (400, "modalities")


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_must_be_made_is_made_or_missed_aloud(
    gateway: GatewayProcess, stream: bool
) -> None:
    """It is too small to make one; its words are never passed for what was demanded."""
    answer = gateway.ask(
        "How is the weather?",
        tools=[TOOL],
        tool_choice="required",
        stop=["."],
        temperature=0,
        stream=stream,
        timeout=300,  # it is asked twice, and writes a sentence each time
    )
    if answer.headers["content-type"].startswith("text/event-stream"):  # it took a while
        [told] = events_of(answer)
    else:
        assert answer.status == 502, answer.text
        told = answer.json
    assert told["error"]["code"] == "tool_call_missing"
    assert told["error"]["param"] == "tool_choice"


def test_it_answers_the_conversation_protocol_too(gateway: GatewayProcess) -> None:
    """The same model behind our own conversation backend, asked in OpenAI style."""
    body = '{"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello."}]}'
    missing = gateway.fetch("/chatgpt/conversation", method="POST", body=body)
    assert (missing.status, missing.json) == (401, {"errorMessage": "Missing accessToken."})
    answer = gateway.fetch(
        "/chatgpt/conversation",
        method="POST",
        body=body,
        headers={"Authorization": "Bearer whoever"},
        timeout=300,
    )
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["message"]["content"]["parts"][0].strip()


def test_the_first_page_says_what_is_ready(gateway: GatewayProcess) -> None:
    """GET / explains itself to curl and to a browser; nothing secret shows."""
    plain = gateway.fetch("/")
    assert "ready" in plain.text and "curl http" in plain.text
    page = gateway.fetch("/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert gateway.fetch("/ping").json == {"message": "pong"}
    assert gateway.fetch("/readyz").status == 200


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """SIGTERM ends the model's process with the gateway's."""
    give_model(tmp_path / "data")
    with gateway_process(tmp_path / "data", EMBEDDED_MODEL="on") as gateway:
        wait_until(lambda: gateway.fetch("/readyz").status == 200, 120)
        children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        assert gateway.stop() == 0
        for pid in pids:
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]


def similarity(gateway: GatewayProcess, left: str, right: str) -> float:
    """The cosine of two texts' vectors, which come at length 1."""
    with openai.OpenAI(base_url=gateway.url("/v1"), api_key="x", max_retries=0) as sdk:
        reply = sdk.embeddings.create(model="smollm2-135m-instruct", input=[left, right])
    first, second = (entry.embedding for entry in reply.data)
    assert len(first) == len(second) == 576
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-3)
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_its_embeddings_tell_alike_from_unlike(gateway: GatewayProcess) -> None:
    """Barely: every sentence is somewhat like any other, which the docs say with these numbers."""
    alike = [
        similarity(gateway, "How do I reset my password?", "I forgot my login, I need a new one."),
        similarity(gateway, "The cat sleeps on the sofa.", "A kitten is napping on the couch."),
    ]
    unlike = [
        similarity(gateway, "How do I reset my password?", "A kitten is napping on the couch."),
        similarity(gateway, "The cat sleeps on the sofa.", "Shares dropped a lot this afternoon."),
    ]
    assert min(alike) > max(unlike) > 0.5


def test_its_embeddings_come_in_both_formats_and_one_length(gateway: GatewayProcess) -> None:
    """Base64 is the SDK's default; ``dimensions`` and inputs beyond 512 tokens are refused."""
    with openai.OpenAI(base_url=gateway.url("/v1"), api_key="x", max_retries=0) as sdk:
        model = "smollm2-135m-instruct"
        plain = sdk.embeddings.create(model=model, input="Hello", encoding_format="float")
        packed = sdk.embeddings.create(model=model, input="Hello")
        assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-5)
        assert plain.usage.prompt_tokens == plain.usage.total_tokens > 0
        tokens = sdk.embeddings.create(model=model, input=[[19556], [1, 2]])
        assert [entry.index for entry in tokens.data] == [0, 1]
        with pytest.raises(openai.BadRequestError, match="cannot be shortened") as refused:
            sdk.embeddings.create(model=model, input="Hello", dimensions=64)
        assert refused.value.param == "dimensions"
        with pytest.raises(openai.BadRequestError, match="too long for this model") as long:
            sdk.embeddings.create(model=model, input="word " * 600)
        assert long.value.param == "input"
        models = {card.id: card for card in sdk.models.list().data}
        assert models[model].context_length == 4096  # type: ignore[attr-defined]
