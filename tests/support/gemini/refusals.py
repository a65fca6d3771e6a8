"""What the Gemini API refuses, in its own words: one unknown name anywhere is a 400."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
REQUEST: Final = frozenset(
    {
        "contents",
        "tools",
        "toolConfig",
        "safetySettings",
        "systemInstruction",
        "generationConfig",
        "cachedContent",
        "model",
    }
)
CONFIG: Final = frozenset(
    {
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "candidateCount",
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
        "speechConfig",
        "mediaResolution",
    }
)
PARTS: Final = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
BESIDE: Final = frozenset({"thought", "thoughtSignature", "videoMetadata"})
SCHEMA: Final = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "propertyOrdering",
        "default",
        "items",
        "minimum",
        "maximum",
    }
)
DECLARATION: Final = frozenset(
    {
        "name",
        "description",
        "behavior",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    }
)
VALUES: Final = ("args", "response", "parametersJsonSchema", "responseJsonSchema", "properties")
"""What holds names that are somebody else's."""
TYPES: Final = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")


class Refused(Exception):
    """The API's error, as it stands in a reply."""

    def __init__(self, status: int, message: str, *details: Mapping[str, Any]) -> None:
        self.status = status
        self.error = {
            "code": status,
            "message": message,
            "status": STATUSES[status],
            **({"details": list(details)} if details else {}),
        }


def bad_key() -> Refused:
    """The API tells a bad key by a 400."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    }
    return Refused(400, "API key not valid. Please pass a valid API key.", info)


def known(fields: Iterable[str], names: Iterable[str], where: str) -> None:
    """Refuse a name that the API does not know."""
    for name in fields:
        if name not in names:
            at = f" at '{where}'" if where else ""
            raise Refused(
                400,
                f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.',
            )


def spelled(value: Any) -> Any:
    """Put ``field_name`` right: the API takes both, but not in what is no field of its own."""
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        (name := re.sub(r"_([a-z])", lambda found: found[1].upper(), key)): (
            inner if name in VALUES else spelled(inner)
        )
        for key, inner in value.items()
    }


def check(body: Mapping[str, Any], model: str) -> None:
    """Check a request as the API does."""
    known(body, REQUEST, "")
    if not body.get("contents"):
        raise Refused(400, "* GenerateContentRequest.contents: contents is not specified")
    calls: list[Any] = []
    for index, content in enumerate(body["contents"]):
        calls = _content(content, f"contents[{index}]", calls)
    _signatures(body["contents"], model)
    if "systemInstruction" in body:
        _content(body["systemInstruction"], "system_instruction", [])
    for place, tool in enumerate(body.get("tools", ())):
        known(tool, {"functionDeclarations", "googleSearch", "codeExecution"}, f"tools[{place}]")
        for number, function in enumerate(tool.get("functionDeclarations", ())):
            _function(function, f"tools[{place}].function_declarations[{number}]")
    config = body.get("generationConfig", {})
    known(config, CONFIG, "generation_config")
    if len(config.get("stopSequences", ())) > 5:
        raise Refused(400, "Too many stop sequences: at most 5.")
    if "responseSchema" in config:
        schema(config["responseSchema"], "generation_config.response_schema")
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("allowedFunctionNames") and calling.get("mode") not in ("ANY", "VALIDATED"):
        raise Refused(400, "Allowed function names should only be set when the mode is ANY.")


def _content(content: Mapping[str, Any], where: str, calls: list[Any]) -> list[Any]:
    known(content, {"role", "parts"}, where)
    if content.get("role", "user") not in ("user", "model"):
        raise Refused(400, "Please use a valid role: user, model.")
    if not content.get("parts"):
        raise Refused(400, f"* GenerateContentRequest.{where}.parts: contents.parts is empty")
    answers = []
    made = []
    for number, part in enumerate(content["parts"]):
        place = f"{where}.parts[{number}]"
        known(part, (*PARTS, *BESIDE, "executableCode", "codeExecutionResult"), place)
        kinds = [kind for kind in PARTS if kind in part]
        if len(kinds) > 1:
            raise Refused(400, f"{place}: oneof field 'data' is already set.")
        if "functionCall" in part:
            known(part["functionCall"], {"id", "name", "args"}, place)
            if not isinstance(part["functionCall"].get("args", {}), dict):
                raise Refused(400, f"Invalid value at '{place}.function_call.args'")
            made.append(part["functionCall"])
        if "functionResponse" in part:
            known(part["functionResponse"], {"id", "name", "response"}, place)
            if not isinstance(part["functionResponse"]["response"], dict):
                raise Refused(400, f"Invalid value at '{place}.function_response.response'")
            answers.append(part["functionResponse"])
    _answered(calls, answers)
    return made


def _answered(calls: list[Any], answers: list[Any]) -> None:
    if len(calls) != len(answers):
        raise Refused(
            400,
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn.",
        )
    for call, answer in zip(calls, answers, strict=True):
        # An id may be missing, as the vendor's own client leaves it out; it may not be another.
        same = answer.get("id", call.get("id")) == call.get("id")
        if not same or call["name"] != answer["name"]:
            raise Refused(400, "Function response does not match the function call in its place.")


def _signatures(contents: list[Any], model: str) -> None:
    """Since Gemini 3 the first call of each step of the current turn must bring its signature."""
    if not model.startswith("gemini-3"):
        return
    for content in reversed(contents):
        parts = content["parts"]
        if content.get("role") != "model" and not any("functionResponse" in p for p in parts):
            return
        calls = [part for part in parts if "functionCall" in part]
        if not calls:
            continue
        name = calls[0]["functionCall"]["name"]
        if calls[0].get("thoughtSignature") != signature(name):
            raise Refused(
                400,
                "Function call is missing a thought_signature in functionCall parts: "
                f"function call `default_api:{name}`.",
            )
        if any("thoughtSignature" in call for call in calls[1:]):
            raise Refused(400, "A thought signature stands where none was given.")


def signature(name: str) -> str:
    """What a call of this function is signed with."""
    return base64.b64encode(f"signed {name}".encode()).decode()


def _function(function: Mapping[str, Any], where: str) -> None:
    known(function, DECLARATION, where)
    name = function["name"]
    fits = name[:1].isalpha() or name[:1] == "_"
    if not fits or len(name) > 64 or not all(c.isalnum() or c in "_.:-" for c in name):
        raise Refused(400, f"* GenerateContentRequest.{where}.name: Invalid function name.")
    if "parameters" in function:
        if not function["parameters"].get("properties"):
            raise Refused(400, f"{where}.parameters.properties: should be non-empty")
        schema(function["parameters"], f"{where}.parameters")


def schema(value: Mapping[str, Any], where: str) -> None:
    """Check a schema, and all that stands in it."""
    known(value, SCHEMA, where)
    kind = value["type"].upper() if "type" in value else None  # the API takes both cases
    if kind is None and "anyOf" not in value:
        raise Refused(400, f"* GenerateContentRequest.{where}: type is not specified")
    if kind is not None and kind not in TYPES:
        raise Refused(400, f"Invalid value at '{where}.type', {kind!r}")
    if not all(isinstance(option, str) and option for option in value.get("enum", ())):
        raise Refused(400, f"Invalid value at '{where}.enum'")
    if kind == "ARRAY" and "items" not in value:
        raise Refused(400, f"* GenerateContentRequest.{where}.items: missing field.")
    for name in value.get("required", ()):
        if name not in value.get("properties", {}):
            raise Refused(400, f"{where}.required[0]: property is not defined")
    if kind == "STRING" and value.get("format", "enum") not in ("enum", "date-time"):
        raise Refused(400, f"{where}.format: only 'enum' and 'date-time' are supported")
    for name, inner in value.get("properties", {}).items():
        schema(inner, f"{where}.properties[{name}]")
    for number, inner in enumerate(value.get("anyOf", ())):
        schema(inner, f"{where}.any_of[{number}]")
    if "items" in value:
        schema(value["items"], f"{where}.items")
