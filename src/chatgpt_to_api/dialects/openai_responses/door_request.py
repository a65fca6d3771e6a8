"""Client side, the request: the dialect's JSON → the canonical request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import ChatRequest, JsonFormat, Message, Sampling, Text
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_responses.door_items import messages_of
from chatgpt_to_api.dialects.openai_responses.door_tools import Declared, tool_choice
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    ReasoningOptions,
    ResponsesRequest,
    TextFormat,
    TextOptions,
    TypedExtras,
)
from chatgpt_to_api.dialects.problems import anything, decoded, invalid

SEALED_THOUGHTS: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"
"""What a client asks to be included."""

_RANGES: Final = (("temperature", 0, 2), ("top_p", 0, 1))
_CANONICAL: Final = frozenset(ResponsesRequest.__struct_fields__) - {"include", "truncation"}
"""What has a meaning here; the gateway itself sees to what is kept and to what is noted on it."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_EXTRAS: Final = msgspec.json.Decoder(TypedExtras)
_FORMAT: Final = msgspec.json.Decoder(TextFormat)
_REASONING_EFFORT: Final = "effort"

_OWN_NAMES: Final = {
    "max_tokens": "max_output_tokens",
    "json": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}


def canonical(
    asked: ResponsesRequest,
    fields: Mapping[str, Raw],
    items: Iterable[tuple[Raw, str]],
    declared: Declared,
) -> ChatRequest:
    """Translate a checked request, ``fields`` being its JSON. Raises InvalidRequest.

    ``items`` are all of the conversation, each with the path it stands at.
    """
    for name, low, high in _RANGES:
        value = getattr(asked, name)
        if value is not None and not low <= value <= high:
            raise invalid(name, f"expected a number from {low} to {high}, got {value:g}")
    if asked.max_output_tokens is not None and asked.max_output_tokens < 1:
        raise invalid(
            "max_output_tokens",
            f"expected an integer of at least 1, got {asked.max_output_tokens}",
        )
    extras = _extras(asked, fields)
    own_names = dict(_OWN_NAMES)
    thinking = _rest_of_reasoning(fields)
    if thinking:
        extras["reasoning"] = thinking
        own_names["reasoning"] = f"reasoning.{next(iter(thinking))}"
    if declared.others:
        extras["tools"] = list(declared.others)
    choice = tool_choice(asked.tool_choice, extras)
    messages = messages_of(items)
    if asked.instructions:
        messages = (Message("system", (Text(asked.instructions),)), *messages)
    reasoning = asked.reasoning or ReasoningOptions()
    return ChatRequest(
        model=asked.model,
        messages=messages,
        stream=bool(asked.stream),
        include_usage=True,
        max_tokens=asked.max_output_tokens,
        sampling=Sampling(temperature=asked.temperature, top_p=asked.top_p),
        tools=tuple(declared.tools),
        tool_choice=choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        json=_json_format(asked.text),
        reasoning_effort=reasoning.effort,
        user=asked.user,
        prompt_cache_key=asked.prompt_cache_key,
        dialect=DIALECT,
        extras=extras,
        own_names=own_names,
    )


def _extras(asked: ResponsesRequest, fields: Mapping[str, Raw]) -> dict[str, Any]:
    """Return the given parameters that have no canonical form."""
    decoded(Raw(msgspec.json.encode(fields)), _EXTRAS, "")  # for their types and ranges alone
    extras = {
        name: anything(raw, name)
        for name, raw in fields.items()
        if name not in _CANONICAL and present(raw)
    }
    if not extras.get("include"):
        extras.pop("include", None)
    if extras.get("truncation") == "disabled":  # it is what everybody does
        del extras["truncation"]
    if asked.text is not None and asked.text.verbosity is not None:
        extras["verbosity"] = asked.text.verbosity
    if LOGPROBS in (asked.include or ()):
        extras["logprobs"] = True
    return extras


def _rest_of_reasoning(fields: Mapping[str, Raw]) -> dict[str, Any]:
    """Return what is wished of thinking besides its effort."""
    raw = fields.get("reasoning")
    if raw is None or not present(raw):
        return {}
    wishes = decoded(raw, _OBJECT, "reasoning")
    return {n: v for n, v in wishes.items() if n != _REASONING_EFFORT and v is not None}


def _json_format(text: TextOptions | None) -> JsonFormat | None:
    if text is None or not present(text.format):
        return None
    form = decoded(text.format, _FORMAT, "text.format")
    match form.type:
        case "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema":
            if form.schema is None:
                raise invalid("text.format.schema", "expected object, got nothing")
            return JsonFormat(form.schema, form.name, form.description, form.strict)
    expected = "text, json_object or json_schema"
    raise invalid("text.format.type", f"expected {expected}, got {form.type[:40]!r}")
