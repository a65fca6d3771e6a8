"""Backend side, the request: the canonical request → the dialect's JSON.

Equal turns give equal bytes: keys stand in one order, nothing random or dated is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    Message,
    NamedTool,
    Part,
    Tool,
    ToolCall,
    ToolResult,
    understood,
)
from chatgpt_to_api.dialects.anthropic.messages import DIALECT
from chatgpt_to_api.dialects.anthropic.models import model_of
from chatgpt_to_api.dialects.anthropic.upstream_blocks import (
    LONGEST_NAME,
    block_of,
    blocks,
    text_block,
)
from chatgpt_to_api.dialects.anthropic.upstream_settings import answering
from chatgpt_to_api.errors import InvalidRequest

_OPENING: Final = "(The conversation begins.)"
"""Said by the user where the assistant speaks first, which the API does not take."""

_PLACED: Final = frozenset({"tools", "thinking", "output_config", "metadata"})
"""Extras of this dialect that are put where they belong, not beside the rest."""


def request_object(request: ChatRequest, model: str, longest: int | None) -> dict[str, Any]:
    """Return the request for the upstream's ``model``. Raises InvalidRequest, as ``check`` does."""
    names = ToolNames(request, LONGEST_NAME)
    system, turns = _conversation(request.messages, names, in_place=model_of(model).system_in_place)
    own = request.extras if request.dialect == DIALECT else {}
    body: dict[str, Any] = {"model": model}
    tools = [_tool(tool, names, own=own is request.extras) for tool in _allowed(request)]
    tools += own.get("tools", ())
    if tools:
        body["tools"] = tools
    if system:
        body["system"] = system
    body["messages"] = turns
    body |= answering(request, model, longest).fields
    if request.stream:
        body["stream"] = True
    choice = _tool_choice(request, names, bool(tools))
    if choice is not None:
        body["tool_choice"] = choice
    return body | {name: value for name, value in own.items() if name not in _PLACED}


def dropped(request: ChatRequest, model: str, longest: int | None) -> tuple[str, ...]:
    """Name, in the client's words, the given parameters that ``model`` is not sent."""
    names = [request.named(name) for name in answering(request, model, longest).dropped]
    if request.dialect != DIALECT:
        names += ["prompt_cache_key"] if request.prompt_cache_key is not None else []
        names += request.left_out(request.extras)
    return tuple(names)


def check(request: ChatRequest) -> None:
    """Raise InvalidRequest for what the API refuses of a conversation, in words that say where."""
    open_calls: dict[str, str] = {}
    for index, message in enumerate(request.messages):
        param = f"messages[{index}]"
        for part in message.parts:
            if isinstance(part, ToolResult) and open_calls.pop(part.call_id, None) is None:
                raise InvalidRequest(
                    f"Invalid '{param}': the tool result for call {part.call_id[:64]!r} answers no "
                    "call of the assistant's turn before it.",
                    param=param,
                    code="invalid_value",
                )
        if message.role not in ("tool", "user", "assistant"):
            continue
        answers = any(isinstance(part, ToolResult) for part in message.parts)
        if open_calls and not answers:
            _refuse_unanswered(open_calls)
        if message.role == "assistant":
            open_calls = {part.id: param for part in message.parts if isinstance(part, ToolCall)}
    if open_calls and request.messages[-1].role != "assistant":
        _refuse_unanswered(open_calls)
    match request.tool_choice:
        case "required" | NamedTool() | AllowedTools(mode="required") if not request.tools:
            choice, tools = request.named("tool_choice"), request.named("tools")
            raise InvalidRequest(
                f"'{choice}' demands a call, but '{tools}' holds no function to call.", param=choice
            )
        case _:
            pass


def _refuse_unanswered(calls: Mapping[str, str]) -> None:
    call_id, param = next(iter(calls.items()))
    raise InvalidRequest(
        f"Invalid '{param}': the tool call {call_id[:64]!r} has no result. Each call's result must "
        "follow before anything else is said.",
        param=param,
        code="invalid_value",
    )


# -- tools -----------------------------------------------------------------------------------


def _allowed(request: ChatRequest) -> Sequence[Tool]:
    """The tools that may be called: the dialect cannot say so in another way."""
    match request.tool_choice:
        case AllowedTools(allowed):
            return [tool for tool in request.tools if tool.name in allowed]
        case _:
            return request.tools


def _tool(tool: Tool, names: ToolNames, *, own: bool) -> dict[str, Any]:
    """A tool as the API takes it. Whether a model takes ``strict`` its ``own`` clients know."""
    vendor = understood(tool.vendor, DIALECT)
    shown: dict[str, Any] = {"name": names.fit(tool.name)}
    if tool.description:
        shown["description"] = tool.description
    shown["input_schema"] = _schema(tool)
    if tool.strict is not None and own:
        shown["strict"] = tool.strict
    return {**shown, **vendor}


def _schema(tool: Tool) -> Mapping[str, Any]:
    """A tool's schema; the API wants one, of an object, and says so."""
    schema = tool.schema or {}
    return schema if "type" in schema else {"type": "object", **schema}


def _tool_choice(request: ChatRequest, names: ToolNames, tools: bool) -> dict[str, Any] | None:
    if not tools:
        return None
    own = request.extras.get("tool_choice") if request.dialect == DIALECT else None
    if isinstance(own, dict):
        return None  # it stands among the extras
    match names.choice(request.tool_choice):
        case "required" | AllowedTools(mode="required"):
            choice: dict[str, Any] = {"type": "any"}
        case NamedTool(name):
            choice = {"type": "tool", "name": name}
        case "none":
            return {"type": "none"}
        case None if request.parallel_tool_calls is None:
            return None
        case _:
            choice = {"type": "auto"}
    if request.parallel_tool_calls is not None:
        choice["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return choice


# -- messages --------------------------------------------------------------------------------


class _Turn:
    """One turn as the API sees it."""

    __slots__ = ("blocks", "results", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[Any] = []
        self.blocks: list[Any] = []

    def content(self) -> Any:
        match self.results, self.blocks:
            case [], [{"type": "text", "text": text, **more}] if not more:
                return text
        return [*self.results, *self.blocks]


def _conversation(
    messages: Sequence[Message], names: ToolNames, *, in_place: bool
) -> tuple[Any, list[dict[str, Any]]]:
    """Return the top-level ``system`` and the turns.

    What the API takes as one turn is sent as one: all results of a turn's calls in one user turn,
    before any text.
    """
    opening = 0
    while opening < len(messages) and messages[opening].role in ("system", "developer"):
        opening += 1
    if opening == len(messages):  # instructions alone are a question too
        opening -= 1
    system = [
        block
        for index, message in enumerate(messages[:opening])
        for block in blocks(message.parts, names, f"messages[{index}].content")
    ]
    turns: list[_Turn] = []
    for index, message in enumerate(messages[opening:], opening):
        role = message.role
        kind = {"developer": "system", "tool": "user"}.get(role, role)
        if kind == "system" and not (in_place and turns):
            kind = "user"
        turn = turns[-1] if turns and turns[-1].role == kind else _Turn(kind)
        _fill(turn, message.parts, names, f"messages[{index}].content")
        says = turn.blocks or turn.results or kind == "user"
        if says and not (turns and turn is turns[-1]):
            turns.append(turn)
    turns = _merged(turns)
    if not turns or turns[0].role == "assistant":
        first = _Turn("user")
        first.blocks.append(text_block(_OPENING))
        turns.insert(0, first)
    _strip_end(turns[-1])
    shown = [{"role": turn.role, "content": turn.content()} for turn in turns]
    if len(system) == 1 and isinstance(system[0], dict) and system[0].keys() == {"type", "text"}:
        return system[0]["text"], shown
    return system, shown


def _fill(turn: _Turn, parts: Sequence[Part], names: ToolNames, param: str) -> None:
    for place, part in enumerate(parts):
        block = block_of(part, names, f"{param}[{place}]")
        if block is not None:
            (turn.results if isinstance(part, ToolResult) else turn.blocks).append(block)


def _merged(turns: Sequence[_Turn]) -> list[_Turn]:
    """Tell system turns in the user's words where the API takes none, and join what then adjoins.

    One must follow a user's turn, and be the last or before an assistant's.
    """
    merged: list[_Turn] = []
    for index, turn in enumerate(turns):
        if turn.role == "system":
            follows = bool(merged) and merged[-1].role == "user"
            last = index + 1 == len(turns)
            if not follows or not (last or turns[index + 1].role == "assistant"):
                turn.role = "user"
        if merged and merged[-1].role == turn.role:
            merged[-1].results += turn.results
            merged[-1].blocks += turn.blocks
        else:
            merged.append(turn)
    return merged


def _strip_end(turn: _Turn) -> None:
    """An answer that the model is to go on with may not end in white space."""
    if turn.role == "assistant" and turn.blocks:
        last = turn.blocks[-1]
        if isinstance(last, dict) and last.get("type") == "text":
            turn.blocks[-1] = {**last, "text": last["text"].rstrip()}
