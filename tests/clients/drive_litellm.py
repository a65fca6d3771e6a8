"""Runs in the clients' environment: LiteLLM as a client, told as JSON on standard output.

The gateway's address and key come from ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.
"""

import asyncio
import json
import os
import sys

import litellm

litellm.suppress_debug_info = True

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
WHERE = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}


def ask(content, model="openai/gpt-4o", **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return litellm.completion(model=model, messages=messages, **WHERE, **more)


def streamed():
    chunks = list(ask("Say 潮😀", stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks)
    return [whole.choices[0].message.content, whole.usage.total_tokens, len(chunks) > 2]


def tool_loop():
    messages = [{"role": "user", "content": "Compare 'Oslo' and 'Rome'."}]
    called = litellm.stream_chunk_builder(list(ask(messages, tools=[TOOL], stream=True)))
    message = called.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls:
        city = json.loads(call.function.arguments)["city"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}: fair"})
    return [called.choices[0].finish_reason, ask(messages, tools=[TOOL]).choices[0].message.content]


def failure(content, **more):
    try:
        ask(content, max_retries=0, **more)
    except Exception as error:  # noqa: BLE001  # which one is what is asked
        return [type(error).__name__, getattr(error, "status_code", None)]


async def many():
    replies = await asyncio.gather(
        *(
            litellm.acompletion(
                model="openai/gpt-4o",
                messages=[{"role": "user", "content": f"number {number}"}],
                **WHERE,
            )
            for number in range(8)
        )
    )
    return [reply.choices[0].message.content for reply in replies]


reasoned = ask("Why?", model="openai/o4-mini", reasoning_effort="low")
plain = ask("Hello")
told = {
    "plain": [plain.choices[0].message.content, plain.choices[0].finish_reason],
    "usage": [plain.usage.prompt_tokens, plain.usage.completion_tokens],
    "streamed": streamed(),
    "tools": tool_loop(),
    "reasoning": reasoned.choices[0].message.reasoning_content,
    "choices": len(ask("Hello", n=2).choices),
    "json": json.loads(
        ask("JSON with 'a'", response_format={"type": "json_object"}).choices[0].message.content
    ),
    "many": asyncio.run(many()),
    "unknown": failure("Hello", model="openai/no-such-model"),
    "refused": failure("answer with status 400"),
    "limited": failure("answer with status 429", model="openai/gpt-4o-mini"),
}
sys.stdout.write("\n" + json.dumps(told) + "\n")
