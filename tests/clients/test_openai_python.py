"""The official openai package against the gateway, in front of a vendor that leaves nothing out."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from support.vendor.refusals import STATUSES
from support.vendor.server import DIMENSIONS, KEY
from support.vendor.serving import CLIENT_KEY, Served, serving

PIXEL: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n, no more than a name").decode()
WAVE: Final = base64.b64encode(b"RIFF....WAVEfmt ").decode()

WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK: Final = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
CITY: Final = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "strict": True,
        "schema": WEATHER["function"]["parameters"],  # type: ignore[index]
    },
}
IMAGE: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
CALLED: Final = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}


def user(*content: Any) -> list[dict[str, Any]]:
    """Messages: one, of a text or of parts."""
    return [{"role": "user", "content": content[0] if len(content) == 1 else list(content)}]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "plain": {"messages": user("Say 'it' \"so\" \\ 潮😀")},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, *user("Hello")]},
    "several": {"messages": user("Hello"), "n": 3},
    "limited": {"messages": user("one two three four five"), "max_completion_tokens": 4},
    "stopped": {"messages": user("one two STOP three"), "stop": ["STOP", "\n\n"]},
    "logprobs": {"messages": user("Hello 潮"), "logprobs": True, "top_logprobs": 3},
    "reasoning": {"model": "o4-mini", "messages": user("Why?"), "reasoning_effort": "high"},
    "refused": {"messages": user("Please refuse this.")},
    "tool": {"messages": user("How is it in 'Oslo'?"), "tools": [WEATHER, CLOCK]},
    "parallel": {
        "messages": user("get_weather of 'São Paulo' and get_time, please"),
        "tools": [WEATHER, CLOCK],
        "parallel_tool_calls": True,
    },
    "one at a time": {
        "messages": user("'Oslo' and 'Rome'"),
        "tools": [WEATHER],
        "parallel_tool_calls": False,
    },
    "named tool": {
        "messages": user("What time is it?"),
        "tools": [WEATHER, CLOCK],
        "tool_choice": {"type": "function", "function": {"name": "get_time"}},
    },
    "allowed tools": {
        "messages": user("What now?"),
        "tools": [WEATHER, CLOCK],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "get_time"}}],
            },
        },
    },
    "no tool": {"messages": user("What now?"), "tools": [WEATHER], "tool_choice": "none"},
    "tool result": {
        "messages": [
            *user("How is it in 'Oslo'?"),
            {"role": "assistant", "content": None, "tool_calls": [CALLED]},
            {"role": "tool", "tool_call_id": "call_1", "content": [text("−3 °C, snow")]},
        ],
        "tools": [WEATHER],
    },
    "function": {
        "messages": user("How is it in 'Oslo'?"),
        "functions": [WEATHER["function"]],
        "function_call": "auto",
    },
    "function result": {
        "messages": [
            *user("How is it in 'Oslo'?"),
            {"role": "assistant", "content": None, "function_call": CALLED["function"]},
            {"role": "function", "name": "get_weather", "content": "−3 °C"},
        ],
        "functions": [WEATHER["function"]],
    },
    "schema": {"messages": user("Where? In 'Zürich'."), "response_format": CITY},
    "json": {
        "messages": user("JSON with 'setup' and 'end'"),
        "response_format": {"type": "json_object"},
    },
    "image": {"messages": user(text("What is this?"), IMAGE)},
    "linked image": {
        "messages": user(
            text("And this?"), {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}
        )
    },
    "sound and file": {
        "messages": user(
            text("Both?"),
            {"type": "input_audio", "input_audio": {"data": WAVE, "format": "wav"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}"}},
        )
    },
    "searched": {"messages": user("What is new?"), "web_search_options": {}},
    "every dial": {
        "messages": user("Turn it."),
        "temperature": 0.3,
        "top_p": 0.9,
        "seed": 7,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logit_bias": {"50256": -100},
        "metadata": {"who": "a test"},
        "store": False,
        "service_tier": "flex",
        "verbosity": "low",
        "prompt_cache_key": "a-key",
        "safety_identifier": "someone",
        "user": "someone",
        "prediction": {"type": "content", "content": "You said: Turn it."},
    },
}


@pytest.fixture(scope="module")
def client(standing: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=standing.base_url, api_key=CLIENT_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def sdk(client: OpenAI, served: Served) -> OpenAI:
    return client


@pytest.fixture(scope="module")
def direct(standing: Served) -> Iterator[OpenAI]:
    """The same client at the vendor itself."""
    with OpenAI(base_url=standing.vendor.url("/v1"), api_key=KEY, max_retries=0) as client:
        yield client


def asynchronous(served: Served, **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=served.base_url, api_key=CLIENT_KEY, max_retries=0, **more)


def asked(name: str) -> dict[str, Any]:
    return {"model": "gpt-4o", **REQUESTS[name]}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_whole_reply_is_the_vendors(sdk: OpenAI, direct: OpenAI, name: str) -> None:
    """Asked through the gateway or of the vendor itself, the answer is the same, field by field."""
    through = sdk.chat.completions.create(**asked(name))
    itself = direct.chat.completions.create(**asked(name))
    assert through.model_dump() == itself.model_dump()
    ChatCompletion.model_validate(through.model_dump(), extra="forbid" if _plain(name) else None)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_stream_is_the_vendors(sdk: OpenAI, direct: OpenAI, name: str) -> None:
    """The same chunks, one by one, with usage and without."""
    for options in ({}, {"stream_options": {"include_usage": True}}):
        through = list(sdk.chat.completions.create(**asked(name), stream=True, **options))
        itself = list(direct.chat.completions.create(**asked(name), stream=True, **options))
        assert [c.model_dump() for c in through if c.choices] == [
            c.model_dump() | ({} if options else {"usage": None}) for c in itself if c.choices
        ]
        assert [c.usage for c in through if c.usage] == [c.usage for c in itself if c.usage]
        for chunk in through:
            ChatCompletionChunk.model_validate(chunk.model_dump())


def _plain(name: str) -> bool:
    return name not in ("reasoning",)  # ``reasoning_content`` is in no description


def calls(message: Any) -> list[tuple[str, str, str]]:
    """Id, name and arguments of a message's tool calls."""
    found = message.tool_calls or ()
    return [(call.id, call.function.name, call.function.arguments) for call in found]


GATHERED: Final = [name for name in REQUESTS if "function" not in name and name != "limited"]
"""The package does not gather legacy functions, and raises for an answer cut at its limit."""


@pytest.mark.parametrize("name", GATHERED)
def test_the_sdks_accumulator_makes_the_whole_reply_of_a_stream(sdk: OpenAI, name: str) -> None:
    """``stream()`` puts chunks together; it gets what a request without streaming gets."""
    whole = sdk.chat.completions.create(**asked(name))
    options = {"include_usage": True}
    with sdk.chat.completions.stream(**asked(name), stream_options=options) as stream:
        kinds = {event.type for event in stream}
        gathered = stream.get_final_completion()
    assert gathered.usage == whole.usage
    for got, expected in zip(gathered.choices, whole.choices, strict=True):
        assert got.finish_reason == expected.finish_reason
        assert got.message.content == expected.message.content
        assert got.message.refusal == expected.message.refusal
        assert got.logprobs == expected.logprobs
        assert calls(got.message) == calls(expected.message)
        if expected.message.tool_calls:
            assert "tool_calls.function.arguments.done" in kinds
        elif expected.message.refusal:
            assert "refusal.done" in kinds
        else:
            assert "content.done" in kinds


# -- helpers of the package -----------------------------------------------------------------------


class Place(BaseModel):
    city: str
    kind: Literal["town", "village"]
    people: int
    sights: list[str]
    ruler: str | None


PLACE: Final = "It is 'Vaduz', with 5696 people."


def test_parse_returns_an_object_of_the_callers_class(sdk: OpenAI) -> None:
    """``.parse()``, whole and streamed: strict schema out, checked values in."""
    reply = sdk.chat.completions.parse(model="gpt-4o", messages=user(PLACE), response_format=Place)
    place = reply.choices[0].message.parsed
    assert place == Place(
        city="Vaduz", kind="town", people=5696, sights=["some sights"], ruler="some ruler"
    )
    with sdk.chat.completions.stream(
        model="gpt-4o", messages=user(PLACE), response_format=Place
    ) as stream:
        last = [event.parsed for event in stream if event.type == "content.delta"][-1]
        assert stream.get_final_completion().choices[0].message.parsed == place
    assert isinstance(last, dict) and last["city"] == "Vaduz"  # as far as it had come


async def test_parse_tells_a_refusal_and_a_cut_answer(served: Served) -> None:
    """What is no object is not made one."""
    async with asynchronous(served) as sdk:
        refused = await sdk.chat.completions.parse(
            model="gpt-4o", messages=user("Please refuse."), response_format=Place
        )
        assert refused.choices[0].message.parsed is None
        assert refused.choices[0].message.refusal == "I'm sorry, I can't help with that."
        with pytest.raises(openai.LengthFinishReasonError):
            await sdk.chat.completions.parse(
                model="gpt-4o", messages=user(PLACE), response_format=Place, max_tokens=2
            )


class get_weather(BaseModel):
    """Tell the weather of a city."""

    city: str


def test_a_tool_loop_ends_with_an_answer_made_of_the_results(sdk: OpenAI) -> None:
    """Calls parsed by the package, in parallel, their results sent back, the answer told."""
    tools = [openai.pydantic_function_tool(get_weather)]
    messages: list[Any] = user("Compare 'Oslo' with '東京'.")
    rounds = 0
    while True:
        rounds += 1
        with sdk.chat.completions.stream(model="gpt-4o", messages=messages, tools=tools) as stream:
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            break
        messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in message.tool_calls:
            wanted = call.function.parsed_arguments
            assert isinstance(wanted, get_weather)
            weather = f"{wanted.city}: fair"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": weather})
    assert rounds == 2
    assert message.content == "I was told: Oslo: fair; 東京: fair"


async def test_many_at_once_each_gets_its_own(served: Served) -> None:
    """Streams side by side never mix."""
    async with asynchronous(served) as sdk:

        async def ask(number: int) -> str:
            stream = await sdk.chat.completions.create(
                model="gpt-4o", messages=user(f"number {number}"), stream=True
            )
            pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
            return "".join(pieces)

        said = await asyncio.gather(*(ask(number) for number in range(40)))
    assert said == [f"You said: number {number}" for number in range(40)]


def test_raw_responses_show_headers_and_bytes(sdk: OpenAI) -> None:
    """``with_raw_response`` and ``with_streaming_response``; the request's id is where it looks."""
    raw = sdk.chat.completions.with_raw_response.create(**asked("plain"))
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    reply = raw.parse()
    assert raw.request_id == reply._request_id == raw.headers["x-request-id"]
    assert json.loads(raw.text)["choices"][0]["message"]["content"] == (
        reply.choices[0].message.content
    )
    with sdk.chat.completions.with_streaming_response.create(
        **asked("plain"), stream=True
    ) as streaming:
        assert streaming.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in streaming.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[:-1])


def test_fields_the_package_does_not_know_go_both_ways(sdk: OpenAI, served: Served) -> None:
    """``extra_body`` reaches the vendor, who refuses it by name; a field of its own comes back."""
    with pytest.raises(openai.BadRequestError, match="supplied: top_k"):
        sdk.chat.completions.create(**asked("plain"), extra_body={"top_k": 3})
    assert served.vendor.seen[-1].json["top_k"] == 3
    reply = sdk.chat.completions.create(**asked("reasoning"))
    thought = reply.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    assert thought == "The question has 1 words."


def test_models_are_listed_and_found(sdk: OpenAI) -> None:
    """What the vendor serves, as the package's own types."""
    assert {"gpt-4o", "gpt-4o-mini", "o4-mini"} <= {model.id for model in sdk.models.list()}
    assert sdk.models.retrieve("o4-mini").object == "model"


def test_embeddings_are_the_vendors(sdk: OpenAI, direct: OpenAI) -> None:
    """A text, a list, token ids; as the package asks by itself (base64), as floats, and shorter."""
    asked: list[dict[str, Any]] = [
        {"input": "A cat sleeps. 潮"},
        {"input": ["one", "two"], "encoding_format": "float"},
        {"input": [[1, 2, 3], [4]]},
        {"input": "short", "dimensions": 4},
    ]
    for more in asked:
        through = sdk.embeddings.create(model="gpt-4o", **more)
        assert through.model_dump() == direct.embeddings.create(model="gpt-4o", **more).model_dump()
        size = more.get("dimensions", DIMENSIONS)
        assert [len(item.embedding) for item in through.data] == [size] * len(through.data)
    with pytest.raises(openai.NotFoundError):
        sdk.embeddings.create(model="no-such-model", input="x")


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refusal_of_the_vendor_is_the_packages_own_error(
    sdk: OpenAI, served: Served, status: int, raised: type[openai.APIStatusError], stream: bool
) -> None:
    """Class, status, code and words are what the vendor meant; it was asked once."""
    with pytest.raises(raised) as failure:
        sdk.chat.completions.create(
            model="gpt-4o", messages=user(f"answer with status {status}"), stream=stream
        )
    assert failure.value.status_code == status
    assert failure.value.code
    assert STATUSES[status][0] in failure.value.message
    assert failure.value.request_id == failure.value.response.headers["x-request-id"]
    assert len(served.vendor.seen) == 1


def test_a_wrong_key_is_an_authentication_error(served: Served) -> None:
    """The gateway's own keys; what the vendor is shown is the gateway's credential."""
    sdk = OpenAI(base_url=served.base_url, api_key="sk-other", max_retries=0)
    with sdk, pytest.raises(openai.AuthenticationError) as failure:
        sdk.chat.completions.create(**asked("plain"))
    assert failure.value.code == "invalid_api_key"
    assert served.vendor.seen == []


def test_an_unknown_model_is_not_found(sdk: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as failure:
        sdk.chat.completions.create(model="no-such-model", messages=user("Hello"))
    assert failure.value.code == "model_not_found"


def test_a_faulty_request_is_named_before_it_leaves(sdk: OpenAI, served: Served) -> None:
    """The package lets it pass; the gateway says where it is wrong."""
    with pytest.raises(openai.BadRequestError) as failure:
        sdk.chat.completions.create(
            model="gpt-4o",
            messages=user("Hello"),
            temperature="hot",  # type: ignore[arg-type]
        )
    assert failure.value.param == "temperature"
    assert served.vendor.seen == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_server_error_is_tried_again_by_the_gateway(
    sdk: OpenAI, served: Served, stream: bool
) -> None:
    """Once: the package never hears of it. Always: its InternalServerError."""
    once = f"answer with status 500 once ({stream})"
    reply = sdk.chat.completions.create(model="gpt-4o", messages=user(once), stream=stream)
    assert reply is not None
    if stream:
        reply.close()
    with pytest.raises(openai.InternalServerError) as failure:
        sdk.chat.completions.create(
            model="gpt-4o", messages=user("answer with status 500"), stream=stream
        )
    assert failure.value.status_code in (502, 503)
    assert len(served.vendor.seen) > 3


async def test_a_rate_limit_carries_the_time_and_the_package_waits_for_it(served: Served) -> None:
    """``Retry-After`` is true, and the package's own second try is answered."""
    limited = user("answer with status 429 once in 2 s")
    async with asynchronous(served) as sdk:
        with pytest.raises(openai.RateLimitError) as failure:
            await sdk.chat.completions.create(model="gpt-4o-mini", messages=limited)
        assert failure.value.code == "rate_limit_exceeded"
        assert failure.value.response.headers["retry-after"] in ("1", "2")
        patient = sdk.with_options(max_retries=1).chat.completions.with_raw_response
        begun = asyncio.get_running_loop().time()
        raw = await patient.create(model="gpt-4o-mini", messages=limited)
        assert asyncio.get_running_loop().time() - begun > 0.9
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content == f"You said: {limited[0]['content']}"


@pytest.mark.parametrize("way", ["cut the stream", "fail midway when released"])
def test_a_broken_stream_raises_after_what_was_said(sdk: OpenAI, way: str) -> None:
    """A cut reply never looks whole."""
    stream = sdk.chat.completions.create(
        model="gpt-4o", messages=user(f"{way} and say no more, please"), stream=True
    )
    said = ""

    def read() -> None:
        nonlocal said
        for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if said:  # an error in the same read as the first words would come instead of them
                sdk.chat.completions.create(model="gpt-4o", messages=user("release"))

    with pytest.raises(openai.APIError) as failure:
        read()
    assert said.startswith("You said:") and not said.endswith("please")
    assert failure.value.message


async def test_who_gives_up_frees_the_vendor(served: Served) -> None:
    """The package's timeout hangs up, and the vendor's connection goes with it."""
    async with asynchronous(served, timeout=0.3) as sdk:
        with pytest.raises(openai.APITimeoutError):
            await sdk.chat.completions.create(model="gpt-4o", messages=user("say nothing for ever"))
    await asyncio.to_thread(served.vendor_is_free)


def test_no_gateway_is_a_connection_error(tmp_path: Any) -> None:
    """Gone in the middle of a stream, and not there at all."""
    with serving(tmp_path / "data") as served:
        sdk = OpenAI(base_url=served.base_url, api_key=CLIENT_KEY, max_retries=0)
        stream = sdk.chat.completions.create(
            model="gpt-4o", messages=user("stop halfway for ever"), stream=True
        )
        chunks = iter(stream)
        assert next(chunks).choices
        served.gateway.kill()
        with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
            list(chunks)
        with pytest.raises(openai.APIConnectionError):
            sdk.models.list()
