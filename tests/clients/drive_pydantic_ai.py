"""Runs in the clients' environment: agents of Pydantic AI, told as JSON on standard output.

The gateway's address and key come from ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.
"""

import asyncio
import json
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, PromptedOutput
from pydantic_ai.models.openai import OpenAIChatModel

MODEL = OpenAIChatModel(sys.argv[1])


class Place(BaseModel):
    city: str
    people: int


def weather_agent(**more):
    agent = Agent(MODEL, **more)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"{city}: fair"

    return agent


async def streamed(agent, prompt):
    async with agent.run_stream(prompt) as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
        return ["".join(pieces), len(pieces) > 1, run.usage.output_tokens > 0]


async def steps(prompt):
    """What an agent does, node by node."""
    kinds = []
    async with weather_agent().iter(prompt) as run:
        async for node in run:
            kinds.append(type(node).__name__)
    return [kinds, run.result.output]


async def structured(output):
    run = await weather_agent(output_type=output).run("It is 'Vaduz', with 5696 people.")
    return [run.output.model_dump(), run.usage.requests]


async def failure(model):
    try:
        await Agent(OpenAIChatModel(model)).run("Hello")
    except ModelHTTPError as error:
        return [error.status_code, error.body["code"]]


async def main():
    plain = await Agent(MODEL, instructions="Be brief.").run("Hello")
    return {
        "plain": plain.output,
        "history": (await Agent(MODEL).run("And?", message_history=plain.all_messages())).output,
        "streamed": await streamed(Agent(MODEL), "Say 潮 and more"),
        "tool": (await weather_agent().run("How is it in 'Oslo'?")).output,
        "two tools": await steps("Compare 'Oslo' and 'Rome'."),
        "streamed tool": await streamed(weather_agent(), "How is it in 'Oslo'?"),
        "output by tool": await structured(Place),
        "output by schema": await structured(NativeOutput(Place)),
        "output by prompt": await structured(PromptedOutput(Place)),
        "unknown": await failure("no-such-model"),
    }


sys.stdout.write("\n" + json.dumps(asyncio.run(main())) + "\n")
