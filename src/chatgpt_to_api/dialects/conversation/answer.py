"""What a client of our conversation backend is told: the answer so far, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from json import loads
from json.encoder import encode_basestring_ascii
from typing import Final

import msgspec

from chatgpt_to_api.chat.events import (
    ChatEvent,
    Finished,
    FinishReason,
    RefusalDelta,
    Started,
    TextDelta,
)
from chatgpt_to_api.dialects.conversation.messages import Action

MAX_ANSWER: Final = 4 * 1024 * 1024
"""Longest answer, as escaped JSON, bytes. A longer one ends there as ``length``."""

FINISH_TYPES: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "tool_calls": "stop",
    "length": "max_tokens",
    "content_filter": "content_filter",
    "pause": "stop",
}
"""The protocol's ``finish_details.type``. It has no word for a filter: readers that know none of
ours take it for ``stop``."""


class Place(msgspec.Struct, frozen=True):
    """Where an answer stands: its conversation, its own id, the message it hangs under."""

    conversation_id: str
    message_id: str
    parent_id: str
    message_type: Action


def escaped(text: str) -> bytes:
    """``text`` as the inside of an ASCII JSON string.

    ASCII, because old clients undo escapes by hand and lose every event with a raw UTF-8 byte.
    """
    return encode_basestring_ascii(text)[1:-1].encode("ascii")


class Answer:
    """The visible answer, as it grows. What the model thinks is not part of it.

    It is kept once, escaped, because that is the form every event of the stream repeats.
    """

    __slots__ = ("escaped", "finish", "model")

    def __init__(self) -> None:
        self.escaped = bytearray()
        self.model = ""
        """What answers, "" where the upstream does not say."""
        self.finish: FinishReason | None = None
        """Why it ended; None while it goes on, and for good where it was cut."""

    def take(self, events: Sequence[ChatEvent]) -> bytes:
        """Take the next events; return the text they add, escaped."""
        pieces: list[str] = []
        for event in events:
            match event:
                case TextDelta(text=text) | RefusalDelta(text=text):
                    pieces.append(text)
                case Started(model=model):
                    self.model = model
                case Finished(reason=reason):
                    self.finish = self.finish or reason
        if not pieces or len(self.escaped) >= MAX_ANSWER:
            return b""
        added = escaped("".join(pieces))
        self.escaped += added
        if len(self.escaped) >= MAX_ANSWER:
            self.finish = "length"
        return added

    @property
    def text(self) -> str:
        """The whole text. Half a surrogate pair becomes U+FFFD, as it can be stored nowhere."""
        text: str = loads(b"".join((b'"', self.escaped, b'"')))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
