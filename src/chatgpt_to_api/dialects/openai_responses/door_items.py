"""Client side, the items of a conversation → canonical messages.

Items are one flat list. What the model produced in one go stands in a row there, and is one
message here: other dialects want the calls of a turn, and the words before them, in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    Foreign,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_responses import seals
from chatgpt_to_api.dialects.openai_responses.door_parts import content, result_parts
from chatgpt_to_api.dialects.openai_responses.door_tools import SEARCH
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    AnyItem,
    CallOutputItem,
    CustomToolCallItem,
    FunctionCallItem,
    MessageItem,
    ReasoningItem,
    TextPart,
    ToolSearchCallItem,
    ToolSearchOutputItem,
)
from chatgpt_to_api.dialects.openai_responses.naming import flat_name
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.errors import NotFound

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}
_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)
_MESSAGE: Final = msgspec.json.Decoder(MessageItem)
_REASONING: Final = msgspec.json.Decoder(ReasoningItem)
_CALL: Final = msgspec.json.Decoder(FunctionCallItem)
_CUSTOM_CALL: Final = msgspec.json.Decoder(CustomToolCallItem)
_OUTPUT: Final = msgspec.json.Decoder(CallOutputItem)
_SEARCH_CALL: Final = msgspec.json.Decoder(ToolSearchCallItem)
_SEARCH_OUTPUT: Final = msgspec.json.Decoder(ToolSearchOutputItem)


def messages_of(items: Iterable[tuple[Raw, str]]) -> tuple[Message, ...]:
    """Return the messages of items, which come with the paths they stand at.

    Raises InvalidRequest naming the field, NotFound for a reference to an item nobody keeps.
    """
    turns = _Turns()
    for raw, param in items:
        item = decoded(raw, _ANY_ITEM, param)
        kind = kind_of(item)
        read = _ITEMS.get(kind)
        if read is not None:
            read(turns, raw, param)
        elif kind.endswith(("_output", "_response")):
            turns.take("user", (_foreign(raw),), None)
        else:
            turns.say((_foreign(raw),))
    return turns.ended()


def kind_of(item: AnyItem) -> str:
    """Return an item's kind; what has no type is a message, or a reference without a role."""
    if item.type is not None:
        return item.type
    return "item_reference" if item.role is None and item.id is not None else "message"


class _Turns:
    """Messages in the making: what the model did in a row is collected into one."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._said: list[Part] = []
        self._vendor: Vendor | None = None
        self._calls = self._words = False
        """Whether the turn has calls, and words, so far: it can be as long as the conversation."""

    def say(self, parts: Sequence[Part], vendor: Vendor | None = None) -> None:
        """Something the model produced."""
        if vendor is not None and vendor != self._vendor and not self._calls:
            if self._words:
                self._end_turn()
            self._vendor = vendor
        self._calls = self._calls or any(isinstance(part, ToolCall) for part in parts)
        self._words = self._words or any(isinstance(part, Text | Refusal) for part in parts)
        self._said += parts

    def take(self, role: Role, parts: tuple[Part, ...], vendor: Vendor | None) -> None:
        """Something somebody else brought."""
        self._end_turn()
        self._messages.append(Message(role, parts, vendor=vendor))

    def ended(self) -> tuple[Message, ...]:
        self._end_turn()
        return tuple(self._messages)

    def _end_turn(self) -> None:
        if self._said:
            self._messages.append(Message("assistant", tuple(self._said), vendor=self._vendor))
        self._said, self._vendor = [], None
        self._calls = self._words = False


def _foreign(raw: Raw) -> Foreign:
    return Foreign(Opaque(DIALECT, bytes(raw).decode()))


def _message(turns: _Turns, raw: Raw, param: str) -> None:
    message = decoded(raw, _MESSAGE, param)
    role = _ROLES.get(message.role)
    if role is None:
        raise invalid(
            f"{param}.role", f"expected one of {', '.join(_ROLES)}, got {message.role[:40]!r}"
        )
    if message.content is None:
        raise invalid(f"{param}.content", "expected string or array, got nothing")
    parts = content(message.content, f"{param}.content")
    vendor = Vendor(DIALECT, {"phase": message.phase}) if message.phase is not None else None
    if role == "assistant":
        turns.say(parts, vendor)
    else:
        turns.take(role, parts, vendor)


def _reasoning(turns: _Turns, raw: Raw, param: str) -> None:
    thought = decoded(raw, _REASONING, param)
    text = _paragraphs(thought.summary) or _paragraphs(thought.content)
    sealed = thought.encrypted_content
    opaque = seals.from_client(sealed) if sealed else None
    if text or opaque is not None:
        turns.say((Reasoning(text, opaque),))


def _paragraphs(parts: Iterable[TextPart] | None) -> str:
    return "\n\n".join(part.text for part in parts or () if part.text)


def _call(turns: _Turns, raw: Raw, param: str) -> None:
    call = decoded(raw, _CALL, param)
    name, vendor = _named(call.namespace, call.name)
    turns.say((ToolCall(call.call_id, name, call.arguments, vendor=vendor),))


def _custom_call(turns: _Turns, raw: Raw, param: str) -> None:
    call = decoded(raw, _CUSTOM_CALL, param)
    name, vendor = _named(call.namespace, call.name)
    turns.say((ToolCall(call.call_id, name, call.input, freeform=True, vendor=vendor),))


def _named(namespace: str | None, name: str) -> tuple[str, Vendor | None]:
    """Return a call's flat name, and what it was made of where that is more."""
    flat = flat_name(namespace, name)
    if flat == name:
        return flat, None
    fields = {"name": name} if not namespace else {"namespace": namespace, "name": name}
    return flat, Vendor(DIALECT, fields)


def _output(turns: _Turns, raw: Raw, param: str) -> None:
    output = decoded(raw, _OUTPUT, param)
    parts = result_parts(output.output, f"{param}.output")
    turns.take("tool", (ToolResult(output.call_id, parts),), None)


def _search_call(turns: _Turns, raw: Raw, param: str) -> None:
    call = decoded(raw, _SEARCH_CALL, param)
    if call.call_id is None:  # the server's own search
        turns.say((_foreign(raw),))
        return
    arguments = bytes(call.arguments).decode() if present(call.arguments) else "{}"
    vendor = Vendor(DIALECT, {"type": "tool_search_call"})
    turns.say((ToolCall(call.call_id, SEARCH, arguments, vendor=vendor),))


def _search_output(turns: _Turns, raw: Raw, param: str) -> None:
    """What was found is told as it came; that it can be called now is the tools' own matter."""
    output = decoded(raw, _SEARCH_OUTPUT, param)
    if output.call_id is None:
        turns.say((_foreign(raw),))
        return
    found = Text(msgspec.json.encode(output.tools).decode())
    vendor = Vendor(DIALECT, {"type": "tool_search_output"})
    turns.take("tool", (ToolResult(output.call_id, (found,), vendor=vendor),), None)


def _declaration(turns: _Turns, raw: Raw, param: str) -> None:
    """Tools are no message; they are read with all others."""


def _reference(turns: _Turns, raw: Raw, param: str) -> None:  # noqa: ARG001  # as all of them
    raise item_not_found(decoded(raw, _ANY_ITEM, param).id or "", param)


def item_not_found(id: str, param: str) -> NotFound:
    """Say that an item is referred to that is not kept, or is somebody else's."""
    return NotFound(
        f"Item with id '{id[:100]}' not found. Items are kept only of responses with `store` true; "
        "send the item itself instead.",
        param=param,
        code="item_not_found",
    )


_ITEMS: Final[Mapping[str, Callable[[_Turns, Raw, str], None]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _custom_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "tool_search_call": _search_call,
    "tool_search_output": _search_output,
    "additional_tools": _declaration,
    "item_reference": _reference,
}
