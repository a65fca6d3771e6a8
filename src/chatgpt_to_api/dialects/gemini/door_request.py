"""Client side, the request: the dialect's JSON → the canonical request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    JsonFormat,
    Message,
    NamedTool,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    Vendor,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.gemini.door_turns import parts_of, turns_of
from chatgpt_to_api.dialects.gemini.messages import (
    DIALECT,
    MOST_CANDIDATES,
    FunctionCallingConfig,
    FunctionDeclaration,
    GenerateContentRequest,
    GenerationConfig,
)
from chatgpt_to_api.dialects.gemini.schema import json_schema
from chatgpt_to_api.dialects.gemini.thinking import DYNAMIC, INCLUDE
from chatgpt_to_api.dialects.gemini.upstream_request import CONFIG, TOOL_CONFIG
from chatgpt_to_api.dialects.problems import anything, decoded, invalid

MAX_STOPS: Final = 16
"""Most stop strings; the vendor takes 5, other servers more."""
MAX_STOP: Final = 1000
"""Longest stop string, characters."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])
_CONFIG: Final = msgspec.json.Decoder(GenerationConfig)
_CALLING: Final = msgspec.json.Decoder(FunctionCallingConfig)
_DECLARATION: Final = msgspec.json.Decoder(FunctionDeclaration)
_RANGES: Final = (("temperature", 0, 2), ("topP", 0, 1))
_OWN: Final = frozenset(field.encode_name for field in msgspec.structs.fields(GenerationConfig))
_REST: Final = ("safetySettings", "cachedContent")
_ON_THE_WAY: Final = frozenset(
    field.encode_name for field in msgspec.structs.fields(GenerateContentRequest)
) | {"model", "generateContentRequest"}
_DECLARED: Final = frozenset({"name", "description"})
_JSON: Final = "application/json"
_PLAIN: Final = "text/plain"

_NAMES: Final[Mapping[str, str]] = {
    "n": "candidateCount",
    "max_tokens": "maxOutputTokens",
    "stop": "stopSequences",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "tool_choice": "toolConfig",
    "response_format": "responseSchema",
    "reasoning_effort": "thinkingLevel",
    "reasoning_budget": "thinkingBudget",
}
"""What a client of this dialect calls the parameters that all know."""


def config_of(asked: GenerateContentRequest) -> GenerationConfig:
    """Return ``generationConfig``, its fields typed. Raises InvalidRequest."""
    if not present(asked.generation_config):
        return GenerationConfig()
    config = decoded(asked.generation_config, _CONFIG, "generationConfig")
    for name, low, high in _RANGES:
        value = getattr(config, "top_p" if name == "topP" else name)
        if value is not None and not low <= value <= high:
            said = f"expected a number from {low} to {high}, got {value:g}"
            raise invalid(f"generationConfig.{name}", said)
    count = config.candidate_count
    if count is not None and not 1 <= count <= MOST_CANDIDATES:
        said = f"expected an integer from 1 to {MOST_CANDIDATES}, got {count}"
        raise invalid("generationConfig.candidateCount", said)
    if config.max_output_tokens is not None and config.max_output_tokens < 1:
        said = f"expected an integer of at least 1, got {config.max_output_tokens}"
        raise invalid("generationConfig.maxOutputTokens", said)
    return config


def canonical(
    asked: GenerateContentRequest,
    config: GenerationConfig,
    body: bytes,
    *,
    model: str,
    stream: bool,
) -> ChatRequest:
    """Translate a checked request. ``body`` is its JSON. Raises InvalidRequest naming the field."""
    extras = _extras(asked, config, body)
    tools, others = _tools(asked.tools or ())
    if others:
        extras["tools"] = others
    thinking = config.thinking_config
    effort, budget = None, None
    if thinking is not None:
        budget = thinking.thinking_budget
        if budget is not None and budget < 0:  # the model is to decide, as it does unasked
            extras[DYNAMIC], budget = budget, None
        if thinking.thinking_level is not None and budget is None:
            effort = thinking.thinking_level.lower()
        if thinking.include_thoughts is not None:
            extras[INCLUDE] = thinking.include_thoughts
    return ChatRequest(
        model=model,
        messages=(*_system(asked.system_instruction), *turns_of(asked.contents)),
        stream=stream,
        include_usage=True,
        n=config.candidate_count or 1,
        max_tokens=config.max_output_tokens,
        stop=_stop(config.stop_sequences or ()),
        sampling=Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            seed=config.seed,
            presence_penalty=config.presence_penalty,
            frequency_penalty=config.frequency_penalty,
            top_k=None if config.top_k is None else int(config.top_k),
        ),
        tools=tools,
        tool_choice=_tool_choice(asked.tool_config, extras),
        json=_json_format(config, extras),
        reasoning_effort=effort,
        reasoning_budget=budget,
        dialect=DIALECT,
        extras=extras,
        own_names=_NAMES,
    )


def _extras(asked: GenerateContentRequest, config: GenerationConfig, body: bytes) -> dict[str, Any]:
    """Return what has no canonical field; what stands in ``generationConfig`` with its path."""
    fields = _OBJECT.decode(body)
    extras = {
        name: anything(raw, name)
        for name, raw in fields.items()
        if present(raw) and (name in _REST or name not in _ON_THE_WAY)
    }
    if present(asked.generation_config):
        for name, raw in _OBJECT.decode(asked.generation_config).items():
            if name not in _OWN and present(raw):
                extras[CONFIG + name] = anything(raw, CONFIG + name)
    if config.top_k is not None and not config.top_k.is_integer():
        raise invalid("generationConfig.topK", f"expected an integer, got {config.top_k:g}")
    return extras


def _system(raw: Raw) -> tuple[Message, ...]:
    if not present(raw):
        return ()
    param = "systemInstruction"
    if bytes(memoryview(raw)[:1]) == b'"':  # the vendor takes a bare text too
        return (Message("system", (Text(str(anything(raw, param))),)),)
    parts = parts_of(raw, param)
    return (Message("system", parts),) if parts else ()


def _stop(given: Sequence[str]) -> tuple[str, ...]:
    param = "generationConfig.stopSequences"
    if len(given) > MAX_STOPS:
        raise invalid(param, f"expected at most {MAX_STOPS} strings, got {len(given)}")
    for index, text in enumerate(given):
        if len(text) > MAX_STOP:
            said = f"expected at most {MAX_STOP} characters, got {len(text)}"
            raise invalid(f"{param}[{index}]", said)
    return tuple(text for text in given if text)


def _tools(given: Sequence[Raw]) -> tuple[tuple[Tool, ...], list[Any]]:
    """Return the functions, and apart from them the tools only this dialect's servers know."""
    tools: list[Tool] = []
    others: list[Any] = []
    for index, raw in enumerate(given):
        param = f"tools[{index}]"
        fields = decoded(raw, _OBJECT, param)
        declared = fields.pop("functionDeclarations", None)
        if declared is not None and present(declared):
            where = f"{param}.functionDeclarations"
            declarations: list[Raw] = decoded(declared, _LIST, where)
            tools += (_function(one, f"{where}[{at}]") for at, one in enumerate(declarations))
        rest = {name: anything(value, f"{param}.{name}") for name, value in fields.items()}
        if rest:
            others.append(rest)
    return tuple(tools), others


def _function(raw: Raw, param: str) -> Tool:
    declaration = decoded(raw, _DECLARATION, param)
    vendor = {
        name: anything(value, f"{param}.{name}")
        for name, value in _OBJECT.decode(raw).items()
        if name not in _DECLARED and name != "parameters" and present(value)
    }
    schema = declaration.parameters_json_schema
    if schema is None and declaration.parameters is not None:
        schema = json_schema(declaration.parameters)
    return Tool(
        declaration.name,
        declaration.description,
        schema,
        vendor=Vendor(DIALECT, vendor) if vendor else None,
    )


def _tool_choice(raw: Raw, extras: dict[str, Any]) -> ToolChoice | None:
    if not present(raw):
        return None
    fields = decoded(raw, _OBJECT, "toolConfig")
    calling = fields.pop("functionCallingConfig", None)
    for name, value in fields.items():
        extras[TOOL_CONFIG + name] = anything(value, TOOL_CONFIG + name)
    if calling is None or not present(calling):
        return None
    param = "toolConfig.functionCallingConfig"
    config = decoded(calling, _CALLING, param)
    names = tuple(config.allowed_function_names or ())
    match (config.mode or "AUTO").upper():
        case "ANY" if len(names) == 1:
            return NamedTool(names[0])
        case "ANY":
            return AllowedTools(names, "required") if names else "required"
        case "VALIDATED" if names:
            return AllowedTools(names)
        case "VALIDATED":
            extras[TOOL_CONFIG + "functionCallingConfig"] = {"mode": "VALIDATED"}
            return "auto"
        case "NONE":
            return "none"
        case "AUTO" | "MODE_UNSPECIFIED":
            return "auto"
    mode = (config.mode or "")[:40]
    raise invalid(f"{param}.mode", f"expected AUTO, ANY, NONE or VALIDATED, got {mode!r}")


def _json_format(config: GenerationConfig, extras: dict[str, Any]) -> JsonFormat | None:
    kind = config.response_mime_type or _PLAIN
    forms: tuple[tuple[str, Raw, Callable[[Any], Any]], ...] = (
        ("responseJsonSchema", config.response_json_schema, lambda given: given),
        ("responseSchema", config.response_schema, json_schema),
    )
    for name, raw, convert in forms:
        if present(raw):
            given = anything(raw, CONFIG + name)
            if not isinstance(given, dict):
                raise invalid(CONFIG + name, "expected object")
            if kind == _JSON:
                return JsonFormat(convert(given))
            extras[CONFIG + name] = given
            break
    if kind == _JSON:
        return JsonFormat()
    if kind != _PLAIN:
        extras[CONFIG + "responseMimeType"] = kind
    return None
