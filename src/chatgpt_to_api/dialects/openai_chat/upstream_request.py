"""Backend side, the request: the canonical request → the dialect's JSON.

Equal turns give equal bytes: keys stand in one order, nothing random or dated is added.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.effort import effort_of
from chatgpt_to_api.chat.request import (
    AllowedTools,
    Audio,
    ChatRequest,
    File,
    Foreign,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    understood,
)
from chatgpt_to_api.dialects.openai.requests import SHARED_EXTRAS, thinks
from chatgpt_to_api.dialects.openai_chat.extra_content import extra_content
from chatgpt_to_api.dialects.openai_chat.messages import DIALECT

ALL_SHARED: Final = ("", DIALECT, "openai_completions")
"""Dialects whose requests mean here what they mean there."""
_SOME_SHARED: Final = ("openai_responses",)
_SAMPLING: Final = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
)


def fixed_sampling(request: ChatRequest) -> tuple[str, ...]:
    """Name the given sampling parameters that a model which thinks refuses, so they stay out."""
    if not thinks(request.model):
        return ()
    return tuple(n for n in _SAMPLING if getattr(request.sampling, n) is not None)


def foreign_names(request: ChatRequest) -> tuple[str, ...]:
    """Name, in the client's words, the given parameters that this dialect has no place for."""
    names = ["top_k"] if request.sampling.top_k is not None else []
    names += request.left_out(n for n in request.extras if not _shares(request.dialect, n))
    return tuple(map(request.named, names))


def _shares(dialect: str, name: str) -> bool:
    """Whether an extra of a client's ``dialect`` means the same here."""
    return dialect in ALL_SHARED or (dialect in _SOME_SHARED and name in SHARED_EXTRAS)


def request_object(request: ChatRequest, model: str, *, include_usage: bool) -> dict[str, Any]:
    """Return the request for the upstream's ``model``; a stream is asked for usage if so wished."""
    thinking = thinks(model)
    body: dict[str, Any] = {"model": model, "messages": list(_messages(request.messages))}
    if request.stream:
        body["stream"] = True
        if include_usage:
            body["stream_options"] = {"include_usage": True}
    if request.n != 1:
        body["n"] = request.n
    if request.max_tokens is not None:
        # The older name is the one every server knows; models that think take only the newer.
        body["max_completion_tokens" if thinking else "max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    for name in _SAMPLING:
        value = getattr(request.sampling, name)
        if value is not None and not thinking:
            body[name] = value
    if request.sampling.seed is not None:
        body["seed"] = request.sampling.seed
    extras = {n: value for n, value in request.extras.items() if _shares(request.dialect, n)}
    tools = [_tool(tool) for tool in request.tools] + list(extras.pop("tools", ()))
    if tools:
        body["tools"] = tools
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice, request.tools)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.json is not None:
        body["response_format"] = _json_format(request.json)
    effort = request.reasoning_effort
    if effort is None and request.reasoning_budget is not None:
        effort = effort_of(request.reasoning_budget)
        if effort == "none" and not thinking:
            effort = None  # many servers refuse the parameter for models that do not think anyway
    if effort is not None:
        body["reasoning_effort"] = effort
    if request.user is not None:
        body["user"] = request.user
    if request.prompt_cache_key is not None:
        body["prompt_cache_key"] = request.prompt_cache_key
    options = extras.pop("stream_options", None)
    if options and request.stream:
        body["stream_options"] = body.get("stream_options", {}) | options
    return body | extras


def _tool(tool: Tool) -> dict[str, Any]:
    vendor = understood(tool.vendor, DIALECT)
    if tool.freeform:
        return {"type": "custom", "custom": _freeform(tool), **vendor}
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function, **vendor}


def _freeform(tool: Tool) -> dict[str, Any]:
    custom: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        custom["description"] = tool.description
    if tool.grammar is not None:
        grammar = {"syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
        custom["format"] = {"type": "grammar", "grammar": grammar}
    return custom


def _tool_choice(choice: ToolChoice, tools: Iterable[Tool]) -> Any:
    freeform = frozenset(tool.name for tool in tools if tool.freeform)
    match choice:
        case NamedTool(name):
            return _named_tool(name, freeform)
        case AllowedTools(names, mode):
            allowed = [_named_tool(name, freeform) for name in names]
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        case _:
            return choice


def _named_tool(name: str, freeform: Container[str]) -> dict[str, Any]:
    kind = "custom" if name in freeform else "function"
    return {"type": kind, kind: {"name": name}}


def _json_format(form: JsonFormat) -> dict[str, Any]:
    if form.schema is None and form.name is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": form.name or "answer"}
    if form.description is not None:
        schema["description"] = form.description
    if form.schema is not None:
        schema["schema"] = form.schema
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


# -- messages --------------------------------------------------------------------------------


def _messages(messages: Iterable[Message]) -> Iterable[dict[str, Any]]:
    """Give each message; one with tool results becomes one message for each result.

    A tool's message holds text alone, so the pictures tools gave back follow in a user message,
    after all results of the turn: nothing may stand between a turn's results.
    """
    pictures: list[dict[str, Any]] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if pictures and not results:
            yield {"role": "user", "content": pictures}
            pictures = []
        for result in results:
            yield _result(message, result, pictures)
        parts = tuple(p for p in message.parts if not isinstance(p, ToolResult | Foreign))
        if message.role == "assistant":
            yield _assistant(message, parts)
        elif parts or not results:
            if pictures:
                yield {"role": "user", "content": pictures}
                pictures = []
            yield _named({"role": message.role, "content": _content(parts)}, message)
    if pictures:
        yield {"role": "user", "content": pictures}


def _named(fields: dict[str, Any], message: Message) -> dict[str, Any]:
    if message.name is not None:
        fields["name"] = message.name
    fields.update(understood(message.vendor, DIALECT))
    return fields


def _result(message: Message, result: ToolResult, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    texts = tuple(part for part in result.parts if isinstance(part, Text))
    pictures += [_part(part) for part in result.parts if isinstance(part, Image | File)]
    fields = {"role": "tool", "tool_call_id": result.call_id, "content": _content(texts)}
    return _named(fields, message) if message.role == "tool" else fields


def _assistant(message: Message, parts: tuple[Part, ...]) -> dict[str, Any]:
    said = tuple(part for part in parts if isinstance(part, Text | Image | Audio | File))
    fields: dict[str, Any] = {"role": "assistant", "content": _content(said) or None}
    for part in parts:
        if isinstance(part, SpokenAnswer):
            fields["audio"] = {"id": part.id}
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    if refusal:
        fields["refusal"] = refusal
    fields |= _reasoning([part for part in parts if isinstance(part, Reasoning)])
    calls = [_call(part) for part in parts if isinstance(part, ToolCall)]
    if calls:
        fields["tool_calls"] = calls
    return _named(fields, message)


def _reasoning(thoughts: list[Reasoning]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    text = "".join(thought.text for thought in thoughts)
    if text:
        fields["reasoning_content"] = text
    own = [t.opaque.data for t in thoughts if t.opaque is not None and t.opaque.dialect == DIALECT]
    if len(own) == 1:
        fields["reasoning_details"] = Raw(own[0].encode())
    elif own:
        fields["reasoning_details"] = [d for data in own for d in msgspec.json.decode(data)]
    return fields


def _call(call: ToolCall) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": call.id}
    if call.freeform:
        fields |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        function = {"name": call.name, "arguments": call.arguments}
        fields |= {"type": "function", "function": function}
    extra = extra_content(call.opaque)
    if extra is not None:
        fields["extra_content"] = extra
    return fields


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    """Return text alone as a string, as every server takes it, all else as a list of parts."""
    if not parts:
        return ""
    match parts:
        case (Text(text, vendor),) if text and not understood(vendor, DIALECT):
            return text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text, vendor):
            return {"type": "text", "text": text, **understood(vendor, DIALECT)}
        case Image(url, detail, vendor):
            image = {"url": url} if detail is None else {"url": url, "detail": detail}
            return {"type": "image_url", "image_url": image, **understood(vendor, DIALECT)}
        case Audio(data, form, vendor):
            audio = {"data": data, "format": form}
            return {"type": "input_audio", "input_audio": audio, **understood(vendor, DIALECT)}
        case File(data, file_id, filename, vendor):
            given: Mapping[str, str | None] = {
                "file_data": data,
                "file_id": file_id,
                "filename": filename,
            }
            file = {key: value for key, value in given.items() if value is not None}
            return {"type": "file", "file": file, **understood(vendor, DIALECT)}
        case Refusal(text):
            return {"type": "refusal", "refusal": text}
        case Reasoning(text):
            return {"type": "text", "text": text}
        case ToolCall() | ToolResult() | SpokenAnswer() | Foreign():
            raise AssertionError("calls, results, spoken answers and foreign blocks: no content")
