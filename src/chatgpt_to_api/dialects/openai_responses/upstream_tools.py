"""Backend side, tools: canonical tools and choices → the dialect's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import AllowedTools, NamedTool, Tool, ToolChoice, understood
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT

_NO_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


def tools_of(tools: Iterable[Tool], names: ToolNames, *, own: bool) -> list[Any]:
    """Return the tools; those of a namespace stand together in it, where its first one stood.

    ``own``: a client of this dialect declared them. Others leave ``strict`` away where they mean
    that arguments need not be checked, which has to be said here.
    """
    listed: list[Any] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        fields = dict(understood(tool.vendor, DIALECT))
        space = fields.pop("namespace", None)
        entry = _tool(tool, fields, names, own=own)
        if space is None:
            listed.append(entry)
            continue
        known = spaces.get(space["name"])
        if known is None:
            known = spaces[space["name"]] = {"type": "namespace", **space, "tools": []}
            listed.append(known)
        known["tools"].append(entry)
    return listed


def _tool(tool: Tool, fields: dict[str, Any], names: ToolNames, *, own: bool) -> dict[str, Any]:
    search = fields.get("type") == "tool_search"
    entry: dict[str, Any] = {"type": "custom" if tool.freeform else "function"}
    if not search:
        entry["name"] = fields.pop("name", None) or names.fit(tool.name)
    if tool.description is not None:
        entry["description"] = tool.description
    if tool.grammar is not None:
        grammar = tool.grammar
        entry["format"] = {
            "type": "grammar",
            "syntax": grammar.syntax,
            "definition": grammar.definition,
        }
    schema, strict = tool.schema, tool.strict
    if not own and not tool.freeform:
        schema = _NO_ARGUMENTS if schema is None else schema
        strict = bool(strict)
    if schema is not None:
        entry["parameters"] = schema
    if strict is not None:
        entry["strict"] = strict
    return entry | fields


def choice_of(choice: ToolChoice, tools: Iterable[Tool], names: ToolNames) -> Any:
    """Return what may or must be called; of what kind a tool is, its declaration tells."""
    declared = {tool.name: tool for tool in tools}
    match choice:
        case NamedTool(name):
            return _chosen(name, declared, names)
        case AllowedTools(allowed, mode):
            entries = [_chosen(name, declared, names) for name in allowed]
            return {"type": "allowed_tools", "mode": mode, "tools": entries}
        case _:
            return choice


def _chosen(name: str, declared: Mapping[str, Tool], names: ToolNames) -> dict[str, Any]:
    tool = declared.get(name)
    own = {} if tool is None else understood(tool.vendor, DIALECT)
    if own.get("type") == "tool_search":
        return {"type": "tool_search"}
    kind = "custom" if tool is not None and tool.freeform else "function"
    chosen = {"type": kind, "name": own.get("name") or names.fit(name)}
    space = own.get("namespace")
    return chosen if space is None else chosen | {"namespace": space["name"]}
