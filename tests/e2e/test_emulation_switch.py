"""What is emulated at which upstream is a setting of each: what it turns on, and what stays off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from support.gateway_process import gateway_process
from support.rig import Rig
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    json_play,
    scripted_backend,
)
from support.shared_rig import OpenScript, events_of, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG: Final = """
[upstreams.native]
kind = "openai"
base_url = "{openai}"
models = ["native"]

[upstreams.toolless]
kind = "openai"
base_url = "{openai}"
models = ["toolless"]
endpoints = ["chat", "models", "embeddings"]
emulate = ["tools"]

[upstreams.functions]
kind = "openai"
base_url = "{openai}"
models = ["functions"]
capabilities = ["tools", "json"]

[upstreams.single]
kind = "openai"
base_url = "{openai}"
models = ["single"]
emulate = ["n", "stop"]

[upstreams.conversation]
base_url = "{conversation}"
models = ["web"]
emulate = ["tools", "stop"]

[[routes]]
model = "either"
candidates = [
    {{ upstream = "conversation", model = "web" }},
    {{ upstream = "native", model = "native" }},
]

[[routes]]
model = "native-first"
candidates = [
    {{ upstream = "native", model = "native" }},
    {{ upstream = "toolless", model = "toolless" }},
]

[[routes]]
model = "none-but-web"
candidates = [{{ upstream = "conversation", model = "web" }}]
"""
WEATHER: Final = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
PARIS: Final = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
JSON: Final = {"type": "json_object"}
VECTOR: Final = {
    "object": "list",
    "model": "toolless",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


def whole(*texts: str, **more: Any) -> Play:
    """A server's answer that is not streamed, one choice for each text."""
    choices = [
        {"index": n, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}
        for n, t in enumerate(texts)
    ]
    reply = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", **more}
    return json_play({**reply, "choices": choices})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"object": "list", "data": []})
        return script(seen)

    data = tmp_path_factory.mktemp("switch") / "data"
    data.mkdir()
    async with scripted_backend(serve) as backend:
        config = CONFIG.format(openai=backend.url("/v1"), conversation=backend.url())
        (data / "config.toml").write_text(config)
        with gateway_process(data, ACCESS_TOKENS="tok-a") as gateway:
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    reset = await shared.admin("POST", "/admin/tokens/reset")
    assert reset.status == 200, reset.text
    shared.backend.seen.clear()
    return shared


def posts(rig: Rig) -> list[Seen]:
    """What was asked for; lists of models are asked for beside it."""
    return [seen for seen in rig.backend.seen if seen.method == "POST"]


# -- a server that is given tools ------------------------------------------------------------


async def test_what_needs_nothing_goes_through_byte_for_byte(rig: Rig, script: OpenScript) -> None:
    """Fields nobody knows, several choices, JSON and stop strings are the server's own business."""
    script.play(whole("one", "two", vendor={"kept": True}))
    fields: dict[str, Any] = {"n": 2, "stop": ["x"], "response_format": JSON, "unknown": [1, {}]}
    answer = await rig.ask(model="toolless", **fields)
    assert answer.json["vendor"] == {"kept": True}
    assert "x-emulated" not in answer.headers
    [seen] = posts(rig)
    asked = {"model": "toolless", "messages": [{"role": "user", "content": "hello"}], **fields}
    assert seen.body == json.dumps(asked).encode()


async def test_embeddings_are_not_touched(rig: Rig, script: OpenScript) -> None:
    """No vector ever needed a tool."""
    script.play(json_play(VECTOR))
    body = json.dumps({"model": "toolless", "input": "hi"})
    answer = await rig.fetch("/v1/embeddings", method="POST", body=body)
    assert (answer.status, answer.json) == (200, VECTOR), answer.text


async def test_tools_are_told_in_words_and_calls_found(rig: Rig, script: OpenScript) -> None:
    """The server sees no parameter that it does not know."""
    script.play(whole(f"Let me see. {PARIS}"))
    answer = await rig.ask(model="toolless", tools=[WEATHER], tool_choice="auto")
    [choice] = answer.json["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'
    assert answer.headers["x-emulated"] == "tools"
    [seen] = posts(rig)
    assert not {"tools", "tool_choice"} & seen.json.keys()
    assert '"name":"weather"' in seen.json["messages"][0]["content"]


async def test_several_answers_with_tools_are_asked_for_one_by_one(
    rig: Rig, script: OpenScript
) -> None:
    """Each may have to be asked for again; the header says that they were made here.

    That was found out by reading the request whole: the parts made of it do not keep its ``n``.
    """
    script.play([whole(PARIS), whole("Sunny.")])
    answer = await rig.ask(model="toolless", tools=[WEATHER], n=2)
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1]
    reasons = {choice["finish_reason"] for choice in answer.json["choices"]}
    assert reasons == {"tool_calls", "stop"}
    assert answer.headers["x-emulated"] == "tools, n"
    assert [seen.json.get("n", 1) for seen in posts(rig)] == [1, 1]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_is_asked_for_twice_costs_the_writing_of_both(
    rig: Rig, script: OpenScript, stream: bool
) -> None:
    """As the server reports it, each time anew."""
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}

    def play(text: str) -> Play:
        if not stream:
            return whole(text, usage=usage)
        chunks = chat_chunks([text])
        told = {"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": usage}
        return Play(pieces=[*chunks[:-1], f"data: {json.dumps(told)}\n\n".encode(), chunks[-1]])

    script.play([play("It is sunny."), play(PARIS)])
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    answer = await rig.ask(
        model="toolless", tools=[WEATHER], tool_choice="required", stream=stream, **more
    )
    assert answer.status == 200, answer.text
    last = events_of(answer)[-2] if stream else answer.json
    assert last["usage"]["prompt_tokens"] == 100
    assert last["usage"]["completion_tokens"] == 14
    assert last["usage"]["total_tokens"] == 114


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_does_not_cut_into_a_call(
    rig: Rig, script: OpenScript, stream: bool
) -> None:
    """A server that stopped by itself would stop amid the arguments: it is not told the string."""

    def serve(seen: Seen) -> Play:
        text = f"Look. {PARIS}"
        for stop in seen.json.get("stop", ()):
            text = text.partition(stop)[0]
        return Play(pieces=chat_chunks([text])) if stream else whole(text)

    script.play(serve)
    answer = await rig.ask(model="toolless", tools=[WEATHER], stop=["Paris", "!"], stream=stream)
    assert "Paris" in answer.text
    assert '"finish_reason":"tool_calls"' in answer.text.replace(": ", ":")
    assert answer.headers["x-emulated"] == "tools, stop"
    script.play(whole("Sunny! Or not."))
    words = await rig.ask(model="toolless", tools=[WEATHER], stop=["Paris", "!"])
    assert words.json["choices"][0]["message"]["content"] == "Sunny"


async def test_a_grammar_does_not_keep_a_call_from_being_written(
    rig: Rig, script: OpenScript
) -> None:
    """A server held to JSON could not write the tags of a call: JSON is asked for in words too."""

    def serve(seen: Seen) -> Play:
        return whole('{"a": 1}' if "response_format" in seen.json else PARIS)

    script.play(serve)
    called = await rig.ask(model="toolless", tools=[WEATHER], response_format=JSON)
    assert called.json["choices"][0]["finish_reason"] == "tool_calls"
    assert called.headers["x-emulated"] == "tools, json"
    script.play(whole('Here: {"a": 1}'))
    words = await rig.ask(model="toolless", tools=[WEATHER], response_format=JSON)
    assert words.json["choices"][0]["message"]["content"] == '{"a": 1}'
    # Without a call to be written the server may as well do it by itself.
    script.play(serve)
    none = await rig.ask(
        model="toolless", tools=[WEATHER], tool_choice="none", response_format=JSON
    )
    assert none.json["choices"][0]["message"]["content"] == '{"a": 1}'
    assert none.headers["x-emulated"] == "tools"


async def test_hosted_tools_are_listed_where_tools_are_told_in_words(
    rig: Rig, script: OpenScript
) -> None:
    """There are no words for them; the server, which has no tools, is not sent them either."""
    script.play(whole("Sunny."))
    answer = await rig.ask(model="toolless", tools=[WEATHER, {"type": "hosted"}])
    assert answer.status == 200, answer.text
    assert answer.headers["x-ignored-parameters"] == "tools[hosted]"
    assert "tools" not in posts(rig)[0].json


# -- freeform tools --------------------------------------------------------------------------

PATCH: Final = {
    "type": "custom",
    "custom": {
        "name": "apply_patch",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
    },
}
EDIT: Final = {"type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin\n+é"}}
IN_WORDS: Final = (
    '<tool_call>\n{"name": "apply_patch", "arguments": {"input": "*** Begin\\n+é"}}\n</tool_call>'
)
WRAPPED: Final = '{"input":"*** Begin\\n+\\u00e9"}'
PAST: Final = [
    {"role": "user", "content": "Edit."},
    {"role": "assistant", "tool_calls": [{"id": "c1", **EDIT}]},
    {"role": "tool", "tool_call_id": "c1", "content": "Done."},
]


def called_in_chunks(*pieces: str, gates: dict[int, asyncio.Event]) -> Play:
    """A streamed call of the patch tool; ``gates`` are awaited before pieces of its arguments."""
    function = {"name": "apply_patch", "arguments": ""}
    calls: list[Any] = [{"id": "c9", "type": "function", "function": function}]
    calls += [{"function": {"arguments": piece}} for piece in pieces]
    deltas: list[Any] = [{"tool_calls": [{"index": 0, **call}]} for call in calls]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    said = [f"data: {json.dumps({'id': 'x', 'model': 'm', **c})}\n\n".encode() for c in chunks]
    return Play(
        pieces=[*said, b"data: [DONE]\n\n"],
        gates={number + 1: gate for number, gate in gates.items()},
    )


async def test_a_server_with_functions_alone_gets_freeform_tools_as_such(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 50: tool, choice and past call go there as a function's; the new one comes back raw."""
    function = {"name": "apply_patch", "arguments": WRAPPED}
    call = {"id": "c9", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    script.play(json_play({"id": "x", "object": "chat.completion", "choices": [choice]}))
    named = {"type": "custom", "custom": {"name": "apply_patch"}}
    answer = await rig.ask(
        model="functions", tools=[PATCH, WEATHER], tool_choice=named, messages=PAST
    )
    assert answer.headers["x-emulated"] == "freeform"
    [choice] = answer.json["choices"]
    assert choice["message"]["tool_calls"] == [{"id": "c9", **EDIT}]
    assert choice["finish_reason"] == "tool_calls"
    asked = posts(rig)[0].json
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}
    patch, weather = asked["tools"]
    assert patch["function"]["parameters"]["required"] == ["input"]
    assert "start: /x/" in patch["function"]["description"]
    assert weather == WEATHER
    [past] = asked["messages"][1]["tool_calls"]
    assert past["type"] == "function"
    assert json.loads(past["function"]["arguments"]) == {"input": EDIT["custom"]["input"]}


async def test_plain_text_streams_out_of_a_functions_arguments(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 50: the text is there while the call is still being written, but for half an escape."""
    seen = asyncio.Event()
    script.play(called_in_chunks('{"inp', 'ut":"*** Be\\u00', 'e9"}', gates={2: seen}))
    async with rig.stream(model="functions", tools=[PATCH]) as (reader, _):
        begun = await reader.readuntil(b"*** Be")
        assert b"x-emulated: freeform" in begun.lower()
        assert b'"type":"custom","custom":{"name":"apply_patch","input":""}' in begun
        seen.set()
        rest = await reader.readuntil(b"[DONE]")
    assert '"custom":{"input":"é"}'.encode() in rest
    assert b'"finish_reason":"tool_calls"' in rest


@pytest.mark.parametrize("model", ["web", "toolless"])
async def test_freeform_tools_in_words(rig: Rig, script: OpenScript, model: str) -> None:
    """Trap 50: also where there are no tools at all, past calls included."""
    script.play(conversation(IN_WORDS) if model == "web" else whole(IN_WORDS))
    answer = await rig.ask(model=model, tools=[PATCH, WEATHER], messages=PAST)
    assert answer.status == 200, answer.text
    assert answer.headers["x-emulated"] == "tools, freeform"
    assert "x-ignored-parameters" not in answer.headers
    [call] = answer.json["choices"][0]["message"]["tool_calls"]
    assert {"type": call["type"], "custom": call["custom"]} == EDIT
    assert b"start: /x/" in posts(rig)[0].body
    assert rb"\"input\":\"*** Begin" in posts(rig)[0].body


async def test_a_server_with_freeform_tools_gets_them_untouched(
    rig: Rig, script: OpenScript
) -> None:
    """The relay lane knows nothing of them."""
    script.play(whole("Hi"))
    answer = await rig.ask(model="native", tools=[PATCH], messages=PAST)
    assert "x-emulated" not in answer.headers
    assert posts(rig)[0].json["tools"] == [PATCH]
    assert posts(rig)[0].json["messages"] == PAST


# -- a server that gives one answer ----------------------------------------------------------


async def test_it_is_asked_once_for_each_answer(rig: Rig, script: OpenScript) -> None:
    """Each call asks for one, and is cut at its own stop string."""
    script.play([whole("one.two"), whole("three.four")])
    answer = await rig.ask(model="single", n=2, stop=".")
    assert {c["message"]["content"] for c in answer.json["choices"]} == {"one", "three"}
    assert answer.headers["x-emulated"] == "stop, n"
    assert [seen.json.get("n", 1) for seen in posts(rig)] == [1, 1]


# -- a backend with part of it switched off --------------------------------------------------


@pytest.mark.parametrize("tools", [{}, {"tools": [WEATHER]}], ids=["words", "tools"])
@pytest.mark.parametrize("model", ["web", "none-but-web"])
async def test_several_answers_are_refused_whatever_else_is_emulated(
    rig: Rig, script: OpenScript, model: str, tools: dict[str, Any]
) -> None:
    """Where ``n`` is off it is off with tools, too; nobody is asked."""
    script.play(conversation("hi"))
    answer = await rig.ask(model=model, n=2, **tools)
    assert (answer.status, answer.json["error"]["param"]) == (400, "n"), answer.text
    assert answer.json["error"]["code"] == "unsupported_parameter"
    assert posts(rig) == []


async def test_several_answers_go_to_the_candidate_that_gives_them(
    rig: Rig, script: OpenScript
) -> None:
    """The next one is asked, once, for all of them."""
    script.play(whole("one", "two"))
    answer = await rig.ask(model="either", n=2)
    assert len(answer.json["choices"]) == 2
    assert answer.headers["x-upstream"] == "native"
    assert [seen.json["n"] for seen in posts(rig)] == [2]


async def test_what_only_the_first_candidate_takes_is_asked_of_it(
    rig: Rig, script: OpenScript
) -> None:
    """A role that nobody here knows is the first server's to judge, whatever the second lacks."""
    script.play(whole("one", "two"))
    messages = [{"role": "narrator", "content": "Once."}, {"role": "user", "content": "Then?"}]
    answer = await rig.ask(model="native-first", messages=messages, tools=[WEATHER], n=2)
    assert (answer.status, answer.headers["x-upstream"]) == (200, "native"), answer.text
    [seen] = posts(rig)
    assert (seen.json["messages"], seen.json["n"]) == (messages, 2)
    refused = await rig.ask(model="toolless", messages=messages, tools=[WEATHER], n=2)
    assert (refused.status, refused.json["error"]["param"]) == (400, "messages[0].role")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": JSON}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ],
)
async def test_what_is_off_is_refused_or_asked_of_the_next(
    rig: Rig, script: OpenScript, fields: dict[str, Any], param: str
) -> None:
    """Strict or not: an answer without it would not be what was asked for."""
    script.play(whole('{"a": 1}'))
    refused = await rig.ask(model="web", **fields)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    assert refused.json["error"]["code"] == "unsupported_parameter"
    assert posts(rig) == []
    answer = await rig.ask(model="either", **fields)
    assert (answer.status, answer.headers["x-upstream"]) == (200, "native")


async def test_the_stream_of_a_backend_with_tools_on_keeps_to_its_stop_string(
    rig: Rig, script: OpenScript
) -> None:
    """What is left on works beside what is off."""
    script.play(conversation("one two", " three"))
    answer = await rig.ask(model="web", tools=[WEATHER], stop=" t", max_tokens=1, stream=True)
    assert text_of(events_of(answer)) == "one"
    assert answer.headers["x-emulated"] == "tools, stop"
    assert answer.headers["x-ignored-parameters"] == "max_tokens"
