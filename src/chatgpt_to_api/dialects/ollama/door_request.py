"""Client side, the request: the dialect's JSON → the canonical request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    ChatRequest,
    Image,
    JsonFormat,
    Message,
    Part,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.ollama.arguments import as_text
from chatgpt_to_api.dialects.ollama.images import data_url
from chatgpt_to_api.dialects.ollama.messages import (
    DIALECT,
    OPTION,
    Asking,
    CallMessage,
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
    OllamaOptions,
    OllamaTool,
    bare,
)
from chatgpt_to_api.dialects.open_calls import OpenCalls
from chatgpt_to_api.dialects.problems import anything, decoded, invalid
from chatgpt_to_api.errors import InvalidRequest

THINKS: Final = "medium"
"""How hard a model is to think that is only told to."""

_KEPT: Final = frozenset({"think", "keep_alive"})
"""Fields that go on as they came, too."""
_ROLES: Final = ("system", "user", "assistant", "tool")
_CHAT_FIELDS: Final = frozenset(OllamaChatRequest.__struct_fields__) - _KEPT
_GENERATE_FIELDS: Final = frozenset(OllamaGenerateRequest.__struct_fields__) - _KEPT
_OPTIONS: Final = frozenset(OllamaOptions.__struct_fields__)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_TOOL: Final = msgspec.json.Decoder(OllamaTool)
_CALL: Final = msgspec.json.Decoder(CallMessage)
_NO_OPTIONS: Final = OllamaOptions()
_OWN_NAMES: Final = {
    "max_tokens": "options.num_predict",
    "stop": "options.stop",
    "temperature": "options.temperature",
    "top_k": "options.top_k",
    "top_p": "options.top_p",
    "seed": "options.seed",
    "presence_penalty": "options.presence_penalty",
    "frequency_penalty": "options.frequency_penalty",
    "response_format": "format",
    "reasoning_effort": "think",
}


def of_chat(asked: OllamaChatRequest, body: bytes) -> ChatRequest:
    """Translate a checked chat. ``body`` is its JSON. Raises InvalidRequest naming the field."""
    tools = [decoded(raw, _TOOL, f"tools[{i}]") for i, raw in enumerate(asked.tools or ())]
    return _request(
        asked,
        _extras(body, _CHAT_FIELDS),
        _messages(asked.messages or ()),
        tuple(Tool(t.function.name, t.function.description, t.function.parameters) for t in tools),
    )


def of_generate(asked: OllamaGenerateRequest, body: bytes) -> ChatRequest:
    """Translate a checked ``/api/generate``: a system message and a question.

    Raises InvalidRequest for what no chat can be asked: a text to be put between two others, and
    the tokens of an earlier answer.
    """
    for name in ("suffix", "context"):
        if getattr(asked, name):
            raise InvalidRequest(
                f"The upstream of {asked.model!r} takes no '{name}': it answers chats.",
                param=name,
                code="unsupported_parameter",
            )
    messages = []
    if asked.system:
        messages.append(Message("system", (Text(asked.system),)))
    shown = tuple(Image(data_url(data)) for data in asked.images or ())
    said = (Text(asked.prompt),) if asked.prompt else ()
    messages.append(Message("user", (*said, *shown)))
    return _request(asked, _extras(body, _GENERATE_FIELDS), tuple(messages), ())


def _request(
    asked: Asking, extras: dict[str, Any], messages: tuple[Message, ...], tools: tuple[Tool, ...]
) -> ChatRequest:
    options = asked.options or _NO_OPTIONS
    limit = options.num_predict
    return ChatRequest(
        model=bare(asked.model),
        messages=messages,
        stream=asked.stream is not False,
        include_usage=True,
        max_tokens=limit if limit is not None and limit > 0 else None,
        stop=_stop(options.stop),
        sampling=Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            top_k=options.top_k,
        ),
        tools=tools,
        json=_format(asked.format),
        reasoning_effort=_effort(asked.think),
        reasoning_budget=0 if asked.think is False else None,
        dialect=DIALECT,
        extras=extras,
        own_names=_OWN_NAMES,
    )


def _extras(body: bytes, known: frozenset[str]) -> dict[str, Any]:
    """Return everything given that has no canonical form, options under ``options.NAME``.

    How to think is among it too: whether at all is more than a canonical request can say.
    """
    fields = _RAW_OBJECT.decode(body)
    extras = {
        name: anything(raw, name)
        for name, raw in fields.items()
        if name not in known and present(raw)
    }
    options = fields.get("options")
    if options is not None and present(options):
        for name, raw in _RAW_OBJECT.decode(options).items():
            if name not in _OPTIONS and present(raw):
                extras[OPTION + name] = anything(raw, OPTION + name)
    return extras


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    given = (stop,) if isinstance(stop, str) else stop or ()
    return tuple(text for text in given if text)


def _format(raw: Raw) -> JsonFormat | None:
    if not present(raw):
        return None
    match anything(raw, "format"):
        case "":
            return None
        case "json":
            return JsonFormat()
        case dict() as schema:
            return JsonFormat(schema)
    raise invalid("format", 'expected "json" or a JSON Schema object')


def _effort(think: bool | str | None) -> str | None:
    if isinstance(think, str):
        return think or None
    return THINKS if think else None


# -- messages --------------------------------------------------------------------------------


def _messages(messages: Sequence[OllamaMessage]) -> tuple[Message, ...]:
    calls = OpenCalls()
    return tuple(
        _message(message, f"messages[{index}]", calls) for index, message in enumerate(messages)
    )


def _message(message: OllamaMessage, param: str, calls: OpenCalls) -> Message:
    said: tuple[Part, ...] = (Text(message.content),) if message.content else ()
    shown = tuple(Image(data_url(data)) for data in message.images or ())
    role = message.role.lower()
    match role:
        case "system":
            return Message("system", (*said, *shown))
        case "user":
            return Message("user", (*said, *shown))
        case "assistant":
            thought = (Reasoning(message.thinking),) if message.thinking else ()
            made = [
                _made(raw, f"{param}.tool_calls[{index}]", calls)
                for index, raw in enumerate(message.tool_calls or ())
            ]
            return Message("assistant", (*thought, *said, *shown, *made))
        case "tool":
            content = (*((Text(message.content),) if message.content else ()), *shown)
            return Message("tool", (ToolResult(_answered(message, param, calls), content),))
    raise invalid(f"{param}.role", f"expected one of {', '.join(_ROLES)}, got {role[:40]!r}")


def _made(raw: Raw, param: str, calls: OpenCalls) -> ToolCall:
    call = decoded(raw, _CALL, param)
    arguments = as_text(call.function.arguments)
    if arguments is None:
        raise invalid(f"{param}.function.arguments", "expected object")
    name = call.function.name
    return ToolCall(calls.made(call.id, name), name, arguments)


def _answered(message: OllamaMessage, param: str, calls: OpenCalls) -> str:
    """Return the id of a result's call: most clients name the tool, or rely on the order."""
    call_id = calls.answered(message.tool_call_id, message.tool_name or None)
    if call_id is None:
        raise invalid(
            f"{param}.tool_name",
            "expected the name of a tool that was called before and has no result yet",
        )
    return call_id
