"""Tools and JSON over a conversation backend that knows neither, used as the official SDK does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionChunk

from support.rig import Rig, rigging
from support.scripted_backend import Play, Seen, conversation, conversation_events, json_play
from support.shared_rig import OpenScript, fresh

SCRIPT = OpenScript()

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ASKED: list[Any] = [{"role": "user", "content": "How is the weather in Paris and Oslo?"}]
PARIS = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
OSLO = PARIS.replace("Paris", "Oslo")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "ages": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name", "ages"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "person", "schema": PERSON, "strict": True},
}
GOOD = '{"name": "Ann", "ages": [3]}'
BAD = '{"name": "Ann", "ages": [3, "four"]}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One gateway for all tests here."""
    async with rigging(tmp_path_factory.mktemp("emulated") / "data")(SCRIPT) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    """The gateway, without what the last test left."""
    await fresh(shared)
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(rig: Rig) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=rig.gateway.url("/v1"), api_key="anything", max_retries=0
    ) as client:
        yield client


pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(seen: Seen) -> str:
    """The text the backend was sent."""
    text: str = seen.json["messages"][0]["content"]["parts"][0]
    return text


def pieces_of(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


# -- tools -----------------------------------------------------------------------------------


async def test_a_whole_tool_loop(rig: Rig, sdk: openai.AsyncOpenAI) -> None:
    """Two calls at once, their results by id, and the answer made of them."""
    SCRIPT.play([conversation("Let me look.\n\n", PARIS, "\n", OSLO), conversation("Mild, cold.")])
    first = await sdk.chat.completions.create(model="gpt-4o", messages=ASKED, tools=[WEATHER])  # type: ignore[list-item]
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    calls = choice.message.tool_calls
    assert calls is not None
    assert [(c.function.name, c.function.arguments) for c in calls if c.type == "function"] == [
        ("weather", '{"city": "Paris"}'),
        ("weather", '{"city": "Oslo"}'),
    ]
    assert len({call.id for call in calls}) == 2
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{degrees} degrees"}
        for call, degrees in zip(calls, (21, -3), strict=True)
    ]
    messages = [*ASKED, choice.message, *results]
    last = await sdk.chat.completions.create(model="gpt-4o", messages=messages, tools=[WEATHER])  # type: ignore[list-item]
    assert last.choices[0].message.content == "Mild, cold."
    assert last.choices[0].finish_reason == "stop"

    taught, told = (asked(seen) for seen in rig.backend.seen)
    assert '"name":"weather"' in taught and "<tool_call>" in taught
    # The chat goes on byte for byte from where it was: a prompt cache holds.
    instructions = taught.partition("\n\nNow answer this message:")[0]
    assert told.startswith(instructions)
    for call, degrees in zip(calls, (21, -3), strict=True):
        assert f'<tool_call id="{call.id}">' in told
        assert f'<tool_response id="{call.id}" name="weather">\n{degrees} degrees' in told


async def test_a_streamed_call(sdk: openai.AsyncOpenAI) -> None:
    """Id, type and name come once, arguments in pieces, the reason last; nothing of it is text."""
    rest = asyncio.Event()
    texts = ["Look: ", PARIS[:55], f"{PARIS[55:]}\n{OSLO}"]
    SCRIPT.play(Play(pieces=conversation_events(texts), gates={2: rest}))
    stream = await sdk.chat.completions.create(
        model="gpt-4o",
        messages=ASKED,
        tools=[WEATHER],  # type: ignore[list-item]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks: list[ChatCompletionChunk] = []
    async for chunk in stream:
        chunks.append(chunk)
        if "arguments='{" in repr(chunk):  # they stream: the backend goes on only now
            rest.set()
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Look:"
    made: dict[int, list[str]] = {}
    for call in (call for delta in deltas for call in delta.tool_calls or ()):
        assert call.function is not None
        if call.index not in made:
            assert call.id and call.function.name == "weather"
            made[call.index] = []
        made[call.index].append(call.function.arguments or "")
    assert {n: "".join(p) for n, p in made.items()} == {
        0: '{"city": "Paris"}',
        1: '{"city": "Oslo"}',
    }
    reasons = [
        c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason
    ]
    assert reasons == ["tool_calls"]
    # What the model wrote is counted, the markup of its calls too.
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 40


async def test_the_answer_says_what_was_emulated(rig: Rig) -> None:
    """A header names it, in one order; a plain answer has none."""
    SCRIPT.play(conversation(PARIS))
    answer = await rig.ask(tools=[WEATHER], stop="X", max_tokens=500, n=2)
    assert answer.headers["x-emulated"] == "tools, stop, max_tokens, n"
    assert "x-ignored-parameters" not in answer.headers
    SCRIPT.play(conversation(GOOD))
    streamed = await rig.ask(response_format={"type": "json_object"}, stream=True)
    assert streamed.headers["x-emulated"] == "json"
    assert "x-emulated" not in (await rig.ask()).headers


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", True),
        ("none", False),
        ("required", True),
        ({"type": "function", "function": {"name": "weather"}}, True),
        ({"type": "function", "function": {"name": "clock"}}, False),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "clock"}}],
                },
            },
            False,
        ),
    ],
)
async def test_tool_choice(rig: Rig, choice: Any, called: bool) -> None:
    """A call that is not allowed is text; where another one was demanded, that is an error."""
    SCRIPT.play(conversation(PARIS))
    clock = {"type": "function", "function": {"name": "clock"}}
    answer = await rig.ask(tools=[WEATHER, clock], tool_choice=choice)
    if called:
        assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
    elif isinstance(choice, dict) and choice["type"] == "function":
        assert answer.json["error"]["code"] == "tool_call_missing"
        assert len(rig.backend.seen) == 2
    else:
        assert answer.json["choices"][0]["message"]["content"] == PARIS


async def test_a_demanded_call_is_asked_for_again(rig: Rig) -> None:
    """Words alone do not reach the client; the model is told, and calls on the same account."""
    SCRIPT.play([conversation("It is sunny."), conversation(PARIS)])
    answer = await rig.ask(tools=[WEATHER], tool_choice="required")
    message = answer.json["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'
    assert "It is sunny." in asked(rig.backend.seen[1])
    assert "it holds no call" in asked(rig.backend.seen[1])


async def test_one_call_where_parallel_calls_are_off(rig: Rig) -> None:
    """A legacy client, or one that says so, gets one call."""
    SCRIPT.play(conversation(PARIS, "\n", OSLO))
    one = await rig.ask(tools=[WEATHER], parallel_tool_calls=False)
    assert len(one.json["choices"][0]["message"]["tool_calls"]) == 1
    legacy = await rig.ask(functions=[WEATHER["function"]])
    assert legacy.json["choices"][0]["finish_reason"] == "function_call"
    assert legacy.json["choices"][0]["message"]["function_call"]["name"] == "weather"


async def test_functions_are_answered_in_their_own_words(rig: Rig, sdk: openai.AsyncOpenAI) -> None:
    """A call comes back as ``function_call``, streamed too; its result goes back in by its name."""
    fields: Any = {"functions": [WEATHER["function"]], "function_call": {"name": "weather"}}
    SCRIPT.play(conversation("Let me look.\n\n", PARIS))
    stream = await sdk.chat.completions.create(
        model="gpt-4o", messages=ASKED, stream=True, **fields
    )
    name = arguments = ""
    async for chunk in stream:
        (choice,) = chunk.choices
        assert choice.delta.tool_calls is None
        if choice.delta.function_call is not None:
            name += choice.delta.function_call.name or ""
            arguments += choice.delta.function_call.arguments or ""
    assert (name, arguments, choice.finish_reason) == (
        "weather",
        '{"city": "Paris"}',
        "function_call",
    )
    said = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": name, "arguments": arguments},
    }
    result = {"role": "function", "name": "weather", "content": "21 degrees"}
    SCRIPT.play(conversation("Mild."))
    last = await sdk.chat.completions.create(
        model="gpt-4o",
        messages=[*ASKED, said, result],  # type: ignore[list-item]
        functions=fields["functions"],
    )
    assert last.choices[0].message.content == "Mild."
    assert "21 degrees" in asked(rig.backend.seen[-1])


@pytest.mark.parametrize(
    ("name", "code"), [("clock", "invalid_request"), ("weather", "tool_call_missing")]
)
async def test_what_is_wrong_with_functions_is_told_in_their_words(
    rig: Rig, name: str, code: str
) -> None:
    """The client never spoke of tools."""
    SCRIPT.play(conversation("It is sunny."))
    answer = await rig.ask(functions=[WEATHER["function"]], function_call={"name": name})
    error = answer.json["error"]
    assert (error["param"], error["code"]) == ("function_call", code)
    assert "'function_call'" in error["message"]
    assert "tool_choice" not in answer.text and "'tools'" not in answer.text


async def test_stop_strings_and_the_limit_beside_calls(rig: Rig) -> None:
    """A stop string cuts text, not arguments; a limit within a call says ``length``."""
    SCRIPT.play(conversation(f"Well. {PARIS}"))
    answer = await rig.ask(tools=[WEATHER], stop=["Paris"])
    assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
    stopped = await rig.ask(tools=[WEATHER], stop=["ell"])
    assert stopped.json["choices"][0]["finish_reason"] == "stop"
    assert (
        stopped.json["choices"][0]["message"] | {"content": "W"}
        == (stopped.json["choices"][0]["message"])
    )
    cut = (await rig.ask(tools=[WEATHER], max_tokens=20)).json["choices"][0]
    assert cut["finish_reason"] == "length"
    for call in cut["message"].get("tool_calls", ()):
        json.loads(call["function"]["arguments"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "function", "function": {"name": "nope"}},
            },
            "tool_choice",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "x",
                        "schema": {"properties": {"a": {"type": "strnig"}}},
                    },
                }
            },
            "response_format.json_schema.schema",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    rig: Rig, fields: dict[str, Any], param: str
) -> None:
    """A choice of nothing, a schema that is none: 400, and the backend never hears of it."""
    answer = await rig.ask(**fields)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    if "schema" in param:
        assert f"{param}.properties.a.type" in answer.json["error"]["message"]
    assert rig.backend.seen == []


async def test_a_picture_in_a_result_is_refused_by_its_place(rig: Rig) -> None:
    """The backend cannot see it; the error names it where the client put it."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    answer = await rig.ask(
        tools=[WEATHER],
        messages=[
            *ASKED,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [picture]},
        ],
    )
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_parameter")
    assert answer.json["error"]["param"].startswith("messages[2]")


# -- JSON ------------------------------------------------------------------------------------


async def test_json_that_fits_at_once(rig: Rig) -> None:
    """Words and fences around it fall away."""
    SCRIPT.play(conversation("Here it is:\n```json\n", GOOD, "\n```\nAnything else?"))
    answer = await rig.ask(response_format=FORMAT)
    assert answer.json["choices"][0]["message"]["content"] == GOOD
    assert len(rig.backend.seen) == 1
    assert '"additionalProperties":false' in asked(rig.backend.seen[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_json_that_does_not_fit_is_asked_for_again(
    rig: Rig, sdk: openai.AsyncOpenAI, stream: bool
) -> None:
    """The model is told what was wrong; of its first try nothing reaches the client."""
    SCRIPT.play([conversation(*pieces_of(BAD)), conversation(*pieces_of(GOOD))])
    if stream:
        parts = await sdk.chat.completions.create(
            model="gpt-4o",
            messages=ASKED,
            response_format=FORMAT,
            stream=True,  # type: ignore[arg-type]
        )
        text = "".join([part.choices[0].delta.content or "" async for part in parts])
    else:
        whole = await sdk.chat.completions.create(
            model="gpt-4o",
            messages=ASKED,
            response_format=FORMAT,  # type: ignore[arg-type]
        )
        text = whole.choices[0].message.content or ""
    assert text == GOOD
    first, second = rig.backend.seen
    assert first.token == second.token
    assert BAD in asked(second)
    assert 'at $.ages[1]: "four" is not of type "integer"' in asked(second)


@pytest.mark.parametrize("stream", [False, True])
async def test_json_that_never_fits_is_an_error_that_names_the_place(
    rig: Rig, stream: bool
) -> None:
    """Asked twice, not more; the account is not blamed."""
    SCRIPT.play(conversation(BAD))
    answer = await rig.ask(response_format=FORMAT, stream=stream)
    assert answer.status == 502
    error = answer.json["error"]
    assert (error["code"], error["param"]) == ("json_validation_failed", "response_format")
    assert "$.ages[1]" in error["message"]
    assert len(rig.backend.seen) == 2
    assert await rig.states() == {"ready": 1}


async def test_json_object(rig: Rig) -> None:
    """Any object does; no list, and no words."""
    SCRIPT.play([conversation("[1]"), conversation('Sure: {"a": 1,}')])
    answer = await rig.ask(response_format={"type": "json_object"})
    assert answer.json["choices"][0]["message"]["content"] == '{"a": 1}'


async def test_a_fault_between_the_tries_goes_the_usual_way(rig: Rig) -> None:
    """Nothing has left, so a busy backend in between is tried again from the beginning."""
    SCRIPT.play(
        [conversation(BAD), json_play({"detail": "oops"}, 500), conversation(GOOD)],
    )
    answer = await rig.ask(response_format=FORMAT)
    assert answer.json["choices"][0]["message"]["content"] == GOOD


async def test_several_choices_are_each_judged(rig: Rig) -> None:
    """One that fits and one that needs a second try, in one answer."""

    def play(seen: Seen) -> Play:
        return conversation(GOOD if "at $.ages[1]" in asked(seen) else BAD)

    SCRIPT.play(play)
    answer = await rig.ask(response_format=FORMAT, n=2)
    assert [c["message"]["content"] for c in answer.json["choices"]] == [GOOD, GOOD]


async def test_cut_json_says_that_it_is_cut(rig: Rig) -> None:
    """A limit of the client's own ends in ``length``, as it does natively, not in an error."""
    SCRIPT.play(conversation(GOOD))
    choice = (await rig.ask(response_format=FORMAT, max_tokens=3)).json["choices"][0]
    assert choice["finish_reason"] == "length"
    assert GOOD.startswith(choice["message"]["content"])


# -- switched off ----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A gateway that emulates nothing but stop strings."""
    data = tmp_path_factory.mktemp("bare") / "data"
    data.mkdir()
    (data / "config.toml").write_text(
        '[upstreams.conversation]\nkind = "conversation"\nemulate = ["stop"]\n'
    )
    async with rigging(data)([conversation("one two three")]) as rig:
        yield rig


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [WEATHER]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "required"}, "tools"),
        ({"response_format": FORMAT}, "response_format"),
        ({"n": 2}, "n"),
    ],
)
async def test_what_is_switched_off_is_refused_by_name(
    bare: Rig, fields: dict[str, Any], param: str
) -> None:
    """An answer without it would mean something else, so nobody is asked."""
    bare.backend.seen.clear()
    answer = await bare.ask(**fields)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert bare.backend.seen == []


async def test_what_is_left_on_is_emulated_and_the_rest_listed(bare: Rig) -> None:
    """A limit nobody keeps is named as ignored; the stop string still ends the answer."""
    answer = await bare.ask(stop=" three", max_tokens=1)
    assert answer.json["choices"][0]["message"]["content"] == "one two"
    assert answer.headers["x-emulated"] == "stop"
    assert answer.headers["x-ignored-parameters"] == "max_tokens"
