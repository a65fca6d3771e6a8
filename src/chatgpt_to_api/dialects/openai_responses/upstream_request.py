"""Backend side, the request: the canonical request → the dialect's JSON.

Equal turns give equal bytes: keys stand in one order, nothing random or dated is added.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from chatgpt_to_api.chat.effort import effort_of
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import ChatRequest, JsonFormat, SpokenAnswer
from chatgpt_to_api.dialects.openai.requests import SHARED_EXTRAS, thinks
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT
from chatgpt_to_api.dialects.openai_responses.upstream_items import items_of, split_instructions
from chatgpt_to_api.dialects.openai_responses.upstream_tools import choice_of, tools_of
from chatgpt_to_api.errors import InvalidRequest

MOST_NAME: Final = 64
"""Longest name of a tool, characters, as the vendor has it."""
LEAST_TOKENS: Final = 16
"""The vendor refuses to write less: a smaller ``max_output_tokens`` is an error there."""

SEALED_THOUGHTS: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"

_SAMPLING: Final = ("temperature", "top_p")
_UNKNOWN_SAMPLING: Final = ("seed", "presence_penalty", "frequency_penalty", "top_k")
_OF_CHAT: Final = ("openai_chat", "")
_FROM_CHAT: Final = frozenset({*SHARED_EXTRAS, "logprobs", "moderation", "verbosity"})
"""Extras of chat completions that mean the same here."""
_NO_WISH: Final[Mapping[str, Any]] = {"modalities": ["text"], "stream_options": {}}


def ignored(request: ChatRequest) -> tuple[str, ...]:
    """Name, in the client's words, the given parameters that have no place here.

    Raises InvalidRequest for what would change the answer's meaning: an answer in sound.
    """
    for index, message in enumerate(request.messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, SpokenAnswer):
                raise _refused(f"messages[{index}].content[{place}]", "earlier answers in sound")
    if any(kind != "text" for kind in request.extras.get("modalities") or ()):
        raise _refused("modalities", "answers in anything but text")
    sampling = request.sampling
    names = [n for n in _UNKNOWN_SAMPLING if getattr(sampling, n) is not None]
    if thinks(request.model):
        names += (n for n in _SAMPLING if getattr(sampling, n) is not None)
    if request.max_tokens is not None and request.max_tokens < LEAST_TOKENS:
        names.append("max_tokens")
    names += request.left_out(n for n, v in request.extras.items() if not _passes(request, n, v))
    return tuple(dict.fromkeys(map(request.named, names)))


def _refused(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"A Responses upstream takes no '{param}': it knows no {what}.",
        param=param,
        code="unsupported_parameter",
    )


def _passes(request: ChatRequest, name: str, value: Any) -> bool:
    """Whether an extra is passed on, or asks for nothing."""
    if request.dialect == DIALECT:
        return True
    return (request.dialect in _OF_CHAT and name in _FROM_CHAT) or _NO_WISH.get(name) == value


def request_object(
    request: ChatRequest, model: str, names: ToolNames, *, stream: bool, without: Container[str]
) -> dict[str, Any]:
    """Return the request for the upstream's ``model``, ``without`` the fields it refuses."""
    own = request.dialect == DIALECT
    thinking = thinks(model)
    instructions, messages = split_instructions(request.messages)
    body: dict[str, Any] = {"model": model}
    if instructions:
        body["instructions"] = instructions
    body["input"] = items_of(messages, names, own=own)
    extras = {
        name: value
        for name, value in request.extras.items()
        if name not in _NO_WISH and _passes(request, name, value)
    }
    tools = tools_of(request.tools, names, own=own) + list(extras.pop("tools", ()))
    if tools:
        body["tools"] = tools
        if request.tool_choice is not None:
            body["tool_choice"] = choice_of(request.tool_choice, request.tools, names)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    reasoning = _reasoning(request) | dict(extras.pop("reasoning", {}))
    if reasoning:
        body["reasoning"] = reasoning
    text = _text(request.json, extras.pop("verbosity", None))
    if text:
        body["text"] = text
    if request.max_tokens is not None:
        body["max_output_tokens"] = max(request.max_tokens, LEAST_TOKENS)
    for name in _SAMPLING:
        value = getattr(request.sampling, name)
        if value is not None and not thinking:
            body[name] = value
    include = list(extras.pop("include", ()))
    if thinking or reasoning:
        include.append(SEALED_THOUGHTS)
    if extras.pop("logprobs", False):
        include.append(LOGPROBS)
    if include:
        body["include"] = list(dict.fromkeys(include))
    body["store"] = False
    if stream:
        body["stream"] = True
    if request.prompt_cache_key is not None:
        body["prompt_cache_key"] = request.prompt_cache_key
    if request.user is not None:
        body["user"] = request.user
    body |= extras
    return {name: value for name, value in body.items() if name not in without}


def _reasoning(request: ChatRequest) -> dict[str, Any]:
    effort = request.reasoning_effort
    if effort is None and request.reasoning_budget is not None:
        effort = effort_of(request.reasoning_budget)
    return {} if effort is None else {"effort": effort}


def _text(form: JsonFormat | None, verbosity: str | None) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if form is not None:
        text["format"] = _format(form)
    if verbosity is not None:
        text["verbosity"] = verbosity
    return text


def _format(form: JsonFormat) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    fields: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer"}
    if form.description is not None:
        fields["description"] = form.description
    fields["schema"] = form.schema
    if form.strict is not None:
        fields["strict"] = form.strict
    return fields
