"""Runs in an environment with the ollama package: a session with one model, told as JSON on stdout.

Arguments: the model, one that sees (or "-"), one that embeds (or "-"). Address and key come from
OLLAMA_HOST and OLLAMA_API_KEY.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import ollama

model, seeing, embedding = sys.argv[1:]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
client = ollama.Client()


def user(content: str, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content, **more}]


def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
      city: The name of the city.
    """
    return f"{city}: fair"


def tool_loop() -> list[Any]:
    """The package's own way: functions as tools, run until the answer is text."""
    messages: list[Any] = user('Weather in "Oslo"')
    rounds = 0
    while True:
        reply = client.chat(model, messages=messages, tools=[weather])
        rounds += 1
        if not reply.message.tool_calls:
            return [reply.message.content, rounds]
        messages.append(reply.message)
        for call in reply.message.tool_calls:
            said = weather(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": said})


def streamed_tools() -> list[Any]:
    calls = []
    for part in client.chat(model, user('Weather in "Oslo"'), tools=[weather], stream=True):
        calls += part.message.tool_calls or []
    return [[call.function.name, dict(call.function.arguments)] for call in calls]


def failure(**more: Any) -> list[Any]:
    try:
        result = client.chat(**{"model": model, "messages": user("Hello"), **more})
        if more.get("stream"):
            for _ in result:
                pass
    except ollama.ResponseError as error:
        return [error.status_code, bool(error.error), '{"' in error.error]
    return ["no error"]


def final(part: Any) -> list[Any]:
    times = [part.total_duration, part.prompt_eval_duration, part.eval_duration]
    counts = [part.prompt_eval_count, part.eval_count]
    return [part.done, part.done_reason, all(t > 0 for t in times), all(c > 0 for c in counts)]


async def asynchronously() -> dict[str, Any]:
    other = ollama.AsyncClient()
    reply = await other.chat(model, user("Hello"))
    pieces = [
        part.message.content async for part in await other.chat(model, user("Hello"), stream=True)
    ]
    generated = await other.generate(model, "Hello")
    return {
        "whole": reply.message.content,
        "streamed": "".join(pieces),
        "generated": generated.response,
        "listed": model in {m.model.removesuffix(":latest") for m in (await other.list()).models},
    }


parts = list(client.chat(model, user("Hello"), stream=True))
whole = client.chat(model, user("Hello"))
generated = list(client.generate(model, "Hello", system="Be brief.", stream=True))
shown = client.show(model)
told: dict[str, Any] = {
    "whole": [whole.message.role, whole.message.content],
    "final": final(parts[-1]),
    "whole_final": final(whole),
    "streamed": "".join(part.message.content or "" for part in parts),
    "generated": "".join(part.response for part in generated),
    "generated_final": final(generated[-1]),
    "loop": tool_loop(),
    "streamed_tools": streamed_tools(),
    "json": json.loads(
        client.chat(model, user('"Vaduz" has 5696 people'), format=SCHEMA).message.content
    ),
    "options": client.chat(
        model, user("Hello"), options={"num_predict": 100, "temperature": 0.1}, keep_alive="5m"
    ).message.content,
    "list": sorted(m.model for m in client.list().models),
    "show": [shown.capabilities, bool(shown.modelinfo), shown.details.family],
    "ps": sorted(m.model for m in client.ps().models),
    "loaded": client.generate(model).done_reason,
    "unknown": failure(model="nobody-has-it"),
    "refused": failure(messages=user("answer with status 400")),
    "broken": failure(messages=user("fail midway please"), stream=True),
    "async": asyncio.run(asynchronously()),
}
try:
    client.pull("llama3.2")
except ollama.ResponseError as error:
    told["pull"] = [error.status_code, error.error]
if seeing != "-":
    picture = base64.b64decode(PIXEL)
    told["image"] = client.chat(seeing, user("What is it?", images=[picture])).message.content
if embedding != "-":
    vectors = client.embed(embedding, ["a", "bcd"])
    one = client.embeddings(embedding, "a")
    told["embed"] = [len(vectors.embeddings), len(vectors.embeddings[0]), len(one.embedding)]
sys.stdout.write(json.dumps(told) + "\n")
