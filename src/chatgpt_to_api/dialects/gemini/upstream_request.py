"""Backend side, the request: the canonical request → the dialect's JSON.

Equal turns give equal bytes: keys stand in one order, nothing random or dated is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    AllowedTools,
    Audio,
    ChatRequest,
    File,
    Foreign,
    Image,
    Message,
    NamedTool,
    Opaque,
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
from chatgpt_to_api.dialects.gemini.media import part_of
from chatgpt_to_api.dialects.gemini.messages import DIALECT
from chatgpt_to_api.dialects.gemini.names import fitting
from chatgpt_to_api.dialects.gemini.results import response_of
from chatgpt_to_api.dialects.gemini.schema import own_schema
from chatgpt_to_api.dialects.gemini.thinking import is_known_effort, thinking_config
from chatgpt_to_api.errors import InvalidRequest

CONFIG: Final = "generationConfig."
"""What the names of extras begin with that stand in ``generationConfig``."""
TOOL_CONFIG: Final = "toolConfig."

_LIKELY: Final = ("logprobs", "top_logprobs")
_CHAT: Final = ("openai_chat", "openai_completions", "openai_responses")
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_NO_ARGUMENTS: Final = Raw(b"{}")
_ARGUMENTS: Final = "arguments"
"""Under which a call's text stands that is no object: without its call a result is an orphan."""


def unheard(request: ChatRequest) -> tuple[str, ...]:
    """Name, in the client's words, what of a request this dialect cannot say."""
    names: list[str] = []
    parallel = request.named("parallel_tool_calls")
    if request.tools and request.parallel_tool_calls is False and parallel != "functions":
        names.append(parallel)  # a client of the time before tools never said it
    given = (n for n in ("user", "prompt_cache_key") if getattr(request, n) is not None)
    names += map(request.named, given)
    effort = request.reasoning_effort
    if effort is not None and request.reasoning_budget is None and not is_known_effort(effort):
        names.append(request.named("reasoning_effort"))
    if any(message.name is not None for message in request.messages):
        names.append("name")
    names += _unsaid_in_schemas(request)
    if request.dialect != DIALECT:
        likely = _LIKELY if request.dialect in _CHAT else ()
        names += request.left_out(name for name in request.extras if name not in likely)
    return tuple(dict.fromkeys(names))


def _unsaid_in_schemas(request: ChatRequest) -> Iterator[str]:
    """Name the keywords of schemas that are left out, by the parameter they stand in."""
    tools = request.named("tools")
    for tool in request.tools:
        if tool.strict:
            yield f"{tools}.strict"
        if tool.schema is not None and "parametersJsonSchema" not in understood(
            tool.vendor, DIALECT
        ):
            yield from (f"{tools}.{keyword}" for keyword in own_schema(tool.schema)[1])
    if request.json is not None and request.json.schema is not None:
        form = request.named("response_format")
        yield from (f"{form}.{keyword}" for keyword in own_schema(request.json.schema)[1])


def check(request: ChatRequest) -> None:
    """Raise InvalidRequest for what has no form here and would change the answer's meaning."""
    open_calls: dict[str, str] = {}
    for number, message in enumerate(request.messages):
        answered = False
        for place, part in enumerate(message.parts):
            where = f"messages[{number}].content[{place}]"
            match part:
                case SpokenAnswer():
                    raise _unsupported(where, "An earlier answer in sound is known by its own id")
                case File(data=None, url=None):
                    raise _unsupported(where, "A file's id is known only to the server it is on")
                case ToolResult(call_id):
                    answered = True
                    if open_calls.pop(call_id, None) is None:
                        raise InvalidRequest(
                            f"'{where}' answers the call {call_id[:80]!r}, which the turn before "
                            "it does not have.",
                            param=f"messages[{number}]",
                        )
        if open_calls and not answered:
            missing = ", ".join(repr(name[:80]) for name in open_calls)
            raise InvalidRequest(
                f"The results of these tool calls are missing before 'messages[{number}]': "
                f"{missing}.",
                param=f"messages[{number}]",
            )
        if message.role == "assistant":
            open_calls = {p.id: p.name for p in message.parts if isinstance(p, ToolCall)}


def _unsupported(where: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"{why}: it cannot be sent to this upstream.", param=where, code="unsupported_parameter"
    )


def request_object(request: ChatRequest, model: str) -> dict[str, Any]:
    """Return the request for the upstream's ``model``, whose name stands in the URL."""
    own = dict(request.extras) if request.dialect == DIALECT else {}
    body: dict[str, Any] = {}
    system, turns = _split_system(request.messages)
    if system:
        body["systemInstruction"] = {"parts": system}
    tools = _tools(request.tools) + list(own.pop("tools", ()))
    if tools:
        body["tools"] = tools
    tool_config = {
        **_tool_config(request.tool_choice if request.tools else None),
        **_taken(own, TOOL_CONFIG),
    }
    if tool_config:
        body["toolConfig"] = tool_config
    config = _config(request, model) | _taken(own, CONFIG)
    body["contents"] = list(_contents(turns))
    if config:
        body["generationConfig"] = config
    return body | own


def _taken(extras: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Take the extras out that stand in another object; deeper ones have their own places."""
    found = [name for name in extras if name.startswith(prefix)]
    taken = {name.removeprefix(prefix): extras.pop(name) for name in found}
    return {name: value for name, value in taken.items() if "." not in name}


def _config(request: ChatRequest, model: str) -> dict[str, Any]:
    sampling = request.sampling
    fields: dict[str, Any] = {
        "candidateCount": request.n if request.n > 1 else None,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "thinkingConfig": thinking_config(request, model) or None,
    }
    if request.json is not None:
        fields["responseMimeType"] = "application/json"
        if request.json.schema is not None:
            fields["responseSchema"] = own_schema(request.json.schema)[0]
    if request.dialect in _CHAT and request.extras.get("logprobs"):
        fields["responseLogprobs"] = True
        fields["logprobs"] = request.extras.get("top_logprobs")
    return {name: value for name, value in fields.items() if value is not None}


def _tools(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    return [{"functionDeclarations": [_function(tool) for tool in tools]}] if tools else []


def _function(tool: Tool) -> dict[str, Any]:
    vendor = understood(tool.vendor, DIALECT)
    function: dict[str, Any] = {"name": fitting(tool.name)}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None and "parametersJsonSchema" not in vendor:
        parameters = own_schema(tool.schema)[0]
        # The server refuses an object without properties; without arguments nothing is said.
        if parameters.get("properties") or "anyOf" in parameters:
            function["parameters"] = parameters
    return {**function, **vendor}


def _tool_config(choice: ToolChoice | None) -> dict[str, Any]:
    match choice:
        case None:
            return {}
        case NamedTool(name):
            config: dict[str, Any] = {"mode": "ANY", "allowedFunctionNames": [fitting(name)]}
        case AllowedTools(names, mode):
            # A choice among some of the tools that also may be none of them is "validated" here.
            word = "ANY" if mode == "required" else "VALIDATED"
            config = {"mode": word, "allowedFunctionNames": [fitting(name) for name in names]}
        case _:
            config = {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice]}
    return {"functionCallingConfig": config}


# -- turns -----------------------------------------------------------------------------------


def _split_system(
    messages: tuple[Message, ...],
) -> tuple[list[dict[str, Any] | Raw], tuple[Message, ...]]:
    """Return the instructions at the beginning, and the turns; later ones keep their place."""
    first = next(
        (i for i, m in enumerate(messages) if m.role not in ("system", "developer")),
        len(messages),
    )
    parts = [part for message in messages[:first] for part in _said(message.parts)]
    return parts, messages[first:]


def _contents(messages: tuple[Message, ...]) -> Iterator[dict[str, Any]]:
    """Give each turn. All results of one turn's calls stand in one, in the order of the calls.

    Pictures that functions gave back follow the results: only the newest models take them inside.
    """
    calls: dict[str, str] = {}  # of the last turn that made any: id → name
    results: dict[str, dict[str, Any]] = {}
    beside: list[dict[str, Any] | Raw] = []
    for message in messages:
        given = [part for part in message.parts if isinstance(part, ToolResult)]
        parts = _said(part for part in message.parts if not isinstance(part, ToolResult))
        for result in given:
            results[result.call_id] = _result(result, calls.get(result.call_id, ""))
            beside += [part_of(p) for p in result.parts if isinstance(p, Image | Audio | File)]
        if given:
            beside += parts
            continue
        if results:
            yield _results(results, calls, beside)
            results, beside = {}, []
        if message.role == "assistant":
            calls = {p.id: p.name for p in message.parts if isinstance(p, ToolCall)} or calls
            if parts:
                yield {"role": "model", "parts": parts}
        else:
            yield {"role": "user", "parts": parts or [{"text": ""}]}
    if results:
        yield _results(results, calls, beside)


def _results(
    results: dict[str, dict[str, Any]], calls: dict[str, str], beside: list[dict[str, Any] | Raw]
) -> dict[str, Any]:
    known = [results[call_id] for call_id in calls if call_id in results]
    others = [result for call_id, result in results.items() if call_id not in calls]
    return {"role": "user", "parts": [*known, *others, *beside]}


def _result(result: ToolResult, name: str) -> dict[str, Any]:
    text = "".join(part.text for part in result.parts if isinstance(part, Text))
    response: dict[str, Any] = {"id": result.call_id} if result.call_id else {}
    response |= {"name": fitting(name), "response": response_of(text, is_error=result.is_error)}
    return {"functionResponse": response, **understood(result.vendor, DIALECT)}


def _said(parts: Iterator[Part] | tuple[Part, ...]) -> list[dict[str, Any] | Raw]:
    return [made for part in parts if (made := _part(part)) is not None]


def _part(part: Part) -> dict[str, Any] | Raw | None:
    """Return a part as it stands in a turn, None for what is left out here."""
    match part:
        case Text(text, vendor):
            fields = understood(vendor, DIALECT)
            return {"text": text, **fields} if text or fields else None
        case Image() | Audio() | File():
            return part_of(part)
        case Reasoning(text, opaque):
            return _thought(text, opaque)
        case Refusal(text):
            return {"text": text}
        case ToolCall():
            return _call(part)
        case Foreign(opaque):
            return Raw(opaque.data.encode()) if opaque.dialect == DIALECT else None
        case ToolResult() | SpokenAnswer():
            raise AssertionError("results stand by themselves; spoken answers are refused")


def _thought(text: str, opaque: Opaque | None) -> dict[str, Any] | None:
    """A thought goes back with its signature; one that another vendor sealed stays behind."""
    if opaque is None:
        return {"text": text, "thought": True} if text else None
    if opaque.dialect != DIALECT:
        return None
    return {"text": text, "thought": True, "thoughtSignature": opaque.data}


def _call(call: ToolCall) -> dict[str, Any]:
    function: dict[str, Any] = {"id": call.id} if call.id else {}
    function |= {"name": fitting(call.name), "args": _arguments(call.arguments)}
    fields: dict[str, Any] = {"functionCall": function}
    if call.opaque is not None and call.opaque.dialect == DIALECT:
        fields["thoughtSignature"] = call.opaque.data
    return fields | dict(understood(call.vendor, DIALECT))


def _arguments(text: str) -> Raw:
    if not text.strip():
        return _NO_ARGUMENTS
    try:
        _RAW_OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Raw(msgspec.json.encode({_ARGUMENTS: text}))
    return Raw(text.encode())
