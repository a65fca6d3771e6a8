"""What clients of the conversation protocol send: the request body, read in all its variants.

Clients differ: some send ``role`` instead of ``author.role``, some both; a continue brings no
``messages``, ``[]`` or ``null``; a new chat has no ``conversation_id`` or ``null``. Fields that are
not named here are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from chatgpt_to_api.chat.request import Role
from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.conversation.messages import Action
from chatgpt_to_api.errors import InvalidRequest

MAX_ID: Final = 128
"""Longest id of a message or a conversation, characters."""

_ACTIONS: Final[dict[str, Action]] = {"next": "next", "continue": "continue", "variant": "variant"}
_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "system": "system",
    "developer": "developer",
    "assistant": "assistant",
    # What programs of 2023 sent for a system message, because the backend disliked ``system``.
    "critic": "system",
    # A tool's result, but the protocol's requests carry no call it belongs to.
    "tool": "user",
}
_TEXT_TYPES: Final = ("text", "multimodal_text")


class Fault(msgspec.Struct, frozen=True):
    """One entry of a 422's ``detail``: where, what, and which kind, in the backend's own words."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidBody(InvalidRequest):
    """The body is JSON but not a request of this protocol."""

    status = 422
    code = "invalid_body"

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        said = "; ".join(f"{'.'.join(map(str, f.loc[1:]))}: {f.msg}" for f in faults)
        super().__init__(said, param=".".join(map(str, faults[0].loc[1:])) or None)


def missing(*loc: str | int) -> Fault:
    """The fault of a field that has to be there."""
    return Fault(("body", *loc), "field required", "value_error.missing")


class Sent(msgspec.Struct, frozen=True):
    """One message as it was sent. ``id`` is "" where the client chose none."""

    id: str
    role: Role
    text: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the protocol. Ids are "" where the client gave none.

    ``keep`` is false where the client asked for the chat not to be stored; ``deltas`` is true where
    it can read the v1 encoding.
    """

    action: Action
    model: str
    messages: tuple[Sent, ...] = ()
    conversation_id: str = ""
    parent_id: str = ""
    keep: bool = True
    deltas: bool = False


class _Author(msgspec.Struct):
    role: str | None = None


class _Content(msgspec.Struct):
    content_type: str | None = None
    parts: list[Any] | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    author: _Author | None = None
    role: str | None = None
    content: str | list[Any] | _Content | None = None


class _Body(msgspec.Struct):
    action: str | None = None
    messages: list[_Message] | None = None
    conversation_id: str | None = None
    parent_message_id: str | None = None
    model: str | None = None
    history_and_training_disabled: bool | None = None
    supported_encodings: Any = None


_DECODER: Final = msgspec.json.Decoder(_Body)

T = TypeVar("T")


def read_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON body; a field of a wrong kind is named by its place.

    Raises InvalidRequest for what is no JSON, InvalidBody for what is of a wrong kind.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidBody(_mistyped(str(error))) from None
    except UNREADABLE as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None


def read_question(body: bytes, *, openai_style: bool) -> Question:
    """Read a request body. ``openai_style``: plain ``{"model", "messages"}`` is taken as ``next``.

    Raises InvalidRequest for what is no JSON or cannot be answered (an image), InvalidBody for
    what lacks a field or has one of a wrong kind.
    """
    sent = read_body(body, _DECODER)
    messages = sent.messages or []
    named = sent.action
    if named is None and openai_style and messages and all(_is_openai(m) for m in messages):
        named = "next"
    action = _ACTIONS.get(named or "")
    faults = []
    if named is None:
        faults.append(missing("action"))
    elif action is None:
        faults.append(_not_among(_ACTIONS, "action"))
    if not sent.model:
        faults.append(missing("model"))
    if not messages and action in ("next", "variant"):
        faults.append(missing("messages"))
    if action in ("continue", "variant") and not sent.conversation_id:
        faults.append(missing("conversation_id"))
    if action in ("continue", "variant") and not sent.parent_message_id:
        faults.append(missing("parent_message_id"))
    faults += _overlong(("conversation_id",), sent.conversation_id)
    faults += _overlong(("parent_message_id",), sent.parent_message_id)
    if faults or action is None or not sent.model:
        raise InvalidBody(*faults)
    encodings = sent.supported_encodings
    return Question(
        action=action,
        model=sent.model,
        messages=() if action == "continue" else _read_messages(messages),
        conversation_id=sent.conversation_id or "",
        parent_id=sent.parent_message_id or "",
        keep=not sent.history_and_training_disabled,
        deltas=isinstance(encodings, list) and "v1" in encodings,
    )


def _is_openai(message: _Message) -> bool:
    return message.author is None and isinstance(message.content, str | list)


def _read_messages(messages: Sequence[_Message]) -> tuple[Sent, ...]:
    read = []
    for i, message in enumerate(messages):
        name = message.author.role if message.author is not None else None
        role = _ROLES.get(name or message.role or "user")
        if role is None:
            raise InvalidBody(_not_among(_ROLES, "messages", i, "author", "role"))
        if faults := _overlong(("messages", i, "id"), message.id):
            raise InvalidBody(*faults)
        read.append(Sent(message.id or "", role, _text(message.content, i)))
    if not read[-1].text.strip():
        loc = ("body", "messages", len(read) - 1, "content", "parts")
        raise InvalidBody(Fault(loc, "the message holds no text", "value_error"))
    return tuple(read)


def _text(content: str | list[Any] | _Content | None, at: int) -> str:
    """The text of one message's content, its parts joined with nothing between."""
    if content is None:
        raise InvalidBody(missing("messages", at, "content"))
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = content
    else:
        kind = content.content_type or "text"
        if kind not in _TEXT_TYPES:
            where = f"messages[{at}].content.content_type"
            raise InvalidRequest(
                f"{where}: only text can be asked here, not {kind[:100]!r}.",
                code="unsupported_content",
                param=where,
            )
        parts = content.parts or []
    return "".join(_part_text(part, at, j) for j, part in enumerate(parts))


def _part_text(part: object, at: int, j: int) -> str:
    if isinstance(part, str):
        return part
    kind = (part.get("content_type") or part.get("type")) if isinstance(part, dict) else None
    if isinstance(part, dict) and kind in ("text", "input_text"):
        text = part.get("text")
        if isinstance(text, str):
            return text
    where = f"messages[{at}].content.parts[{j}]"
    if isinstance(kind, str) and "image" in kind:
        raise InvalidRequest(
            f"{where}: images cannot be asked about over this protocol here; their files live on "
            "the site they were uploaded to. Send text only.",
            code="unsupported_content",
            param=where,
        )
    if isinstance(kind, str):
        raise InvalidRequest(
            f"{where}: only text can be asked here, not {kind[:100]!r}.",
            code="unsupported_content",
            param=where,
        )
    raise InvalidBody(
        Fault(
            ("body", "messages", at, "content", "parts", j), "str type expected", "type_error.str"
        )
    )


def _not_among(allowed: Iterable[str], *loc: str | int) -> Fault:
    names = ", ".join(repr(name) for name in allowed)
    said = f"value is not a valid enumeration member; permitted: {names}"
    return Fault(("body", *loc), said, "type_error.enum")


def _overlong(loc: tuple[str | int, ...], value: str | None) -> list[Fault]:
    if value is None or len(value) <= MAX_ID:
        return []
    said = f"ensure this value has at most {MAX_ID} characters"
    return [Fault(("body", *loc), said, "value_error.any_str.max_length")]


_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _mistyped(said: str) -> Fault:
    """A decoder's complaint (``Expected `str`, got `int` - at `$.a[0].b` ``) as a fault."""
    words, _, path = said.partition(" - at `$")
    steps = [name or int(index) for name, index in _STEP.findall(path.rstrip("`"))]
    return Fault(("body", *steps), words, "type_error")
