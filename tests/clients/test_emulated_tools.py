"""Agents over a backend that only knows text: the tools they bring are told to it in words.

What answers here is a model as one would wish it: it reads in the text it is sent which tools there
are and what they returned, and calls in the words it was taught.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, pydantic_function_tool
from pydantic import BaseModel

from support.client_environments import program_of, told_by
from support.rig import Rig, rigging
from support.scripted_backend import Play, Seen, conversation
from support.shared_rig import fresh

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRIVER: Final = Path(__file__).parent / "drive_emulated_tools.py"
COMPARE: Final = "Compare 'Oslo' and 'Rome'."
PLACE: Final = "It is 'Vaduz', with 5696 people."
VADUZ: Final = {"city": "Vaduz", "people": 5696}
CALLS: Final = [["get_weather", {"city": "Oslo"}], ["get_weather", {"city": "Rome"}]]

_RESULT: Final = re.compile(
    r'<tool_response id="[^"]+" name="get_weather">\s*(.*?)\s*</tool_response>'
)


def call_of(name: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def model(seen: Seen) -> Play:
    """Calls the tool that fits what is asked; tells what the last calls gave back."""
    [message] = seen.json["messages"]
    text: str = message["content"]["parts"][0]
    before, _, asked = text.rpartition("Now answer this message:\n\n")
    if results := _RESULT.findall(asked):
        return conversation("I was told: ", *("; ".join(results)))
    if asked.startswith("It is"):
        found = {"city": asked.split("'")[1], "people": int(re.findall(r"\d+", asked)[0])}
        if "<tools>" not in before:
            return conversation(json.dumps(found))
        listed = before.partition("<tools>\n")[2].partition("\n</tools>")[0].splitlines()
        tools = [json.loads(line) for line in listed]
        [name] = [t["name"] for t in tools if "people" in t["parameters"].get("properties", {})]
        return conversation(*_pieces(call_of(name, found)))
    cities = re.findall(r"'(\w+)'", asked)
    calls = "\n".join(call_of("get_weather", {"city": city}) for city in cities)
    # A streamed run of Pydantic AI takes words before a call for the answer.
    said = "Let me look.\n\n" if len(cities) > 1 else ""
    return conversation(*_pieces(said + calls))


def _pieces(text: str) -> list[str]:
    return [text[at : at + 9] for at in range(0, len(text), 9)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rigging(tmp_path_factory.mktemp("agents") / "data")(model) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(shared: Rig, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the clients of the other environment had to say."""
    return await asyncio.to_thread(
        told_by,
        tmp_path_factory.mktemp("home") / "home",
        program_of("openai"),
        str(DRIVER),
        OPENAI_BASE_URL=shared.gateway.url("/v1"),
        OPENAI_API_KEY="anything",
    )


# A tool is named as its class.
class get_weather(BaseModel):
    """Tell the weather of a city."""

    city: str


class Place(BaseModel):
    city: str
    people: int


async def test_the_openai_package_streams_parses_and_goes_on(rig: Rig) -> None:
    """Its own accumulator reads the calls' pieces, its parser the arguments and the JSON."""
    url = rig.gateway.url("/v1")
    tools: list[Any] = [pydantic_function_tool(get_weather)]
    messages: list[Any] = [{"role": "user", "content": COMPARE}]
    async with AsyncOpenAI(base_url=url, api_key="anything", max_retries=0) as sdk:
        chat = sdk.chat.completions
        async with chat.stream(model="gpt-4o", messages=messages, tools=tools) as stream:
            kinds = [event.type async for event in stream]
            first = (await stream.get_final_completion()).choices[0]
        assert kinds.count("tool_calls.function.arguments.done") == 2
        assert kinds.count("tool_calls.function.arguments.delta") > 2
        assert first.finish_reason == "tool_calls"
        assert first.message.content == "Let me look."
        calls = first.message.tool_calls or []
        parsed = [call.function.parsed_arguments for call in calls]
        assert parsed == [get_weather(city="Oslo"), get_weather(city="Rome")]
        messages.append({"role": "assistant", **first.message.model_dump(include={"content"})})
        messages[-1]["tool_calls"] = [
            call.model_dump(exclude={"function": {"parsed_arguments"}, "index": True})
            for call in calls
        ]
        for call, city in zip(calls, ("Oslo", "Rome"), strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}: fair"})
        last = await chat.create(model="gpt-4o", messages=messages, tools=tools)
        assert last.choices[0].message.content == "I was told: Oslo: fair; Rome: fair"
        question: list[Any] = [{"role": "user", "content": PLACE}]
        place = await chat.parse(model="gpt-4o", messages=question, response_format=Place)
        assert place.choices[0].message.parsed == Place(**VADUZ)
    assert all(not {"tools", "response_format"} & seen.json.keys() for seen in rig.backend.seen)


async def test_langchain_binds_tools(told: Any) -> None:
    """Whole and streamed, a chosen tool, and structured output in both of its ways."""
    said = told["langchain"]
    for way in ("whole", "streamed"):
        text, calls, invalid, reason, counted, answer = said[way]
        assert (text, calls, invalid, reason) == ("Let me look.", CALLS, [], "tool_calls"), way
        assert counted, way
        assert answer == "I was told: Oslo: fair; Rome: fair", way
    assert said["forced"] == [["Place", VADUZ]]
    assert said["function_calling"] == said["json_schema"] == VADUZ


async def test_pydantic_ai_runs_an_agent(told: Any) -> None:
    """Two calls at once, a stream, a history that holds calls, and checked output by a tool."""
    said = told["pydantic_ai"]
    assert said["plain"] == ["I was told: Oslo: fair; Rome: fair", 2, 2]
    assert said["streamed"] == "I was told: Oslo: fair"
    assert said["further"] == "I was told: Bern: fair"
    assert said["output"] == VADUZ
