"""Anthropic's Python package against a gateway: one model after another, told as JSON.

Run with the package's own Python; the models are the arguments.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anthropic

client = anthropic.Anthropic(max_retries=0)


@anthropic.beta_tool
def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: The city's name.
    """
    return f"{city}: fair"


def streamed(model: str, prompt: str, **more: Any) -> dict[str, Any]:
    """One stream through the package's accumulator."""
    kinds = []
    with client.messages.stream(
        model=model, max_tokens=100, messages=[{"role": "user", "content": prompt}], **more
    ) as stream:
        for event in stream:
            kinds.append(event.type)
        message = stream.get_final_message()
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "blocks": [block.type for block in message.content],
        "stop": [message.stop_reason, message.stop_sequence],
        "usage": message.usage.input_tokens > 0 and message.usage.output_tokens > 0,
        "started": kinds.count("message_start"),
    }


def told(model: str) -> dict[str, Any]:
    """Everything that is asked of one model."""
    hello = [{"role": "user", "content": "Hello"}]
    whole = client.messages.create(model=model, max_tokens=100, messages=hello)
    runner = client.beta.messages.tool_runner(
        model=model,
        max_tokens=100,
        tools=[weather],
        messages=[{"role": "user", "content": 'use weather of "Oslo"'}],
    )
    final = runner.until_done()
    streaming = client.beta.messages.tool_runner(
        model=model,
        max_tokens=100,
        tools=[weather],
        messages=[{"role": "user", "content": 'use weather of "Oslo"'}],
        stream=True,
    )
    last = None
    for stream in streaming:
        for _ in stream:
            pass
        last = stream.get_final_message()
    return {
        "whole": whole.content[0].text,
        "request_id": whole._request_id is not None,
        "streamed": streamed(model, "Hello"),
        "stopped": streamed(model, "Hello", stop_sequences=["ell"]),
        "runner": final.content[-1].text,
        "streamed_runner": last.content[-1].text,
        "counted": client.messages.count_tokens(model=model, messages=hello).input_tokens,
        "refused": failure(model, "answer with status 400"),
        "cut": failure(model, "fail midway please, if you can", stream=True),
    }


def failure(model: str, prompt: str, *, stream: bool = False) -> Any:
    """How the package shows an error."""
    try:
        if stream:
            streamed(model, prompt)
        else:
            messages = [{"role": "user", "content": prompt}]
            client.messages.create(model=model, max_tokens=100, messages=messages)
    except anthropic.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.body["error"]["type"]]
    except anthropic.APIError as error:
        return [type(error).__name__, None, None]
    return None


def unknown() -> Any:
    """A model that nobody has."""
    return failure("nobody", "Hello")


def thoughts() -> list[str]:
    """Signed and sealed thoughts, sent back in the next turn."""
    asked = [{"role": "user", "content": "think"}]
    first = client.messages.create(model="claude-opus-4-8", max_tokens=100, messages=asked)
    again = [
        *asked,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": "go on"},
    ]
    second = client.messages.create(model="claude-opus-4-8", max_tokens=100, messages=again)
    return [*(block.type for block in first.content), second.content[-1].text]


shown = {model: told(model) for model in sys.argv[1:]}
print(json.dumps({**shown, "unknown": unknown(), "thoughts": thoughts()}))  # noqa: T201
