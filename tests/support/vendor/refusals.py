"""What the vendor refuses, with its own words: errors in the shape of the public API."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

MODELS: Final = ("gpt-4o", "gpt-4o-mini", "o4-mini")

KNOWN: Final = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)


class Refused(Exception):
    """The vendor answers with this status and error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.error = {"message": message, "type": kind, "param": param, "code": code}


STATUSES: Final[Mapping[int, tuple[str, str, str | None]]] = {
    400: ("Something about this is invalid.", "invalid_request_error", "something_invalid"),
    403: ("You are not allowed to use this.", "invalid_request_error", "unsupported_country"),
    404: ("There is no such thing.", "invalid_request_error", "not_found"),
    409: ("It is being used.", "invalid_request_error", "conflict"),
    422: ("This cannot be processed.", "invalid_request_error", "unprocessable"),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    503: ("The engine is currently overloaded.", "server_error", "overloaded"),
}


def check_model(body: Mapping[str, Any]) -> None:
    """Raise Refused for a model that is not there."""
    if body.get("model") not in MODELS:
        raise Refused(
            404,
            f"The model `{body.get('model')}` does not exist or you do not have access to it.",
            code="model_not_found",
        )


def check_chat(body: Mapping[str, Any]) -> None:
    """Raise Refused for a chat request that the vendor would not answer."""
    check_model(body)
    for name in body:
        if name not in KNOWN:
            raise Refused(400, f"Unrecognized request argument supplied: {name}")
    _check_calls(body["messages"])
    for at, part in parts(body["messages"]):
        _check_part(at, part)
    _check_format(body)


def parts(messages: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every content part, with the path to it."""
    for m, message in enumerate(messages):
        if isinstance(message.get("content"), list):
            for p, part in enumerate(message["content"]):
                yield f"messages.[{m}].content.[{p}]", part


def payload(part: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """The media type and bytes of a part that carries any; raises ValueError for bad base64."""
    match part["type"]:
        case "image_url" if part["image_url"]["url"].startswith("data:"):
            kind, _, data = part["image_url"]["url"][5:].partition(";base64,")
        case "input_audio":
            kind, data = f"audio/{part['input_audio']['format']}", part["input_audio"]["data"]
        case "file" if "file_data" in part["file"]:
            kind, _, data = part["file"]["file_data"].removeprefix("data:").partition(";base64,")
        case _:
            return None
    return kind, base64.b64decode(data, validate=True)


def _check_part(at: str, part: Mapping[str, Any]) -> None:
    if part["type"] not in ("text", "refusal", "image_url", "input_audio", "file"):
        raise Refused(
            400,
            f"Invalid value: '{part['type']}'. Supported values are: 'text', 'image_url', "
            "'input_audio', 'refusal', 'audio', and 'file'.",
            param=f"{at}.type",
            code="invalid_value",
        )
    try:
        payload(part)
    except (ValueError, binascii.Error):
        raise Refused(400, "Invalid base64 data.", param=at, code="invalid_base64") from None


def _check_calls(messages: Any) -> None:
    """Every call is answered, in the messages right after it, and nothing else is."""
    open_calls: list[str] = []
    for m, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise Refused(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"messages.[{m}].role",
                )
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            break
        open_calls = [call["id"] for call in message.get("tool_calls") or ()]
    if open_calls:
        raise Refused(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_calls),
            param="messages",
        )


def _check_format(body: Mapping[str, Any]) -> None:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object" and "json" not in str(body["messages"]).lower():
        raise Refused(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    if wanted.get("type") == "json_schema" and wanted["json_schema"].get("strict"):
        _check_strict(wanted["json_schema"]["schema"])


def _check_strict(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            raise Refused(
                400,
                "Invalid schema for response_format: 'additionalProperties' is required to be "
                "supplied and to be false.",
                param="response_format",
                code="invalid_json_schema",
            )
        for inner in schema.values():
            _check_strict(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _check_strict(inner)
