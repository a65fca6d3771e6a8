"""What the gateway asks in words of a backend that has no parameter for it: tools and JSON.

The words depend on the request alone: no id, time or count of ours is in them, and what follows a
turn never changes it. So equal turns begin with equal bytes upstream.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from typing import Any, Final

import msgspec
from msgspec import structs

from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    JsonFormat,
    Message,
    NamedTool,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.emulation.freeform import as_functions, has_freeform
from chatgpt_to_api.emulation.protocol import CALL, RESULT
from chatgpt_to_api.errors import InvalidRequest

_HOW_TO_CALL: Final = f"""\
To call a tool, write its name and its arguments as one JSON object between these tags:

<{CALL}>
{{"name": "NAME OF THE TOOL", "arguments": {{"NAME OF THE ARGUMENT": "VALUE"}}}}
</{CALL}>

Use only the tools listed above, under exactly these names, with arguments that fit their \
parameters. Write nothing after a call: what the tool returns comes to you between <{RESULT}> \
tags. Where no tool helps, answer in plain words."""

_IN_THE_WAY: Final[Set[Emulated]] = frozenset(("json", "stop"))
"""What an upstream must not see to itself where it writes calls in words."""

_UNTOLD: Final = frozenset(("tools", "tool_choice", "function_call"))
"""Extras that an upstream without tools is not sent: hosted tools, and choices that name them."""

_ONE_AT_A_TIME: Final = "Make at most one call, then wait for its result."
_SEVERAL: Final = "Where several calls do not depend on each other, write them one after another."
_JSON_AGAIN: Final = (
    "This answer, too, must be JSON as it was described at the beginning, and nothing else."
)
_NO_FENCE: Final = "Write nothing before or after it, and no code fence around it."


def needed(
    request: ChatRequest, emulates: Set[Emulated], native: Set[str] = frozenset()
) -> tuple[Emulated, ...]:
    """Return what has to be emulated for ``request`` by an upstream that lacks ``emulates``.

    ``native`` is what it can do by itself. Beside calls in words some of that will not do: a stop
    string would cut into them, and a server that lets nothing but JSON be written prevents them.
    Raises InvalidRequest for a choice that names no tool of the request.
    """
    if _is_plain(request):
        return ()
    needs: list[Emulated] = []
    if "tools" in emulates and (
        request.tools or must_call(request) or _has_calls(request.messages)
    ):
        needs.append("tools")
        if callable_tools(request):
            emulates = emulates | (_IN_THE_WAY & native)
        if has_freeform(request):
            needs.append("freeform")
    elif "freeform" in emulates and has_freeform(request):
        needs.append("freeform")
    if "json" in emulates and request.json is not None:
        needs.append("json")
    if "stop" in emulates and request.stop:
        needs.append("stop")
    if "max_tokens" in emulates and request.max_tokens is not None:
        needs.append("max_tokens")
    return tuple(needs)


def _is_plain(request: ChatRequest) -> bool:
    """Whether a request is nothing but words, as nearly all are: nobody lacks what they need."""
    if request.tools or request.tool_choice is not None or request.json is not None:
        return False
    if request.stop or request.max_tokens is not None:
        return False
    for message in request.messages:
        for part in message.parts:
            if type(part) is not Text:
                return False
    return True


def untold(request: ChatRequest) -> tuple[str, ...]:
    """Return which parameters emulated tools leave out: what is not about functions."""
    return tuple(request.left_out(name for name in request.extras if name in _UNTOLD))


def without(request: ChatRequest, needs: Iterable[Emulated]) -> ChatRequest:
    """Return the request without the parameters that are emulated: the upstream never sees them."""
    changed: dict[str, Any] = {}
    for need in needs:
        match need:
            case "freeform":
                request = as_functions(request)
            case "tools":
                changed |= {"tools": (), "tool_choice": None, "parallel_tool_calls": None}
                if not _UNTOLD.isdisjoint(request.extras):
                    kept = {k: v for k, v in request.extras.items() if k not in _UNTOLD}
                    changed["extras"] = kept
            case "json":
                changed["json"] = None
            case "stop":
                changed["stop"] = ()
            case "max_tokens":
                changed["max_tokens"] = None
            case "n":
                changed["n"] = 1
    return structs.replace(request, **changed) if changed else request


def prompted(
    request: ChatRequest, needs: Collection[Emulated], before: Iterable[Message] = ()
) -> ChatRequest:
    """Return the request with what is emulated said in words instead.

    A request that goes on at a ``branch`` was told its tools and its form at the beginning of the
    conversation, which are not repeated; ``before`` are the messages that were asked there.
    Raises InvalidRequest for a ``tool_choice`` that names no tool of the request.
    """
    if "freeform" in needs:
        request = as_functions(request)
    messages = request.messages
    goes_on = request.branch is not None
    instructions: list[str] = []
    if "tools" in needs:
        messages = tuple(_retold(messages, _names(before)))
        if callable_tools(request):
            instructions += _choice(request) if goes_on else _tools(request)
    if "json" in needs and request.json is not None:
        instructions.append(_JSON_AGAIN if goes_on else _json(request.json))
    if instructions:
        messages = _instructed(messages, "\n\n".join(instructions))
    done = [need for need in needs if need != "freeform"]
    return structs.replace(without(request, done), messages=messages)


def asked_again(request: ChatRequest, said: str, told: str) -> ChatRequest:
    """Return the request that tells the model what was wrong with what it said."""
    answer = (Message("assistant", (Text(said),)),) if said else ()
    again = (*request.messages, *answer, Message("user", (Text(told),)))
    return structs.replace(request, messages=again)


def callable_tools(request: ChatRequest) -> frozenset[str]:
    """Return the names of the tools that may be called in the reply.

    Raises InvalidRequest for a choice that names no tool of the request.
    """
    names = frozenset(tool.name for tool in request.tools)
    match request.tool_choice:
        case "none":
            return frozenset()
        case NamedTool(name):
            return _declared((name,), names, request)
        case AllowedTools(allowed):
            return _declared(allowed, names, request)
        case "required" if not names:
            raise InvalidRequest(
                f"'{request.named('tool_choice')}' is 'required', but "
                f"'{request.named('tools')}' holds no function to call.",
                param=request.named("tool_choice"),
            )
        case _:
            return names


def must_call(request: ChatRequest) -> bool:
    """Whether the reply has to hold a call."""
    match request.tool_choice:
        case "required" | NamedTool():
            return True
        case AllowedTools(mode=mode):
            return mode == "required"
        case _:
            return False


def _declared(wanted: Iterable[str], names: frozenset[str], request: ChatRequest) -> frozenset[str]:
    choice, tools = request.named("tool_choice"), request.named("tools")
    for name in wanted:
        if name not in names:
            raise InvalidRequest(
                f"'{choice}' names the tool {name[:64]!r}, which is not in '{tools}'.",
                param=choice,
            )
    return frozenset(wanted)


def _has_calls(messages: Iterable[Message]) -> bool:
    return any(
        isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts
    )


# -- instructions ----------------------------------------------------------------------------------


def _tools(request: ChatRequest) -> list[str]:
    listed = "\n".join(_line(tool) for tool in request.tools)
    pieces = [f"You can call tools, one on each line:\n\n<tools>\n{listed}\n</tools>", _HOW_TO_CALL]
    pieces.append(_ONE_AT_A_TIME if request.parallel_tool_calls is False else _SEVERAL)
    return pieces + _choice(request)


def _choice(request: ChatRequest) -> list[str]:
    """What is said of the next answer alone, and so every time."""
    match request.tool_choice:
        case NamedTool(name):
            return [f"Your next answer must be a call of the tool {name}."]
        case AllowedTools(names, mode):
            only = f"Of these tools you may now call only: {', '.join(names)}."
            must = "Your next answer must be a call of one of them."
            return [only, must] if mode == "required" else [only]
        case "required":
            return ["Your next answer must be a call of one of the tools."]
        case _:
            return []


def _line(tool: Tool) -> str:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    fields["parameters"] = {"type": "object"} if tool.schema is None else tool.schema
    return msgspec.json.encode(fields).decode()


def _json(form: JsonFormat) -> str:
    if form.schema is None:
        return f"Your answer must be one JSON object. {_NO_FENCE}"
    what = f" ({form.description})" if form.description else ""
    schema = msgspec.json.encode(form.schema).decode()
    return (
        f"Your answer must be one JSON value{what} that fits this JSON Schema. Answer with the "
        f"value, not with the schema. {_NO_FENCE}\n\n{schema}"
    )


def _instructed(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """Put instructions behind the caller's own: into the last system message that opens the chat.

    Not into one of their own, because many backends know a single system message only.
    """
    opening = 0
    while opening < len(messages) and messages[opening].role in ("system", "developer"):
        opening += 1
    if not opening:
        return (Message("system", (Text(words),)), *messages)
    last = messages[opening - 1]
    if all(isinstance(part, Text) for part in last.parts):
        said = "".join(part.text for part in last.parts if isinstance(part, Text))
        parts: tuple[Part, ...] = (Text(f"{said}\n\n{words}"),)
    else:
        parts = (*last.parts, Text(words))
    told = structs.replace(last, parts=parts)
    return (*messages[: opening - 1], told, *messages[opening:])


# -- what was called before ------------------------------------------------------------------------


def _names(messages: Iterable[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the calls' ids."""
    parts = (part for message in messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCall)}


def _retold(messages: Iterable[Message], names: dict[str, str]) -> Iterator[Message]:
    """Tell calls and results of the past in the words of the protocol.

    ``names`` are those of calls that were told before. Results that follow each other come in one
    user message, in their order, before the words of a message that brought both.
    """
    results: list[Part] = []
    for message in messages:
        others: list[Part] = []
        for part in message.parts:
            match part:
                case ToolCall():
                    names[part.id] = part.name
                    others.append(Text(_called(part)))
                case ToolResult():
                    results += _returned(part, names.get(part.call_id))
                case _:
                    others.append(part)
        if not others and any(isinstance(part, ToolResult) for part in message.parts):
            continue
        if message.role == "user":
            yield structs.replace(message, parts=(*results, *others)) if results else message
        else:
            if results:
                yield Message("user", tuple(results))
            yield structs.replace(message, parts=tuple(others))
        results = []
    if results:
        yield Message("user", tuple(results))


def _called(call: ToolCall) -> str:
    arguments = call.arguments.strip() or "{}"
    try:
        msgspec.json.decode(arguments, type=dict)
    except (msgspec.DecodeError, RecursionError):
        arguments = msgspec.json.encode(call.arguments).decode()
    name = msgspec.json.encode(call.name).decode()
    return (
        f'<{CALL} id="{_attribute(call.id)}">\n'
        f'{{"name": {name}, "arguments": {arguments}}}\n</{CALL}>'
    )


def _returned(result: ToolResult, name: str | None) -> list[Part]:
    """Return one result between its tags; pictures stay where they stood.

    Whatever a tool returns cannot close its own tag and pass for somebody else's words.
    """
    head = f'<{RESULT} id="{_attribute(result.call_id)}"'
    head += f' name="{_attribute(name)}"' if name is not None else ""
    head += ' error="true">\n' if result.is_error else ">\n"
    parts: list[Part] = []
    said = head
    for part in result.parts:
        if isinstance(part, Text):
            said += part.text.replace(f"</{RESULT}", f"<\\/{RESULT}")
        else:
            parts += (Text(said), part) if said else (part,)
            said = ""
    return [*parts, Text(f"{said}\n</{RESULT}>")]


def _attribute(text: str) -> str:
    return "".join(c for c in text[:128] if c.isprintable() and c not in "\"<>&'")
