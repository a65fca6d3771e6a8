"""Backend side, the request: how an answer is to be made, as far as a model takes it.

What does not go together, or is not taken, is left out and named; nothing of it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.effort import budget_of, effort_of
from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    NamedTool,
    Opaque,
    Reasoning,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.anthropic.messages import DIALECT
from chatgpt_to_api.dialects.anthropic.models import Model, model_of

LEAST_BUDGET: Final = 1024
"""Fewest tokens to think with that the API takes."""

_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low", "none": "low"}
_EXTRA_EFFORTS: Final = frozenset({"xhigh"})
_NOT_HERE: Final = ("seed", "presence_penalty", "frequency_penalty")


class Answering(msgspec.Struct, frozen=True):
    """The fields of a request that say how to answer, and what of the asked-for is not in them."""

    fields: Mapping[str, Any]
    dropped: tuple[str, ...]


def answering(request: ChatRequest, model: str, longest: int | None) -> Answering:
    """Return how ``model`` is to answer; ``longest`` is a configured limit of its answers, tokens.

    Two things cannot be had at once, and the one that changes the answer's meaning wins: a forced
    call over thinking, thinking over the temperature.
    """
    knows = model_of(model)
    dropped: list[str] = []
    fields: dict[str, Any] = {"max_tokens": request.max_tokens or longest or knows.longest}
    fields |= _thought(request, knows, fields["max_tokens"], dropped)
    thinking = fields.get("thinking", {}).get("type") in ("enabled", "adaptive")
    fields |= _sampled(request, knows, dropped, thinking=thinking)
    if request.stop:
        stops = [text for text in request.stop if text.strip()]
        if len(stops) < len(request.stop):
            dropped.append("stop")
        if stops:
            fields["stop_sequences"] = stops
    own = request.extras if request.dialect == DIALECT else {}
    output = dict(own.get("output_config", {}))
    if "effort" in fields:
        output["effort"] = fields.pop("effort")
    if request.json is not None and request.json.schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.json.schema}
    if output:
        fields["output_config"] = output
    metadata = dict(own.get("metadata", {}))
    if request.user is not None:
        metadata["user_id"] = request.user
    if metadata:
        fields["metadata"] = metadata
    return Answering(fields, tuple(dropped))


def _sampled(
    request: ChatRequest, knows: Model, dropped: list[str], *, thinking: bool
) -> dict[str, Any]:
    sampling = request.sampling
    dropped += (name for name in _NOT_HERE if getattr(sampling, name) is not None)
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k")
        if (value := getattr(sampling, name)) is not None
    }
    taken: dict[str, Any] = {}
    for name, value in given.items():
        if (
            not knows.sampling
            or (name == "temperature" and value > 1)
            or (thinking and not _fits_thinking(name, value))
            or (name == "top_p" and "temperature" in taken and not knows.both_sampling)
        ):
            dropped.append(name)
        else:
            taken[name] = value
    return taken


def _fits_thinking(name: str, value: float) -> bool:
    """While it thinks, a model's temperature is 1, and nothing much is cut off."""
    return {"temperature": value == 1, "top_p": value >= 0.95, "top_k": False}[name]


def _thought(
    request: ChatRequest, knows: Model, longest: int, dropped: list[str]
) -> dict[str, Any]:
    """Return how much the model is to think; ``effort`` is for the output's configuration."""
    effort, budget = request.reasoning_effort, request.reasoning_budget
    name = "reasoning_effort" if effort is not None else "reasoning_budget"
    if request.dialect == DIALECT:
        own = _own_thought(request, dropped)
        if own is not None:
            return own
    if budget is None and effort is not None:
        budget = budget_of(effort)
    if budget is None:
        return {}
    if budget == 0:
        if knows.always_thinks:
            dropped.append(name)
        return {}
    if knows.thinks == "never" or _is_forced(request):
        dropped.append(name)
        return {}
    if knows.thinks != "budget":
        word = effort if effort is not None else effort_of(budget)
        word = _EFFORTS.get(word, word)
        if word in _EXTRA_EFFORTS and not knows.extra_effort:
            word = "high"
        return {"thinking": {"type": "adaptive"}, "effort": word}
    budget = min(max(budget, LEAST_BUDGET), longest - 1)
    if budget < LEAST_BUDGET or _thoughts_are_lost(request):
        dropped.append(name)
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _own_thought(request: ChatRequest, dropped: list[str]) -> dict[str, Any] | None:
    """What a client of this dialect has said of it; None where that means nothing to a forced call.

    It knows its model, so its words stand.
    """
    fields: dict[str, Any] = {}
    if request.reasoning_effort is not None:
        fields["effort"] = request.reasoning_effort
    thinking = request.extras.get("thinking")
    budget = request.reasoning_budget
    if thinking is None and budget is not None:
        thinking = {"type": "enabled", "budget_tokens": budget} if budget else {"type": "disabled"}
    if thinking is not None:
        if _is_forced(request) and thinking.get("type") not in ("disabled", "between_tools"):
            dropped.append("reasoning_budget")
        else:
            fields["thinking"] = thinking
    return fields


def _is_forced(request: ChatRequest) -> bool:
    """Whether a call is demanded: a model that thinks refuses to be."""
    match request.tool_choice:
        case "required" | NamedTool():
            return bool(request.tools)
        case AllowedTools(mode=mode):
            return mode == "required" and bool(request.tools)
        case _:
            return False


def _thoughts_are_lost(request: ChatRequest) -> bool:
    """Whether calls of the current turn stand without the signed thought that led to them.

    With a budget the API demands it: such calls come from another model, or another vendor's.
    """
    for message in reversed(request.messages):
        if message.role == "assistant":
            if any(isinstance(part, ToolCall) for part in message.parts):
                return not any(
                    isinstance(part, Reasoning) and _is_ours(part.opaque) for part in message.parts
                )
        elif not any(isinstance(part, ToolResult) for part in message.parts):
            return False
    return False


def _is_ours(opaque: Opaque | None) -> bool:
    return opaque is not None and opaque.dialect == DIALECT
