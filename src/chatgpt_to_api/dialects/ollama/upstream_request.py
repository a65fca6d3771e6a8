"""Backend side, the request: the canonical request → the dialect's JSON.

Equal turns give equal bytes: keys stand in one order, nothing random or dated is added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from chatgpt_to_api.chat.effort import effort_of
from chatgpt_to_api.chat.request import (
    AllowedTools,
    Audio,
    ChatRequest,
    File,
    Foreign,
    Image,
    Message,
    NamedTool,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.ollama.arguments import as_object
from chatgpt_to_api.dialects.ollama.images import bare_data
from chatgpt_to_api.dialects.ollama.messages import DIALECT, OPTION
from chatgpt_to_api.errors import InvalidRequest

_SHARED: Final = frozenset({"logprobs", "top_logprobs"})
"""Parameters of chat completions that are called and mean the same here."""
_LEVELS: Final = re.compile(r"(?:.*/)?gpt-oss")
"""Models that think as hard as they are told to. Others refuse a level, and some refuse to be told
to think at all, but think by themselves where they can."""


def ignored_names(request: ChatRequest) -> tuple[str, ...]:
    """Name, in the client's words, the given parameters that this dialect has no place for.

    Raises InvalidRequest for what the answer would have to be, and for what cannot be shown.
    """
    choice = request.tool_choice
    if choice == "required" or isinstance(choice, NamedTool) or _must(choice):
        param = request.named("tool_choice")
        raise InvalidRequest(
            f"An Ollama server cannot be made to call a tool, as {param!r} demands, and this "
            "upstream's setting 'emulate' keeps the gateway from seeing to it; 'tools' in it would "
            "have it do so.",
            param=param,
            code="unsupported_parameter",
        )
    for place, message in enumerate(request.messages):
        for number, part in enumerate(message.parts):
            _check(part, f"messages[{place}].content[{number}]")
    names = list(request.left_out(n for n in request.extras if not _shares(request.dialect, n)))
    if request.parallel_tool_calls is False and request.tools:
        names.append("parallel_tool_calls")
    names += (n for n in ("user", "prompt_cache_key") if getattr(request, n) is not None)
    names += _unheeded(request)
    return tuple(map(request.named, names))


def _unheeded(request: ChatRequest) -> Iterator[str]:
    """Name how hard a model is to think, where it thinks as hard as it does."""
    if request.dialect == DIALECT or _LEVELS.match(request.model):
        return
    if request.reasoning_effort not in (None, "none"):
        yield "reasoning_effort"
    if request.reasoning_budget:
        yield "reasoning_budget"


def _must(choice: object) -> bool:
    return isinstance(choice, AllowedTools) and choice.mode == "required"


def _check(part: Part, param: str) -> None:
    match part:
        case Image():
            bare_data(part, param)
        case Audio():
            raise _cannot(param, "hear audio")
        case File():
            raise _cannot(param, "read files")
        case SpokenAnswer():
            raise _cannot(param, "know an answer by its sound")
        case ToolResult(parts=parts):
            for inner in parts:
                if not isinstance(inner, Foreign):
                    _check(inner, param)
        case _:
            pass


def _cannot(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The upstream cannot {what}, as '{param}' demands.",
        param=param,
        code="unsupported_parameter",
    )


def _shares(dialect: str, name: str) -> bool:
    return dialect in ("", DIALECT) or (dialect == "openai_chat" and name in _SHARED)


def request_object(request: ChatRequest, model: str) -> dict[str, Any]:
    """Return the request for the upstream's ``model``."""
    extras = {n: value for n, value in request.extras.items() if _shares(request.dialect, n)}
    body: dict[str, Any] = {"model": model, "messages": list(_messages(request.messages))}
    tools = [_tool(tool) for tool in _callable(request)]
    if tools:
        body["tools"] = tools
    if request.json is not None:
        body["format"] = "json" if request.json.schema is None else request.json.schema
    options = dict(_options(request))
    options |= {n.removeprefix(OPTION): v for n, v in extras.items() if n.startswith(OPTION)}
    if options:
        body["options"] = options
    body["stream"] = request.stream
    think = extras.pop("think", None) if request.dialect == DIALECT else _think(request, model)
    if think is not None:
        body["think"] = think
    return body | {n: value for n, value in extras.items() if not n.startswith(OPTION)}


def _options(request: ChatRequest) -> Iterator[tuple[str, Any]]:
    if request.max_tokens is not None:
        yield "num_predict", request.max_tokens
    if request.stop:
        yield "stop", list(request.stop)
    for name in (
        "temperature",
        "top_k",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
    ):
        value = getattr(request.sampling, name)
        if value is not None:
            yield name, value


def _think(request: ChatRequest, model: str) -> bool | str | None:
    effort = request.reasoning_effort
    if effort is None and request.reasoning_budget is not None:
        effort = effort_of(request.reasoning_budget)
    if effort == "none":
        return False
    if effort is None or not _LEVELS.match(model):
        return None
    return effort if effort in ("low", "medium", "high") else _nearest(effort)


def _nearest(effort: str) -> str:
    return "low" if effort == "minimal" else "high"


def _callable(request: ChatRequest) -> Iterable[Tool]:
    """Give the tools that may be called: the dialect cannot say it in another way."""
    if request.tool_choice == "none":
        return ()
    if isinstance(request.tool_choice, AllowedTools):
        names = request.tool_choice.names
        return (tool for tool in request.tools if tool.name in names)
    return request.tools


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    return {"type": "function", "function": function}


# -- messages --------------------------------------------------------------------------------


def _messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Give each message; one with tool results becomes one message for each result."""
    names: dict[str, str] = {}  # of the tools that were called, by the call's id
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            yield _result(result, names)
        parts = tuple(p for p in message.parts if not isinstance(p, ToolResult | Foreign))
        if message.role == "assistant":
            yield _assistant(parts)
            names.update((p.id, p.name) for p in parts if isinstance(p, ToolCall))
        elif parts or not results:
            role = "system" if message.role == "developer" else message.role
            yield {"role": role, **_said(parts)}


def _result(result: ToolResult, names: Mapping[str, str]) -> dict[str, Any]:
    fields = {"role": "tool", **_said(tuple(p for p in result.parts if not isinstance(p, Foreign)))}
    if result.call_id in names:
        fields["tool_name"] = names[result.call_id]
    fields["tool_call_id"] = result.call_id
    return fields


def _assistant(parts: tuple[Part, ...]) -> dict[str, Any]:
    fields = {"role": "assistant", **_said(parts)}
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    if thought:
        fields["thinking"] = thought
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    if calls:
        fields["tool_calls"] = calls
    return fields


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": as_object(call.arguments)}}


def _said(parts: tuple[Part, ...]) -> dict[str, Any]:
    """Return the words, one text however many parts there were, and the pictures."""
    texts = [part.text for part in parts if isinstance(part, Text | Refusal)]
    fields: dict[str, Any] = {"content": "\n".join(texts)}
    shown = [bare_data(part, "messages") for part in parts if isinstance(part, Image)]
    if shown:
        fields["images"] = shown
    return fields
