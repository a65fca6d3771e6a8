"""Reads what a backend sends as JSON, where any field may be missing or of another type.

Nothing here raises: a field of a wrong type reads as a missing one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.conversation.messages import EVERYONE

Kind: TypeAlias = Literal["text", "reasoning", "recap"]
"""What a message is to the user; None where it is not shown at all."""

FINISHED: Final = "finished_successfully"
CUT: Final = "max_tokens"
"""The finish type of an answer that ran into the model's length limit."""

TELLING: Final = frozenset(
    {
        "finish_details",
        "is_complete",
        "is_visually_hidden_from_conversation",
        "message_type",
        "model_slug",
    }
)
"""The keys of a message's metadata that are read; most that come say nothing here."""

_BUNDLE: Final = 64
_MOST_PICTURES: Final = 16
_POINTER: Final = re.compile(r"[a-z][a-z-]{0,30}://[!-'*-~]{1,500}")
"""A pointer to an asset; without brackets, which would end the link it is told as."""

_decode: Final = msgspec.json.Decoder().decode


class NotJson(ValueError):
    """The data of an event is no JSON at all."""


def read_json(data: bytes) -> Any:
    """Decode JSON, also what strict decoders refuse: half surrogates, NaN, raw control characters.

    Raises NotJson.
    """
    try:
        return _decode(data)
    except UNREADABLE:
        pass
    try:
        return json.loads(data.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        raise NotJson from None


class Flags(msgspec.Struct, frozen=True):
    """What a message says about itself, but for its text.

    ``id`` is "" where it has none. ``finish`` is the type of its ``finish_details``, ``complete``
    its ``is_complete``. ``picture``: it holds something other than text that is meant to be seen;
    ``pictures`` are those of it that can be pointed to, each as a link in Markdown.
    """

    id: str
    role: str
    kind: Kind | None
    status: str | None
    end_turn: bool | None
    finish: str | None
    complete: bool
    model: str
    message_type: str | None
    picture: bool
    pictures: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether the message is finished, and says why or that its turn ends with it."""
        return self.status != "in_progress" and (
            self.end_turn is True or self.finish is not None or self.complete
        )


def read_flags(message: Mapping[str, Any]) -> Flags:
    """Read everything of a message but its text."""
    get = message.get
    author = get("author")
    role = author.get("role") if isinstance(author, dict) else None
    if not isinstance(role, str):
        role = get("role")  # the shape of early 2023
        role = role if isinstance(role, str) else ""
    content = get("content")
    content_type = content.get("content_type") if isinstance(content, dict) else None
    metadata = get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    end_turn = get("end_turn")
    message_id = get("id")
    status = get("status")
    model = metadata.get("model_slug")
    message_type = metadata.get("message_type")
    return Flags(
        message_id if isinstance(message_id, str) else "",
        role,
        _kind(message, content_type, metadata) if role == "assistant" else None,
        status if isinstance(status, str) else None,
        end_turn if isinstance(end_turn, bool) else None,
        finish_of(metadata.get("finish_details")),
        metadata.get("is_complete") is True,
        model if isinstance(model, str) else "",
        message_type if isinstance(message_type, str) else None,
        picture := content_type == "multimodal_text" and role in ("tool", "assistant"),
        _pictures(content, metadata) if picture else (),
    )


def finish_of(details: object) -> str | None:
    """Return the type that ``finish_details`` name, if any."""
    if isinstance(details, dict):
        details = details.get("type")
    return details if isinstance(details, str) else None


def _pictures(content: object, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Read where the pictures of a message are, and how large."""
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or metadata.get("is_visually_hidden_from_conversation") is True:
        return ()
    notes: list[str] = []
    for part in parts[:_MOST_PICTURES]:
        pointer = as_text(part.get("asset_pointer")) if isinstance(part, dict) else ""
        if not _POINTER.fullmatch(pointer):
            continue
        width, height = part.get("width"), part.get("height")
        sized = isinstance(width, int) and isinstance(height, int)
        notes.append(f"![image {width}x{height}]({pointer})" if sized else f"![image]({pointer})")
    return tuple(notes)


def _kind(
    message: Mapping[str, Any], content_type: object, metadata: Mapping[str, Any]
) -> Kind | None:
    """Tell what of an assistant's message the user is to see, if anything."""
    if metadata.get("is_visually_hidden_from_conversation") is True:
        return None
    recipient = message.get("recipient")
    if isinstance(recipient, str) and recipient != EVERYONE:
        return None  # a call to a tool
    if content_type == "thoughts":
        return "reasoning"
    if content_type == "reasoning_recap":
        return "recap"
    channel = message.get("channel")
    if isinstance(channel, str) and channel != "final":
        return None
    return "text" if content_type in ("text", "multimodal_text", None) else None


def read_text(message: Mapping[str, Any], kind: Kind) -> str:
    """Read the text of a message: its whole text so far, or what it thinks."""
    content = message.get("content")
    if not isinstance(content, dict):
        return ""
    if kind == "recap":
        return as_text(content.get("content"))
    if kind == "reasoning":
        thoughts = content.get("thoughts")
        if not isinstance(thoughts, list):
            return ""
        found = [as_text(t.get("content")) for t in thoughts if isinstance(t, dict)]
        return "\n\n".join(thought for thought in found if thought)
    parts = content.get("parts")
    return "".join(map(as_text, parts)) if isinstance(parts, list) else ""


class Rope:
    """A string that grows at its end, without being copied for every piece.

    Small pieces are joined a few at a time: a string for every token would be mostly overhead.
    """

    __slots__ = ("_joined", "_pieces", "size")

    def __init__(self, text: str = "") -> None:
        self._joined = [text] if text else []
        self._pieces: list[str] = []
        self.size = len(text)

    def add(self, piece: str) -> None:
        """Append ``piece``."""
        self.size += len(piece)
        self._pieces.append(piece)
        if len(self._pieces) >= _BUNDLE:
            self._joined.append("".join(self._pieces))
            self._pieces.clear()

    @property
    def text(self) -> str:
        """The whole string."""
        if self._pieces or len(self._joined) > 1:
            self._joined = ["".join(self._joined) + "".join(self._pieces)]
            self._pieces.clear()
        return self._joined[0] if self._joined else ""


def as_text(value: object) -> str:
    """Return a string, or a rope's string; "" for anything else (``null``, an image pointer)."""
    if isinstance(value, str):
        return value
    return value.text if isinstance(value, Rope) else ""


def plain(value: object) -> object:
    """Return a value of a document with its ropes as strings, "…" for one too deep to read."""
    if value is None or isinstance(value, str):
        return value
    try:
        return msgspec.to_builtins(value, enc_hook=as_text)
    except RecursionError:
        return "…"


def mended(text: str) -> tuple[str, str]:
    """Split ``text`` into what can be sent and the half surrogate pair at its end ("" mostly).

    The other half of that pair may still come. Pairs in the text are joined, and a half without
    its other half becomes U+FFFD: neither could be encoded as UTF-8.
    """
    if text.isascii():
        return text, ""
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    body = text[: -len(half)] if half else text
    return body.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), half
