"""A Responses server behind chat completions: the same meaning, however the server is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from support.access_tokens import jwt
from support.gateway_process import Answer, gateway_process
from support.responses_replies import call, custom_call, events, message, response, sse, thought
from support.rig import Rig
from support.scripted_backend import Play, Seen, json_play, scripted_backend
from support.shared_rig import OpenScript, events_of, fresh, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN: Final = jwt(4e9, account="acc-1")
CONFIG: Final = """
[upstreams.vendor]
kind = "openai-responses"
base_url = "{base}"
api_keys = ["sk-vendor"]
models = ["gpt-x", "gpt-5.1"]

[upstreams.odd]
kind = "openai-responses"
base_url = "{base}"
api_keys = ["{token}"]
models = ["odd"]
always_streams = true
account_header = "ChatGPT-Account-Id"
refused_parameters = ["max_output_tokens", "temperature"]
headers = {{ originator = "us" }}
"""
WEATHER: Final = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
PATCH: Final = {"type": "custom", "custom": {"name": "patch"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"object": "list", "data": [{"id": "gpt-x"}, {"id": "gpt-5.1"}]})
        return script(seen)

    data = tmp_path_factory.mktemp("responses") / "data"
    data.mkdir()
    async with scripted_backend(serve) as backend:
        config = CONFIG.format(base=backend.url("/v1"), token=TOKEN)
        (data / "config.toml").write_text(config)
        with gateway_process(data) as gateway:
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


def posts(rig: Rig) -> list[Seen]:
    return [seen for seen in rig.backend.seen if seen.method == "POST"]


def answers(output: list[Any], **more: Any) -> Any:
    """A server that streams where it is asked to."""
    return lambda seen: (
        Play(pieces=sse(events(output, **more)))
        if seen.json.get("stream")
        else json_play(response(output, **more))
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_with_thoughts_words_and_calls(
    rig: Rig, script: OpenScript, stream: bool
) -> None:
    """All of it reaches the client in its own dialect, streamed or not."""
    script.play(
        answers(
            [
                thought("Hm.", "gAAA="),
                message("Let me look."),
                call("weather", '{"city":"Paris"}'),
                custom_call("patch", "+x", call_id="call_2"),
            ]
        )
    )
    answer = await rig.ask(
        model="gpt-x",
        tools=[WEATHER, PATCH],
        stream=stream,
        stream_options={"include_usage": True} if stream else None,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    )
    assert answer.status == 200, answer.text
    assert "x-emulated" not in answer.headers
    assert "x-ignored-parameters" not in answer.headers
    called = [
        {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
        {"type": "custom", "custom": {"name": "patch", "input": "+x"}},
    ]
    if stream:
        chunks = events_of(answer)
        assert text_of(chunks) == "Let me look."
        assert chunks[-2]["usage"]["total_tokens"] == 17
        ends = [c["finish_reason"] for e in chunks[:-1] for c in e["choices"]]
        assert ends[-1] == "tool_calls"
    else:
        [choice] = answer.json["choices"]
        said = choice["message"]
        assert (said["content"], said["reasoning_content"]) == ("Let me look.", "Hm.")
        told = said["tool_calls"]
        assert [c.pop("id") for c in told] == ["call_1", "call_2"]
        assert told == called
        assert choice["finish_reason"] == "tool_calls"
        assert answer.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 8
    [seen] = posts(rig)
    assert (seen.path, seen.token) == ("/v1/responses", "sk-vendor")
    asked = seen.json
    assert asked["instructions"] == "Be brief."
    assert asked["store"] is False
    assert [tool["type"] for tool in asked["tools"]] == ["function", "custom"]


async def test_a_conversation_goes_back_as_items(rig: Rig, script: OpenScript) -> None:
    """Calls and results of earlier turns, in their order."""
    script.play(answers([message("Sunny.")]))
    function = {"name": "weather", "arguments": "{}"}
    history = [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "22 °C"},
    ]
    answer = await rig.ask(model="gpt-x", messages=history, tools=[WEATHER])
    assert answer.json["choices"][0]["message"]["content"] == "Sunny."
    assert posts(rig)[0].json["input"][1:] == [
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "22 °C"},
    ]


async def test_what_the_dialect_has_not_is_done_or_named(rig: Rig, script: OpenScript) -> None:
    """Stop strings and several answers by the gateway; a seed nobody honours."""
    script.play(answers([message("one.two")]))
    answer = await rig.ask(model="gpt-x", n=2, stop=".", seed=1)
    assert [c["message"]["content"] for c in answer.json["choices"]] == ["one", "one"]
    assert answer.headers["x-emulated"] == "stop, n"
    assert answer.headers["x-ignored-parameters"] == "seed"
    assert not {"n", "stop", "seed"} & posts(rig)[0].json.keys()


async def test_an_answer_of_its_greatest_length(rig: Rig, script: OpenScript) -> None:
    """Trap 54."""
    details = {"reason": "max_output_tokens"}
    script.play(
        lambda seen: json_play(
            response([message("Hal")], status="incomplete", incomplete_details=details)
        )
    )
    answer = await rig.ask(model="gpt-x", max_tokens=20)
    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert posts(rig)[0].json["max_output_tokens"] == 20


async def test_an_odd_server_is_asked_as_it_wants_to_be(rig: Rig, script: OpenScript) -> None:
    """It always streams, wants the account and a header, and refuses two parameters."""
    script.play(Play(pieces=sse(events([message("Collected.")]))))
    answer = await rig.ask(model="odd", max_tokens=50, temperature=0.5)
    assert answer.json["choices"][0]["message"]["content"] == "Collected."
    assert answer.headers["x-ignored-parameters"] == "max_tokens, temperature"
    [seen] = posts(rig)
    assert seen.json["stream"] is True
    assert not {"max_output_tokens", "temperature"} & seen.json.keys()
    assert seen.headers["chatgpt-account-id"] == "acc-1"
    assert seen.headers["originator"] == "us"


async def test_an_overload_inside_a_good_status_is_asked_again(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 7: before any content; the client sees one clean answer."""
    busy = {"code": "server_is_overloaded", "message": "Busy."}
    begun = events([message("x")])[:2]
    failed = {"type": "response.failed", "response": response([], status="failed", error=busy)}
    script.play([Play(pieces=sse([*begun, failed])), Play(pieces=sse(events([message("Hi.")])))])
    answer = await rig.ask(model="gpt-x", stream=True)
    assert text_of(events_of(answer)) == "Hi."
    assert len(posts(rig)) == 2


@pytest.mark.parametrize("cut", ["failed", "eof"])
async def test_a_failure_after_content_is_told_and_nothing_follows(
    rig: Rig, script: OpenScript, cut: str
) -> None:
    """Traps 3 and 4."""
    sent = sse(events([message("Hello there.")]))[:6]
    error = {"code": "server_error", "message": "Oh."}
    failed = {"type": "response.failed", "response": response([], status="failed", error=error)}
    script.play(Play(pieces=sent + (sse([failed]) if cut == "failed" else [])))
    answer = await rig.ask(model="gpt-x", stream=True)
    told = events_of(answer)
    assert text_of(told).startswith("Hel")
    assert "error" in told[-1]
    assert answer.text.rstrip().endswith("}")
    assert len(posts(rig)) == 1


# -- through the door of its own dialect -----------------------------------------------------

SEALED: Final = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA-elsewhere"}
MINE: Final = {"type": "message", "role": "user", "content": "Go on."}
NOT_MINE: Final = {
    "error": {
        "message": "The encrypted content gAAA... could not be verified.",
        "type": "invalid_request_error",
        "code": "invalid_encrypted_content",
    }
}


async def respond(rig: Rig, body: dict[str, Any]) -> Answer:
    text = json.dumps({"store": False, **body}, separators=(", ", ":"))
    return await rig.fetch("/v1/responses", method="POST", body=text)


def particular(output: list[Any]) -> Any:
    """A server that takes nothing that was sealed elsewhere."""

    def play(seen: Seen) -> Play:
        if "gAAA-elsewhere" in seen.body.decode():
            return json_play(NOT_MINE, 400)
        played: Play = answers(output)(seen)
        return played

    return play


@pytest.mark.parametrize("stream", [False, True])
async def test_what_another_has_sealed_is_asked_without_once(
    rig: Rig, script: OpenScript, stream: bool
) -> None:
    """Trap 52, relayed: every other item keeps its bytes, and the reply is the server's own."""
    script.play(particular([message("Gone on.")]))
    call = {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "y"}
    answer = await respond(
        rig, {"model": "gpt-x", "input": [MINE, SEALED, call, output], "stream": stream}
    )
    assert answer.status == 200, answer.text
    assert "resp_1" in answer.text
    assert "Gone on." in answer.text
    first, second = posts(rig)
    assert first.json["input"] == [MINE, SEALED, call, output]
    assert second.json == {**first.json, "input": [MINE, call, output]}
    assert second.token == "sk-vendor"


async def test_an_answer_that_is_collected_is_asked_without_once_too(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 52, translated; the next turn is asked without it at once."""

    def play(seen: Seen) -> Play:
        if "gAAA-elsewhere" in seen.body.decode():
            return json_play(NOT_MINE, 400)
        return Play(pieces=sse(events([message("Gone on.")])))

    script.play(play)
    for asked in (2, 1):
        rig.backend.seen.clear()
        answer = await respond(rig, {"model": "odd", "input": [MINE, SEALED, MINE]})
        assert answer.status == 200, answer.text
        [said] = answer.json["output"]
        assert said["content"][0]["text"] == "Gone on."
        assert len(posts(rig)) == asked
    assert [item["type"] for item in posts(rig)[0].json["input"]] == ["message", "message"]


async def test_it_is_not_asked_a_third_time(rig: Rig, script: OpenScript) -> None:
    """Trap 52: what is refused without it, too, is the client's to hear."""
    script.play(json_play(NOT_MINE, 400))
    answer = await respond(rig, {"model": "gpt-x", "input": [MINE, SEALED]})
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_encrypted_content")
    assert len(posts(rig)) == 2
    rig.backend.seen.clear()
    answer = await respond(rig, {"model": "gpt-x", "input": [MINE]})
    assert answer.status == 400
    assert len(posts(rig)) == 1


async def test_a_relayed_request_keeps_its_bytes_and_its_session(
    rig: Rig, script: OpenScript
) -> None:
    """What nobody here knows goes through; the client's key does not."""
    script.play(answers([message("Hi.")]))
    body = '{"model": "gpt-x", "store": false, "input": [ {"type":"new_item"} ], "new": 1.0e2}'
    headers = {"session-id": "s-1", "authorization": "Bearer anything", "x-codex-x": "y"}
    answer = await rig.fetch("/v1/responses", method="POST", body=body, headers=headers)
    assert answer.status == 200, answer.text
    [seen] = posts(rig)
    assert seen.body.decode() == body
    assert (seen.token, seen.headers["session-id"], seen.headers["x-codex-x"]) == (
        "sk-vendor",
        "s-1",
        "y",
    )


async def test_its_models_are_listed(rig: Rig) -> None:
    """By the names that are configured."""
    listed = await rig.fetch("/v1/models")
    assert {"gpt-x", "gpt-5.1", "odd"} <= {model["id"] for model in listed.json["data"]}


async def test_a_long_call_is_seen_while_it_is_written(rig: Rig, script: OpenScript) -> None:
    """Its name and the first of its arguments reach the client before the server ends it."""
    written = sse(events([call("weather", '{"city":"Paris"}')]))
    rest = next(n for n, event in enumerate(written) if b"arguments.delta" in event) + 2
    gate = asyncio.Event()
    script.play(Play(pieces=written, gates={rest: gate}))
    async with rig.stream(model="gpt-x", tools=[WEATHER]) as (reader, _):
        seen = await reader.readuntil(b'"arguments":"{\\"c')
        assert b'"name":"weather"' in seen
        gate.set()
        seen += await reader.readuntil(b"[DONE]")
    pieces = [
        piece["function"]["arguments"]
        for line in seen.split(b"\n")
        if line.startswith(b"data: {")
        for choice in json.loads(line[6:])["choices"]
        for piece in choice["delta"].get("tool_calls", ())
    ]
    assert "".join(pieces) == '{"city":"Paris"}'


async def test_a_call_that_is_taken_back_fails_the_answer(rig: Rig, script: OpenScript) -> None:
    """The client is told not to run what it saw; the next call waits until it is whole."""
    written = events([call("weather", '{"city":"Paris"}')])
    for event in written:
        if event["type"].endswith("arguments.delta"):
            event["delta"] = event["delta"].replace("a", "o")
    script.play(Play(pieces=sse(written)))
    asked: dict[str, Any] = {"model": "odd", "stream": True, "tools": [WEATHER]}
    failed = await rig.ask("Hi", **asked)
    assert "other arguments" in events_of(failed)[-1]["error"]["message"]
    held = events_of(await rig.ask("Hi", **asked))[:-1]
    said = [c["delta"].get("tool_calls") for e in held for c in e["choices"]]
    assert "".join(p["function"]["arguments"] for t in said for p in t or ()) == '{"city":"Paris"}'
