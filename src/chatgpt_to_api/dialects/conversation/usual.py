"""The events that nearly every reply is made of, read straight into types.

A typed decoder reads such an event many times faster than a tree of dictionaries is built and asked
for its parts. What it takes is narrow on purpose: one text of the assistant's, shown to the user,
without an error. Everything else is None here, and the exact road's to read, which takes anything;
the tests hold both equal.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.conversation.reading import TELLING, Flags, finish_of

TEXT_PATH: Final = "/message/content/parts/0"
_METADATA: Final = "/message/metadata/"
_DECIDING: Final = TELLING - {"finish_details", "is_complete"}
"""What a message's metadata say that has no part in how it ends."""


class _Author(msgspec.Struct):
    role: Literal["assistant"]


class _Content(msgspec.Struct):
    parts: tuple[str]
    content_type: Literal["text", None] = None


class _FinishDetails(msgspec.Struct):
    type: str | None = None


class _Metadata(msgspec.Struct):
    message_type: str | None = None
    model_slug: str | None = None
    finish_details: _FinishDetails | None = None
    is_complete: bool | None = None
    is_visually_hidden_from_conversation: bool | None = None


class _Message(msgspec.Struct):
    id: str
    author: _Author
    content: _Content
    metadata: _Metadata
    status: str | None = None
    end_turn: bool | None = None
    recipient: Literal["all", None] = None
    channel: Literal["final", None] = None


class Shown(msgspec.Struct):
    """A message of the assistant's as it stands, in the conversation it belongs to."""

    message: _Message
    conversation_id: str | None = None
    error: None = None
    v: UnsetType = UNSET  # what has it is an operation

    @property
    def text(self) -> str:
        """The whole text of the message."""
        return self.message.content.parts[0]

    @property
    def flags(self) -> Flags | None:
        """What the message says about itself; None where it is not a usual one after all."""
        message = self.message
        metadata = message.metadata
        if not message.id or metadata.is_visually_hidden_from_conversation:
            return None
        details = metadata.finish_details
        return Flags(
            message.id,
            "assistant",
            "text",
            message.status,
            message.end_turn,
            None if details is None else details.type,
            metadata.is_complete is True,
            metadata.model_slug or "",
            metadata.message_type,
            False,
        )


class Entry(msgspec.Struct):
    """One of the operations of a patch."""

    p: str
    o: str
    v: Any = None


class Operation(msgspec.Struct):
    """A v1 event: a message that is opened, text for it, or a patch of several operations."""

    v: str | Shown | list[Entry]
    p: str | UnsetType = UNSET
    o: str | UnsetType = UNSET
    c: Any = UNSET

    @property
    def opens(self) -> bool:
        """Whether ``v`` becomes a document of its own, whatever was carried over."""
        return self.p is UNSET or (self.p == "" and self.o in ("add", "replace"))

    def kind(self, carried: str | None) -> str | None:
        """``append`` or ``patch``, None for anything else; ``carried``: of the one before."""
        if self.p is UNSET and self.o is UNSET:
            return carried
        if self.p == TEXT_PATH and self.o == "append":
            return "append"
        return "patch" if self.p == "" and self.o == "patch" else None


_SHOWN: Final = msgspec.json.Decoder(Shown).decode
_OPERATION: Final = msgspec.json.Decoder(Operation).decode


def read_shown(data: bytes) -> Shown | None:
    """Read a v0 event."""
    try:
        return _SHOWN(data)
    except UNREADABLE:
        return None


def read_operation(data: bytes) -> Operation | None:
    """Read a v1 event."""
    try:
        return _OPERATION(data)
    except UNREADABLE:
        return None


def _passes_by(path: str) -> bool:
    """Whether what stands there says nothing, whatever is done to it."""
    if not path.startswith(_METADATA):
        return False
    return path[len(_METADATA) :].partition("/")[0] not in TELLING


def patched(flags: Flags, entries: list[Entry]) -> tuple[Flags, str] | None:
    """Return what a patch makes of a message's flags, and the text it adds.

    None where it changes anything else.
    """
    added: list[str] = []
    changed: dict[str, Any] = {}
    for entry in entries:
        value = entry.v
        match entry.p, entry.o:
            case "/message/content/parts/0", "append" if type(value) is str:
                added.append(value)
            case "/message/status", "replace":
                changed["status"] = value if type(value) is str else None
            case "/message/end_turn", "replace":
                changed["end_turn"] = value if type(value) is bool else None
            case "/message/metadata", "append" if type(value) is dict:
                if not _DECIDING.isdisjoint(value):
                    return None
                if "finish_details" in value:
                    changed["finish"] = finish_of(value["finish_details"])
                if "is_complete" in value:
                    changed["complete"] = value["is_complete"] is True
            case path, _ if not _passes_by(path):
                return None
    if changed:
        flags = msgspec.structs.replace(flags, **changed)
    return flags, "".join(added)
