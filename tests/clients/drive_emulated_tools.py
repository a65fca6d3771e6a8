"""Runs in the clients' environment: tools through a backend that only knows text, told as JSON.

The gateway's address and key come from ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.
"""

import asyncio
import json
import sys

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

COMPARE = "Compare 'Oslo' and 'Rome'."
PLACE = "It is 'Vaduz', with 5696 people."


class Place(BaseModel):
    """A place."""

    city: str
    people: int


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"{city}: fair"


def summed(chunks):
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


def langchain():
    chat = ChatOpenAI(model="gpt-4o", stream_usage=True, max_retries=0)
    weather = tool(get_weather)
    bound = chat.bind_tools([weather])
    told = {}
    for way, ask in (("whole", bound.invoke), ("streamed", lambda m: summed(bound.stream(m)))):
        messages = [HumanMessage(COMPARE)]
        called = ask(messages)
        messages += [called, *(weather.invoke(call) for call in called.tool_calls)]
        told[way] = [
            called.text,
            [[call["name"], call["args"]] for call in called.tool_calls],
            called.invalid_tool_calls,
            called.response_metadata["finish_reason"],
            called.usage_metadata["output_tokens"] > 0,
            ask(messages).text,
        ]
    forced = chat.bind_tools([weather, Place], tool_choice="Place").invoke(PLACE)
    told["forced"] = [[call["name"], call["args"]] for call in forced.tool_calls]
    for method in ("function_calling", "json_schema"):
        place = chat.with_structured_output(Place, method=method).invoke(PLACE)
        told[method] = place.model_dump()
    return told


async def pydantic_ai():
    model = OpenAIChatModel("gpt-4o")
    agent = Agent(model, tools=[get_weather], instructions="Be brief.")
    plain = await agent.run(COMPARE)
    async with agent.run_stream("How is it in 'Oslo'?") as run:
        streamed = "".join([piece async for piece in run.stream_text(delta=True)])
    further = await agent.run("And in 'Bern'?", message_history=plain.all_messages())
    place = await Agent(model, tools=[get_weather], output_type=Place).run(PLACE)
    return {
        "plain": [plain.output, plain.usage.requests, plain.usage.tool_calls],
        "streamed": streamed,
        "further": further.output,
        "output": place.output.model_dump(),
    }


told = {"langchain": langchain(), "pydantic_ai": asyncio.run(pydantic_ai())}
sys.stdout.write("\n" + json.dumps(told) + "\n")
