"""Client side, tools: what was declared where, under which names, and which of them may be called.

Tools stand in ``tools``, in ``additional_tools`` items, and in what a search for tools has found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    AllowedTools,
    Grammar,
    NamedTool,
    Tool,
    ToolChoice,
    Vendor,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    AdditionalToolsItem,
    AnyItem,
    CustomTool,
    FunctionTool,
    NamespaceTool,
    ToolSearchTool,
)
from chatgpt_to_api.dialects.openai_responses.naming import flat_name
from chatgpt_to_api.dialects.problems import anything, decoded, invalid
from chatgpt_to_api.errors import InvalidRequest

SEARCH: Final = "tool_search"
"""Name of the function that a client's own search for tools becomes."""

Kind: TypeAlias = Literal["function", "custom", "tool_search"]
"""What a call of a tool has to come back as."""


class _Typed(msgspec.Struct):
    type: str = "function"


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_TYPED: Final = msgspec.json.Decoder(_Typed)
_FUNCTION: Final = msgspec.json.Decoder(FunctionTool)
_CUSTOM: Final = msgspec.json.Decoder(CustomTool)
_NAMESPACE: Final = msgspec.json.Decoder(NamespaceTool)
_SEARCH: Final = msgspec.json.Decoder(ToolSearchTool)
_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)
_WITH_TOOLS: Final = msgspec.json.Decoder(AdditionalToolsItem)

_DECLARING: Final = ("additional_tools", "tool_search_output")
_FUNCTION_FIELDS: Final = frozenset({"type", *FunctionTool.__struct_fields__})
_CUSTOM_FIELDS: Final = frozenset({"type", *CustomTool.__struct_fields__})


class Called(msgspec.Struct, frozen=True):
    """How a client knows a tool, and what a call of it has to look like."""

    kind: Kind
    name: str
    namespace: str | None = None


class Declared:
    """The tools of one request, wherever it declares them; the first of a name counts."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []
        self.others: list[Any] = []
        """Tools that only this dialect's servers know, as they came."""
        self.called: dict[str, Called] = {}
        """By the one flat name that other dialects know a tool by."""

    def known_as(self, name: str) -> Called:
        """Return how the client knows the tool that a model has called by ``name``.

        Models leave a namespace away now and then; that is understood where it is clear.
        """
        called = self.called.get(name)
        if called is not None:
            return called
        meant = [tool for tool in self.called.values() if tool.name == name]
        return meant[0] if len(meant) == 1 else Called("function", name)

    def declare(self, tools: Iterable[Raw], param: str) -> None:
        """Take the tools that stand at ``param``. Raises InvalidRequest."""
        for index, raw in enumerate(tools):
            where = f"{param}[{index}]"
            match decoded(raw, _TYPED, where).type:
                case "namespace":
                    self._namespace(raw, where)
                case "tool_search":
                    self._search(raw, where)
                case "function" | "custom":
                    self._tool(raw, where, None)
                case _:
                    self.others.append(anything(raw, where))

    def _namespace(self, raw: Raw, param: str) -> None:
        space = decoded(raw, _NAMESPACE, param)
        for index, tool in enumerate(space.tools):
            where = f"{param}.tools[{index}]"
            if decoded(tool, _TYPED, where).type not in ("function", "custom"):
                raise invalid(f"{where}.type", "expected function or custom")
            self._tool(tool, where, space)

    def _search(self, raw: Raw, param: str) -> None:
        """A search the client makes is a function; one the server makes, a hosted tool."""
        search = decoded(raw, _SEARCH, param)
        if search.execution != "client":
            self.others.append(anything(raw, param))
            return
        vendor = Vendor(DIALECT, {"type": "tool_search", "execution": "client"})
        tool = Tool(SEARCH, search.description, search.parameters, vendor=vendor)
        self._add(tool, Called("tool_search", SEARCH), param)

    def _tool(self, raw: Raw, param: str, space: NamespaceTool | None) -> None:
        custom = decoded(raw, _TYPED, param).type == "custom"
        known = _CUSTOM_FIELDS if custom else _FUNCTION_FIELDS
        rest = {k: v for k, v in decoded(raw, _OBJECT, param).items() if k not in known}
        rest = {name: value for name, value in rest.items() if value is not None}
        given: FunctionTool | CustomTool = (
            decoded(raw, _CUSTOM, param) if custom else decoded(raw, _FUNCTION, param)
        )
        if not given.name:
            raise invalid(f"{param}.name", "expected a tool's name, got an empty string")
        namespace = space.name if space is not None else None
        name = flat_name(namespace, given.name)
        if space is not None:
            rest["namespace"] = {"name": space.name}
            if space.description is not None:
                rest["namespace"]["description"] = space.description
        if name != given.name:
            rest["name"] = given.name
        vendor = Vendor(DIALECT, rest) if rest else None
        if isinstance(given, CustomTool):
            grammar = _grammar(given, f"{param}.format")
            tool = Tool(name, given.description, vendor=vendor, freeform=True, grammar=grammar)
        else:
            tool = Tool(name, given.description, given.parameters, given.strict, vendor)
        self._add(tool, Called("custom" if custom else "function", given.name, namespace), param)

    def _add(self, tool: Tool, called: Called, param: str) -> None:
        before = self.called.get(tool.name)
        if before is None:
            self.called[tool.name] = called
            self.tools.append(tool)
        elif (before.namespace, before.name) != (called.namespace, called.name):
            raise invalid(
                f"{param}.name",
                f"a second tool would be called {tool.name!r}, namespaces being part of names",
            )


def declared_by(tools: Sequence[Raw] | None, items: Iterable[tuple[Raw, str]]) -> Declared:
    """Return all tools of a request; ``items`` come with the paths they stand at."""
    declared = Declared()
    declared.declare(tools or (), "tools")
    for raw, param in items:
        kind = bytes(raw)
        if not any(word.encode() in kind for word in _DECLARING):
            continue
        if decoded(raw, _ANY_ITEM, param).type in _DECLARING:
            declared.declare(decoded(raw, _WITH_TOOLS, param).tools, f"{param}.tools")
    return declared


def _grammar(tool: CustomTool, param: str) -> Grammar | None:
    form = tool.format
    if form is None or form.type == "text":
        return None
    if form.type != "grammar" or form.syntax is None or form.definition is None:
        raise invalid(param, "expected text, or a grammar with syntax and definition")
    return Grammar(form.syntax, form.definition)


# -- which may be called ---------------------------------------------------------------------


def tool_choice(raw: Raw, extras: dict[str, Any]) -> ToolChoice | None:
    """Return what may or must be called; what names hosted tools goes to ``extras`` too."""
    if not present(raw):
        return None
    param = "tool_choice"
    choice = anything(raw, param)
    match choice:
        case "auto" | "none" | "required":
            mode: Literal["auto", "none", "required"] = choice
            return mode
        case {"type": "function" | "custom"}:
            return NamedTool(_chosen(choice, param))
        case {"type": "tool_search"}:
            return NamedTool(SEARCH)
        case {"type": "allowed_tools", "tools": list(entries), **rest}:
            mine = [entry for entry in entries if _is_callable(entry)]
            if len(mine) != len(entries):
                extras[param] = choice
            names = tuple(
                _chosen(entry, f"{param}.tools[{index}]") for index, entry in enumerate(mine)
            )
            must = rest.get("mode", "auto") == "required"
            if names or not entries:
                return AllowedTools(names, "required" if must else "auto")
            return None
        case str(word):
            raise invalid(param, f"expected auto, none, required or an object, got {word[:40]!r}")
    extras[param] = choice
    return None


def _is_callable(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("type") in ("function", "custom", "tool_search")


def _chosen(entry: Any, param: str) -> str:
    if entry.get("type") == "tool_search":
        return SEARCH
    name, namespace = entry.get("name"), entry.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        raise InvalidRequest(
            f"Missing required parameter: '{param}.name'.",
            param=f"{param}.name",
            code="missing_required_parameter",
        )
    return flat_name(namespace, name)
