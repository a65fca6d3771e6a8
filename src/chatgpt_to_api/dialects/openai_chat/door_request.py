"""Client side, the request: the dialect's JSON → the canonical request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, structs

from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    File,
    Grammar,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Sampling,
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_chat.door_parts import content, vendor_fields
from chatgpt_to_api.dialects.openai_chat.extra_content import read_extra_content
from chatgpt_to_api.dialects.openai_chat.messages import (
    DIALECT,
    AudioReference,
    ChatCompletionRequest,
    ChatMessage,
    CustomTool,
    FunctionCall,
    FunctionDefinition,
    FunctionTool,
    ResponseFormat,
    ToolCallMessage,
    TypedExtras,
)
from chatgpt_to_api.dialects.problems import anything, decoded, invalid

MAX_CHOICES: Final = 128
"""Largest ``n``, as the vendor allows."""
MAX_STOPS: Final = 16
"""Most stop strings; the vendor takes 4, some servers more."""
MAX_STOP: Final = 1000
"""Longest stop string, characters."""

_RANGES: Final = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)
_CANONICAL: Final = frozenset(ChatCompletionRequest.__struct_fields__) - {"metadata"}
_PLAIN: Final = frozenset({"model", "messages", "stream", "stream_options"})
"""What most requests give, and nothing more."""
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


class _Typed(msgspec.Struct):
    type: str = "function"


_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_TYPED: Final = msgspec.json.Decoder(_Typed)
_FUNCTION_TOOL: Final = msgspec.json.Decoder(FunctionTool)
_CUSTOM_TOOL: Final = msgspec.json.Decoder(CustomTool)
_FUNCTION: Final = msgspec.json.Decoder(FunctionDefinition)
_FUNCTION_CALL: Final = msgspec.json.Decoder(FunctionCall)
_TOOL_CALL: Final = msgspec.json.Decoder(ToolCallMessage)
_FORMAT: Final = msgspec.json.Decoder(ResponseFormat)
_EXTRAS: Final = msgspec.json.Decoder(TypedExtras)
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_AUDIO_REFERENCE: Final = msgspec.json.Decoder(AudioReference)
_MESSAGE_FIELDS: Final = frozenset(ChatMessage.__struct_fields__)

_NO_DEMAND: Final = (b'"none"', b'"auto"')

_NO_NAMES: Final[Mapping[str, str]] = {}
_NEWER_NAMES: Final = {"max_tokens": "max_completion_tokens"}
_LEGACY_NAMES: Final = {
    "tools": "functions",
    "tool_choice": "function_call",
    "parallel_tool_calls": "functions",  # never given: it is what functions are like
}


def canonical(asked: ChatCompletionRequest, body: bytes) -> ChatRequest:
    """Translate a checked request. ``body`` is its JSON. Raises InvalidRequest naming the field."""
    fields = _RAW_OBJECT.decode(body)
    if _PLAIN.issuperset(fields):
        return ChatRequest(
            model=asked.model,
            messages=_messages(asked.messages, fields["messages"]),
            stream=bool(asked.stream),
            include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
            dialect=DIALECT,
            extras={"stream_options": options} if (options := _stream_options(fields)) else {},
        )
    for name, low, high in _RANGES:
        value = getattr(asked, name)
        if value is not None and not low <= value <= high:
            raise invalid(name, f"expected a number from {low} to {high}, got {value:g}")
    extras = {} if _CANONICAL.issuperset(fields) else _extras(fields, body)
    options = _stream_options(fields)
    if options:
        extras["stream_options"] = options
    tools, others = _tools(asked)
    if others:
        extras["tools"] = others
    legacy = bool(asked.functions)
    _check_one_way(asked)
    choice = _tool_choice(asked.function_call if legacy else asked.tool_choice, legacy, extras)
    return ChatRequest(
        model=asked.model,
        messages=_messages(asked.messages, fields["messages"]),
        stream=bool(asked.stream),
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        n=asked.n or 1,
        max_tokens=_max_tokens(asked),
        stop=_stop(asked.stop),
        sampling=Sampling(
            temperature=asked.temperature,
            top_p=asked.top_p,
            seed=asked.seed,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
        ),
        tools=tools,
        tool_choice=choice,
        # A legacy client has no place for a second call.
        parallel_tool_calls=False if legacy else asked.parallel_tool_calls,
        json=_json_format(asked.response_format, extras),
        reasoning_effort=asked.reasoning_effort,
        user=asked.user,
        prompt_cache_key=asked.prompt_cache_key,
        dialect=DIALECT,
        extras=extras,
        own_names=_own_names(asked, legacy),
    )


def _own_names(asked: ChatCompletionRequest, legacy: bool) -> Mapping[str, str]:
    """Return what this client calls parameters that have two names."""
    names = _LEGACY_NAMES if legacy else _NO_NAMES
    return names if asked.max_completion_tokens is None else {**names, **_NEWER_NAMES}


def _extras(fields: Mapping[str, Raw], body: bytes) -> dict[str, Any]:
    decoded(Raw(body), _EXTRAS, "")  # for their types and ranges alone
    return {
        name: anything(raw, name)
        for name, raw in fields.items()
        if name not in _CANONICAL and present(raw)
    }


def _check_one_way(asked: ChatCompletionRequest) -> None:
    """Refuse what mixes today's tools with the functions of old: one of them would be dropped."""
    if asked.functions:
        if asked.tools:
            raise invalid("functions", "expected 'tools' or 'functions', got both")
        if present(asked.tool_choice):
            raise invalid("tool_choice", "expected 'function_call', which goes with 'functions'")
    elif present(asked.function_call) and bytes(asked.function_call) not in _NO_DEMAND:
        raise invalid("function_call", "expected 'functions' beside it, got none")


def _stream_options(fields: Mapping[str, Raw]) -> dict[str, Any]:
    """Return what a stream is to be like besides bringing its usage."""
    raw = fields.get("stream_options")
    if raw is None or not present(raw):
        return {}
    options = decoded(raw, _OBJECT, "stream_options")
    return {name: value for name, value in options.items() if name != "include_usage"}


def _max_tokens(asked: ChatCompletionRequest) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value: int | None = getattr(asked, name)
        if value is not None:
            if value < 1:
                raise invalid(name, f"expected an integer of at least 1, got {value}")
            return value
    return None


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    given = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(given) > MAX_STOPS:
        raise invalid("stop", f"expected at most {MAX_STOPS} strings, got {len(given)}")
    for index, text in enumerate(given):
        if len(text) > MAX_STOP:
            where = "stop" if isinstance(stop, str) else f"stop[{index}]"
            raise invalid(where, f"expected at most {MAX_STOP} characters, got {len(text)}")
    return tuple(text for text in given if text)


def _tools(asked: ChatCompletionRequest) -> tuple[tuple[Tool, ...], list[Any]]:
    """Return functions and freeform tools, and apart from them what only servers of this know."""
    if not asked.tools:
        return (
            tuple(
                _tool(decoded(raw, _FUNCTION, f"functions[{index}]"))
                for index, raw in enumerate(asked.functions or ())
            ),
            [],
        )
    tools: list[Tool] = []
    others: list[Any] = []
    for index, raw in enumerate(asked.tools):
        param = f"tools[{index}]"
        kind = decoded(raw, _TYPED, param).type
        tool: Tool | None = None
        if kind == "function":
            function = decoded(raw, _FUNCTION_TOOL, param).function
            tool = _tool(function, _vendor(raw, kind, param))
        elif kind == "custom":
            tool = _freeform(raw, param)
        if tool is None:
            others.append(anything(raw, param))
        else:
            tools.append(tool)
    return tuple(tools), others


def _tool(function: FunctionDefinition, vendor: Vendor | None = None) -> Tool:
    return Tool(function.name, function.description, function.parameters, function.strict, vendor)


def _freeform(raw: Raw, param: str) -> Tool | None:
    """Return a freeform tool, None for one whose text has a form that is not known here."""
    custom = decoded(raw, _CUSTOM_TOOL, param).custom
    form = custom.format
    grammar = None
    if form is not None and form.type == "grammar":
        if form.grammar is None:
            raise invalid(f"{param}.custom.format.grammar", "expected object, got nothing")
        grammar = Grammar(form.grammar.syntax, form.grammar.definition)
    elif form is not None and form.type != "text":
        return None
    vendor = _vendor(raw, "custom", param)
    return Tool(custom.name, custom.description, vendor=vendor, freeform=True, grammar=grammar)


def _vendor(raw: Raw, own: str, param: str) -> Vendor | None:
    fields = decoded(raw, _OBJECT, param)
    return vendor_fields(fields, own)


def _tool_choice(raw: Raw, legacy: bool, extras: dict[str, Any]) -> ToolChoice | None:
    if not present(raw):
        return None
    param = "function_call" if legacy else "tool_choice"
    match anything(raw, param):
        case "auto":
            return "auto"
        case "none":
            return "none"
        case "required":
            return "required"
        case {"type": "function", "function": {"name": str(name)}}:
            return NamedTool(name)
        case {"type": "custom", "custom": {"name": str(name)}}:
            return NamedTool(name)
        case {"name": str(name)} if legacy:
            return NamedTool(name)
        case {"type": "allowed_tools", "allowed_tools": {"tools": list(entries), **rest}}:
            names = [_allowed(entry) for entry in entries]
            known = [name for name in names if name is not None]
            if len(known) == len(names):
                mode = rest.get("mode", "auto")
                return AllowedTools(tuple(known), "required" if mode == "required" else "auto")
        case str(mode):
            raise invalid(param, f"expected auto, none, required or an object, got {mode[:40]!r}")
    extras[param] = anything(raw, param)
    return None


def _allowed(entry: Any) -> str | None:
    match entry:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case {"type": "custom", "custom": {"name": str(name)}}:
            return name
    return None


def _json_format(raw: Raw, extras: dict[str, Any]) -> JsonFormat | None:
    if not present(raw):
        return None
    form = decoded(raw, _FORMAT, "response_format")
    match form.type:
        case "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema":
            schema = form.json_schema
            if schema is None:
                raise invalid("response_format.json_schema", "expected object, got nothing")
            return JsonFormat(schema.schema, schema.name, schema.description, schema.strict)
    extras["response_format"] = anything(raw, "response_format")
    return None


# -- messages --------------------------------------------------------------------------------


def _messages(messages: list[ChatMessage], raw: Raw) -> tuple[Message, ...]:
    legacy = _LegacyCalls()
    translated: list[Message] = []
    for index, (message, fields) in enumerate(zip(messages, _RAW_OBJECTS.decode(raw), strict=True)):
        param = f"messages[{index}]"
        turn = _message(message, param, legacy)
        unknown = fields.keys() - _MESSAGE_FIELDS
        if unknown:
            vendor = {
                name: anything(value, f"{param}.{name}")
                for name, value in fields.items()
                if name in unknown and present(value)
            }
            turn = structs.replace(turn, vendor=Vendor(DIALECT, vendor) if vendor else None)
        translated.append(turn)
    return tuple(translated)


class _LegacyCalls:
    """Ids for calls of the time when calls had none: counted, so equal turns stay equal."""

    def __init__(self) -> None:
        self._count = 0
        self._last: dict[str, str] = {}

    def made(self, call: FunctionCall) -> ToolCall:
        self._count += 1
        self._last[call.name] = f"call_{self._count}"
        return ToolCall(self._last[call.name], call.name, call.arguments)

    def answered(self, name: str | None, param: str) -> str:
        if name is None:
            raise invalid(f"{param}.name", "expected the function's name, got nothing")
        if name not in self._last:
            raise invalid(f"{param}.name", "expected the name of a function that was called")
        return self._last[name]


def _message(message: ChatMessage, param: str, legacy: _LegacyCalls) -> Message:
    role = message.role
    match role:
        case "system" | "developer" | "user":
            if message.content is None:
                raise invalid(f"{param}.content", "expected string or array, got null")
            return Message(role, content(message.content, param), message.name)
        case "assistant":
            return Message("assistant", _said(message, param, legacy), message.name)
        case "tool":
            if message.tool_call_id is None:
                raise invalid(f"{param}.tool_call_id", "expected string, got nothing")
            result = _result(message.tool_call_id, message, param)
            return Message("tool", (result,), message.name)
        case "function":
            call_id = legacy.answered(message.name, param)
            return Message("tool", (_result(call_id, message, param),))
    expected = ", ".join(_ROLES[:-1])
    raise invalid(f"{param}.role", f"expected one of {expected}, got {role[:40]!r}")


def _result(call_id: str, message: ChatMessage, param: str) -> ToolResult:
    parts: list[Text | Image | File] = []
    for index, part in enumerate(content(message.content, param)):
        if not isinstance(part, Text | Image | File):
            raise invalid(f"{param}.content[{index}].type", "expected text, image_url or file")
        parts.append(part)
    return ToolResult(call_id, tuple(parts))


def _said(message: ChatMessage, param: str, legacy: _LegacyCalls) -> tuple[Part, ...]:
    """Return what an assistant message holds: thoughts, words, refusal, calls."""
    parts: list[Part] = []
    thought = message.reasoning_content or message.reasoning or ""
    details = message.reasoning_details
    if thought or present(details):
        opaque = Opaque(DIALECT, bytes(details).decode()) if present(details) else None
        parts.append(Reasoning(thought, opaque))
    parts += content(message.content, param)
    if present(message.audio):
        spoken = decoded(message.audio, _AUDIO_REFERENCE, f"{param}.audio")
        parts.append(SpokenAnswer(spoken.id))
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for index, raw in enumerate(message.tool_calls or ()):
        where = f"{param}.tool_calls[{index}]"
        parts.append(_call(decoded(raw, _TOOL_CALL, where), where))
    if present(message.function_call):
        where = f"{param}.function_call"
        parts.append(legacy.made(decoded(message.function_call, _FUNCTION_CALL, where)))
    return tuple(parts)


def _call(call: ToolCallMessage, param: str) -> ToolCall:
    opaque = read_extra_content(call.extra_content)
    if call.function is not None:
        return ToolCall(call.id, call.function.name, call.function.arguments, opaque)
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name, call.custom.input, opaque, freeform=True)
    raise invalid(f"{param}.function", "expected object, got nothing")
