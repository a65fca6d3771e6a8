"""docs/parameters.md says what really becomes of each parameter, over each kind of upstream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, Final

import pytest
import pytest_asyncio

from support.anthropic_server import streamed
from support.embedded_model import give_model
from support.gateway_process import Answer, gateway_process
from support.responses_replies import message, response, stream
from support.rig import Rig
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    json_play,
    scripted_backend,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL: Final = "smollm2-135m-instruct"
CONFIG: Final = """
[upstreams.openai]
base_url = "{openai}"
models = ["m1"]

[upstreams.responses]
kind = "openai-responses"
base_url = "{responses}"
models = ["openai-responses"]

[upstreams.anthropic]
base_url = "{anthropic}"
models = ["anthropic"]

[upstreams.gemini]
base_url = "{gemini}"
models = ["gemini"]

[upstreams.conversation]
base_url = "{conversation}"
models = ["web"]

[upstreams.local]
"""
WHOLE: Final = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
}


ANSWER: Final = {
    "candidates": [
        {"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP"}
    ]
}


MESSAGE: Final = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def web_answer(asked: bytes) -> str:
    """What a model writes that is asked in words for a call, for JSON, or for neither."""
    if b"<tools>" in asked:
        return '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    return '{"a": 1}' if b"must be one JSON" in asked else "Hi"


def serve(seen: Seen) -> Play:
    if seen.path == "/responses/v1/responses":
        said = [message("Hi")]
        return stream(said) if seen.json.get("stream") else json_play(response(said))
    if seen.path == "/anthropic/v1/messages":
        # Whoever is asked for JSON in words writes it.
        text = "{}" if b"must be one JSON" in seen.body else "Hi"
        told = {**MESSAGE, "content": [{"type": "text", "text": text}]}
        return Play(pieces=[*streamed(told)]) if seen.json.get("stream") else json_play(told)
    if seen.path.startswith("/gemini"):
        whole = json.dumps(ANSWER).encode()
        if "alt=sse" in seen.path:
            return Play(pieces=[b"data: %b\r\n\r\n" % whole])
        return json_play(ANSWER)
    if seen.path.startswith("/backend-api"):
        return conversation(web_answer(seen.body))
    if seen.method == "GET":
        return json_play({"object": "list", "data": [{"id": "m1"}]})
    return Play(pieces=chat_chunks(["Hi"])) if seen.json.get("stream") else json_play(WHOLE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway over all kinds: scripted servers and the real embedded model."""
    data = tmp_path_factory.mktemp("parameters") / "data"
    give_model(data)
    async with scripted_backend(serve) as backend:
        config = CONFIG.format(
            openai=backend.url("/v1"),
            responses=backend.url("/responses/v1"),
            anthropic=backend.url("/anthropic"),
            gemini=backend.url("/gemini/v1beta"),
            conversation=backend.url(),
        )
        (data / "config.toml").write_text(config)
        with gateway_process(data, EMBEDDED_MODEL="on", ACCESS_TOKENS="tok-a") as gateway:
            yield Rig(gateway, backend)


@pytest.fixture(scope="module")
def rows(generator: ModuleType) -> Any:
    import parameter_rows  # beside the generator

    return parameter_rows.ROWS


def listed(answer: Answer) -> set[str]:
    """What the reply says was ignored."""
    return set(filter(None, answer.headers.get("x-ignored-parameters", "").split(", ")))


def assert_refused(answer: Answer, row: Any, where: str) -> None:
    assert answer.status == 400, f"{row.name} over {where}: {answer.status} {answer.text}"
    assert answer.json["error"]["message"]


async def test_openai_upstreams_get_everything_as_it_was_written(rig: Rig, rows: Any) -> None:
    """The very JSON, whatever it holds; nothing is listed."""
    for row in rows:
        assert row.openai == "passed", row.name
        rig.backend.seen.clear()
        answer = await rig.ask(model="m1", **row.sample)
        assert answer.status == 200, f"{row.name}: {answer.text}"
        assert listed(answer) == set(), row.name
        [seen] = [seen for seen in rig.backend.seen if seen.method == "POST"]
        for name, value in row.sample.items():
            assert seen.json[name] == value, row.name


async def test_conversation_upstreams_get_what_they_can_take(rig: Rig, rows: Any) -> None:
    """What has no place there is listed, and what the answer depends on is refused unasked."""
    for row in rows:
        rig.backend.seen.clear()
        answer = await rig.ask(model="web", **row.sample)
        if row.conversation == "refused":
            assert_refused(answer, row, "conversation")
            assert not rig.backend.seen, row.name
            assert not row.param or answer.json["error"]["param"].startswith(row.param), row.name
            continue
        assert answer.status == 200, f"{row.name}: {answer.text}"
        given = {name for name in row.sample if name != "messages"}
        assert listed(answer) == (given if row.conversation == "ignored" else set()), row.name


@pytest.mark.parametrize("kind", ["openai-responses", "anthropic", "gemini"])
async def test_other_kinds_get_what_has_a_place_there(
    rig: Rig, generator: ModuleType, kind: str
) -> None:
    """Passed on in the server's own words, done here, listed, or refused unasked."""
    import parameter_rows  # beside the generator

    assert set(parameter_rows.KINDS[kind]) <= {row.name for row in parameter_rows.ROWS}
    for row in parameter_rows.ROWS:
        rig.backend.seen.clear()
        claimed = parameter_rows.claim(row, kind)
        answer = await rig.ask(model=kind, **row.sample)
        asked = [seen for seen in rig.backend.seen if seen.method == "POST"]
        if claimed == "refused":
            assert_refused(answer, row, kind)
            assert not asked, row.name
            continue
        assert answer.status == 200, f"{row.name}: {answer.text}"
        assert asked, row.name
        given = {name for name in row.sample if name != "messages"}
        if row.name == "`parallel_tool_calls`":
            given = {"parallel_tool_calls"}  # which says nothing without tools
        assert listed(answer) == (given if claimed == "ignored" else set()), row.name
        assert "x-emulated" not in answer.headers or claimed == "gateway", row.name


async def test_the_embedded_model_answers_to_what_it_takes(rig: Rig, rows: Any) -> None:
    """Against the real server: what it refuses, what is listed, what the gateway does for it."""
    for row in rows:
        answer = await rig.ask(model=MODEL, **{"max_tokens": 2, **row.sample})
        if row.local == "refused":
            assert_refused(answer, row, "local")
            continue
        assert answer.status == 200, f"{row.name}: {answer.text}"
        given = {name for name in row.sample if name != "messages"}
        assert listed(answer) == (given if row.local == "ignored" else set()), row.name
        assert ("x-emulated" in answer.headers) == (row.local == "gateway"), row.name


async def test_the_embedded_model_honours_what_it_is_said_to(rig: Rig) -> None:
    """Effects that can be seen: choices, probabilities, lengths, chance, and a banned token."""

    async def said(**more: Any) -> Any:
        answer = await rig.ask(model=MODEL, **{"max_tokens": 6, "temperature": 0, **more})
        assert answer.status == 200, answer.text
        return answer.json["choices"]

    [plain] = await said(logprobs=True, top_logprobs=2)
    tokens = plain["logprobs"]["content"]
    assert len(tokens) == 6 and all(len(token["top_logprobs"]) == 2 for token in tokens)
    text = plain["message"]["content"]
    assert len(await said(n=2)) == 2
    [short] = await said(max_tokens=2)
    assert text.startswith(short["message"]["content"])
    [stopped] = await said(stop=[text[3:6]])
    assert stopped["message"]["content"] == text[:3]
    assert stopped["finish_reason"] == "stop"
    [one], [same] = [await said(temperature=1, seed=7) for _ in range(2)]
    assert one["message"] == same["message"]
    [first] = [token["id"] for token in tokens[:1]]
    [other] = await said(logit_bias={str(first): -100})
    assert other["message"]["content"] != text
