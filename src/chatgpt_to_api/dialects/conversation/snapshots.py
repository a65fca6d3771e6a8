"""The v0 stream: each event a snapshot of the whole answer so far.

The shape every public client of the protocol reads, with the details they need: ``message`` as the
first key, ASCII, one space after ``data:``, ``finish_details`` absent until the end, and the whole
text once with ``end_turn`` null before the final event, because one old client reads only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.answer import FINISH_TYPES, Answer, Place, escaped
from chatgpt_to_api.dialects.conversation.messages import (
    Author,
    Content,
    ReplyEvent,
    ReplyMessage,
)
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

STREAM_HEADERS: Final[Headers] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)
DONE: Final = b"data: [DONE]\n\n"

# Two bytes, because one old client cuts six off every line it does not know and parses the rest.
COMMENT: Final = b":\n\n"

# Stands for the text in an event that is made once. The message's text is the first value in an
# event that could hold it: the id before it is ours.
_GAP: Final = "\0text\0"
_NOTHING: Final[Mapping[str, Any]] = {}


class SnapshotEncoder:
    """Encodes one answer as growing snapshots. One read's pieces leave as one snapshot.

    What the model thinks is left out: old clients would take it for the answer.
    """

    def __init__(self, place: Place, model: str, stamp: Stamp, answer: Answer) -> None:
        self._place = place
        self._model = model
        self._created = float(stamp.created)
        self._answer = answer
        self._around: tuple[bytes, bytes] | None = None

    def headers(self) -> Headers:
        """A stream of events, whatever the client's ``Accept`` says: old ones send anything."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return a snapshot if the events add text."""
        if not self._answer.take(events):
            return b""
        if self._around is None:
            self._around = self._split(status="in_progress", end_turn=None)
        before, after = self._around
        return b"".join((before, self._answer.escaped, after))

    def end(self) -> bytes:
        """The final snapshot and ``[DONE]``.

        An answer cut by its length keeps ``end_turn`` null, as on the official site: that is how
        the original of this gateway finds what it may continue.
        """
        kind = FINISH_TYPES[self._answer.finish or "stop"]
        before, after = self._split(
            status="finished_successfully",
            end_turn=None if kind == "max_tokens" else True,
            metadata={"finish_details": {"type": kind}, "is_complete": True},
        )
        return b"".join((before, self._answer.escaped, after, DONE))

    def keep_alive(self) -> bytes:
        """An SSE comment."""
        return COMMENT

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """The whole stream as one body."""
        return HttpReply(200, self.headers(), self.feed(events) + self.end())

    def failure(self, error: GatewayError) -> bytes:
        """The protocol's event for a broken answer. No ``[DONE]`` follows: it did not end well."""
        return encode_event(ReplyEvent(None, self._place.conversation_id, error.text))

    def _split(
        self, *, status: str, end_turn: bool | None, metadata: Mapping[str, Any] = _NOTHING
    ) -> tuple[bytes, bytes]:
        """An event's bytes before and after the text: only the text differs between snapshots."""
        message = opening(self._place, self._answer.model or self._model, self._created)
        message = msgspec.structs.replace(
            message,
            content=Content(parts=(_GAP,)),
            status=status,
            end_turn=end_turn,
            metadata={**message.metadata, **metadata},
        )
        event = encode_event(ReplyEvent(message, self._place.conversation_id))
        before, _, after = event.partition(escaped(_GAP))
        return before, after


def opening(place: Place, model: str, created: float) -> ReplyMessage:
    """The answer's message as it begins, without any text."""
    return ReplyMessage(
        id=place.message_id,
        author=Author("assistant"),
        create_time=created,
        content=Content(parts=("",)),
        status="in_progress",
        metadata={
            "message_type": place.message_type,
            "model_slug": model,
            "parent_id": place.parent_id,
        },
    )


def encode_event(event: ReplyEvent) -> bytes:
    """One server-sent event, in ASCII."""
    return b"data: %b\n\n" % dumps(msgspec.to_builtins(event)).encode("ascii")
