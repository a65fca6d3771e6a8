"""The conversation protocol's JSON as typed structs, shared by the door and the upstream.

Written objects keep the key order of their fields: old clients read events by their first key. What
is read from a backend is not typed here: any field of it may be missing or of another type.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

DIALECT: Final = "conversation"

Action: TypeAlias = Literal["next", "continue", "variant"]

TEXT: Final = "text"
"""The ``content_type`` of plain text."""

EVERYONE: Final = "all"
"""The ``recipient`` of what is meant for the user; any other names a tool."""

# -- what is asked ---------------------------------------------------------------------------------


class AskedAuthor(msgspec.Struct, omit_defaults=True, frozen=True):
    """Who wrote a message: ``user``, ``system``, ``critic``, ``assistant`` or ``tool``."""

    role: str
    name: str | None = None


class AskedContent(msgspec.Struct, frozen=True):
    """What a message of a request says; parts that are no text are objects (image pointers)."""

    content_type: str
    parts: list[str | dict[str, Any]]


class AskedMessage(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """One message of a request. Old clients send ``role`` beside or instead of ``author``."""

    id: str | None = None
    author: AskedAuthor | None = None
    role: str | None = None
    content: AskedContent
    metadata: dict[str, Any] | None = None


class ConversationRequest(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """The body of ``POST …/conversation``; fields that are None are left out.

    ``messages`` is absent, null or empty where ``action`` is ``continue``. ``conversation_id`` is
    absent or null in a new chat.
    """

    action: str
    messages: list[AskedMessage] | None = None
    conversation_id: str | None = None
    parent_message_id: str | None = None
    model: str | None = None
    history_and_training_disabled: bool | None = None
    supported_encodings: list[str] | None = None


# -- what is answered ------------------------------------------------------------------------------


class Author(msgspec.Struct, frozen=True):
    """Who wrote a message of a reply."""

    role: str
    name: str | None = None
    metadata: dict[str, Any] = {}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The text so far of a message of a reply: a snapshot, not a delta."""

    content_type: str = TEXT
    parts: tuple[str, ...]


class ReplyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a reply, as far as it has come.

    ``end_turn`` is None while it runs and True at the turn's end; ``status`` is ``in_progress``,
    then ``finished_successfully``. ``metadata`` holds ``message_type``, ``model_slug``,
    ``parent_id`` and, at the end only, ``finish_details``. Times are Unix seconds.
    """

    id: str
    author: Author
    create_time: float | None
    update_time: float | None = None
    content: Content
    status: str
    end_turn: bool | None = None
    weight: float = 1.0
    metadata: dict[str, Any]
    recipient: str = EVERYONE


class ReplyEvent(msgspec.Struct, frozen=True):
    """One event of a v0 stream; ``message`` stands first because old clients look for it there."""

    message: ReplyMessage | None
    conversation_id: str
    error: str | None = None
