"""Client side, the request: the dialect's JSON → the canonical request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    ChatRequest,
    Foreign,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from chatgpt_to_api.dialects.anthropic.door_blocks import (
    system_parts,
    turn_parts,
    vendor_fields,
)
from chatgpt_to_api.dialects.anthropic.errors import NO_THREADS
from chatgpt_to_api.dialects.anthropic.messages import (
    DIALECT,
    FunctionTool,
    InputMessage,
    MessagesRequest,
    OutputConfig,
    OutputFormat,
    Thinking,
    ToolChoiceObject,
    TypedExtras,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.problems import anything, decoded, invalid
from chatgpt_to_api.errors import InvalidRequest

MAX_STOPS: Final = 8192
"""Most stop sequences, as the vendor allows."""
MAX_STOP: Final = 1000
"""Longest stop sequence, characters."""

_CANONICAL: Final = frozenset(MessagesRequest.__struct_fields__)
_ROLES: Final = ("user", "assistant", "system")
_OWN_NAMES: Final = {
    "stop": "stop_sequences",
    "parallel_tool_calls": "tool_choice",
    "json": "output_config.format",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "reasoning_budget": "thinking",
    "user": "metadata",
    "prompt_cache_key": "metadata",
}

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_EXTRAS: Final = msgspec.json.Decoder(TypedExtras)
_TOOL: Final = msgspec.json.Decoder(FunctionTool)
_CHOICE: Final = msgspec.json.Decoder(ToolChoiceObject)
_THINKING: Final = msgspec.json.Decoder(Thinking)
_OUTPUT: Final = msgspec.json.Decoder(OutputConfig)
_FORMAT: Final = msgspec.json.Decoder(OutputFormat)


def canonical(asked: MessagesRequest, body: bytes, session: bytes) -> ChatRequest:
    """Translate a checked request; ``body`` is its JSON, ``session`` what names its session.

    Raises InvalidRequest naming the field.
    """
    _check_ranges(asked)
    fields = _RAW_OBJECT.decode(body)
    decoded(Raw(body), _EXTRAS, "")  # for their types alone
    extras = {
        name: anything(raw, name)
        for name, raw in fields.items()
        if name not in _CANONICAL and present(raw)
    }
    if "thread" in extras:
        raise InvalidRequest(
            "No conversation is held for 'thread' by the upstream that answers: send all messages.",
            param="thread",
            code=NO_THREADS,
        )
    tools, others = _tools(asked.tools or ())
    if others:
        extras["tools"] = others
    choice, parallel = _tool_choice(asked.tool_choice, tools, extras)
    budget = _thinking(asked.thinking, extras)
    effort, form = _output(asked.output_config, extras)
    return ChatRequest(
        model=asked.model,
        messages=_messages(asked),
        stream=bool(asked.stream),
        include_usage=True,
        max_tokens=asked.max_tokens,
        stop=_stop(asked.stop_sequences or ()),
        sampling=Sampling(temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        json=form,
        reasoning_effort=effort,
        reasoning_budget=budget,
        user=_user(asked.metadata, extras),
        prompt_cache_key=cache_key(session),
        dialect=DIALECT,
        extras=extras,
        own_names=_OWN_NAMES,
        names_stop=True,
        counts_first=True,
    )


def cache_key(session: bytes) -> str | None:
    """Name a session for upstreams' caches: the same in every turn, and short enough for all."""
    return blake2b(session, digest_size=16).hexdigest() if session else None


def _check_ranges(asked: MessagesRequest) -> None:
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise invalid("max_tokens", f"expected an integer of at least 1, got {asked.max_tokens}")
    for name in ("temperature", "top_p"):
        value = getattr(asked, name)
        if value is not None and not 0 <= value <= 1:
            raise invalid(name, f"expected a number from 0 to 1, got {value:g}")
    if asked.top_k is not None and asked.top_k < 0:
        raise invalid("top_k", f"expected a positive integer, got {asked.top_k}")


def _stop(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > MAX_STOPS:
        raise invalid("stop_sequences", f"expected at most {MAX_STOPS} strings, got {len(given)}")
    for index, text in enumerate(given):
        if len(text) > MAX_STOP:
            raise invalid(
                f"stop_sequences[{index}]",
                f"expected at most {MAX_STOP} characters, got {len(text)}",
            )
    return tuple(text for text in given if text)


def _tools(given: Sequence[Raw]) -> tuple[tuple[Tool, ...], list[Any]]:
    """Return the client's tools, and apart from them those that only this dialect's servers know.

    These have a type of their own (``web_search_20250305``) and no schema.
    """
    tools: list[Tool] = []
    others: list[Any] = []
    for index, raw in enumerate(given):
        param = f"tools[{index}]"
        fields = decoded(raw, _OBJECT, param)
        if fields.get("type") not in (None, "custom"):
            others.append(fields)
            continue
        tool = decoded(raw, _TOOL, param)
        vendor = vendor_fields(fields, "name", "description", "input_schema", "strict")
        tools.append(Tool(tool.name, tool.description, tool.input_schema, tool.strict, vendor))
    return tuple(tools), others


def _tool_choice(
    raw: Raw, tools: tuple[Tool, ...], extras: dict[str, Any]
) -> tuple[ToolChoice | None, bool | None]:
    """Return which tools may be called, and whether several at once."""
    if not present(raw):
        return None, None
    given = decoded(raw, _CHOICE, "tool_choice")
    parallel = None
    if given.disable_parallel_tool_use is not None:
        parallel = not given.disable_parallel_tool_use
    match given.type:
        case "auto":
            return "auto", parallel
        case "none":
            return "none", parallel
        case "any" if tools:
            return "required", parallel
        case "tool" if given.name is not None and any(t.name == given.name for t in tools):
            return NamedTool(given.name), parallel
        case "any" | "tool" if "tools" in extras:  # of what only this dialect's servers have
            extras["tool_choice"] = anything(raw, "tool_choice")
            return None, parallel
        case "any":
            raise invalid("tool_choice", "'any' demands a call, but 'tools' is empty")
        case "tool":
            raise invalid("tool_choice.name", "expected the name of one of the tools")
    raise invalid("tool_choice.type", f"expected auto, any, tool or none, got {given.type[:40]!r}")


def _thinking(raw: Raw, extras: dict[str, Any]) -> int | None:
    """Return the most tokens to think with; what says more than a number stays as it is."""
    if not present(raw):
        return None
    given = decoded(raw, _THINKING, "thinking")
    fields = anything(raw, "thinking")
    match given.type:
        case "enabled":
            if given.budget_tokens is None or given.budget_tokens < 1:
                raise invalid("thinking.budget_tokens", "expected a positive integer")
            if len(fields) > 2:
                extras["thinking"] = fields
            return given.budget_tokens
        case "disabled":
            return 0
    extras["thinking"] = fields
    return None


def _output(raw: Raw, extras: dict[str, Any]) -> tuple[str | None, JsonFormat | None]:
    if not present(raw):
        return None, None
    given = decoded(raw, _OUTPUT, "output_config")
    rest = {
        name: value
        for name, value in anything(raw, "output_config").items()
        if name not in ("effort", "format") and value is not None
    }
    if rest:
        extras["output_config"] = rest
    form = None
    if present(given.format):
        schema = decoded(given.format, _FORMAT, "output_config.format").schema
        form = JsonFormat(schema, strict=True)
    return given.effort, form


def _user(raw: Raw, extras: dict[str, Any]) -> str | None:
    if not present(raw):
        return None
    fields = decoded(raw, _OBJECT, "metadata")
    user = fields.pop("user_id", None)
    if user is not None and not isinstance(user, str):
        raise invalid("metadata.user_id", "expected string")
    if fields:
        extras["metadata"] = fields
    return user


# -- messages --------------------------------------------------------------------------------


def _messages(asked: MessagesRequest) -> tuple[Message, ...]:
    messages: list[Message] = []
    if asked.system:
        messages.append(Message("system", system_parts(asked.system)))
    for index, message in enumerate(asked.messages):
        messages += _turn(message, f"messages[{index}]")
    return tuple(messages)


def _turn(message: InputMessage, param: str) -> Iterator[Message]:
    parts = turn_parts(message.content, f"{param}.content")
    match message.role:
        case "system":
            for index, part in enumerate(parts):
                if not isinstance(part, Text | Foreign):
                    raise invalid(f"{param}.content[{index}].type", "expected text")
            yield Message("system", parts)
        case "assistant":
            if any(isinstance(part, ToolResult) for part in parts):
                raise invalid(f"{param}.content", "an assistant's turn holds no tool_result")
            yield Message("assistant", parts)
        case "user":
            if any(isinstance(part, ToolCall | Reasoning) for part in parts):
                raise invalid(f"{param}.content", "a user's turn holds no tool_use and no thinking")
            results: list[Part] = [part for part in parts if isinstance(part, ToolResult)]
            others = tuple(part for part in parts if not isinstance(part, ToolResult))
            if results:
                yield Message("tool", tuple(results))
            if others or not results:
                yield Message("user", others)
        case role:
            raise invalid(
                f"{param}.role", f"expected one of {', '.join(_ROLES)}, got {role[:40]!r}"
            )
