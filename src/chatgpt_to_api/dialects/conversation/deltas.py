"""The v1 stream (``delta_encoding``): the message once, then operations that change it.

Served only to a client whose request lists ``v1`` in ``supported_encodings``.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.answer import FINISH_TYPES, Answer, Place
from chatgpt_to_api.dialects.conversation.messages import ReplyEvent
from chatgpt_to_api.dialects.conversation.snapshots import (
    COMMENT,
    DONE,
    STREAM_HEADERS,
    encode_event,
    opening,
)
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

_ANNOUNCED: Final = b'event: delta_encoding\ndata: "v1"\n\n'


class DeltaEncoder:
    """Encodes one answer as delta operations: after the first, a piece of text is a bare value."""

    def __init__(self, place: Place, model: str, stamp: Stamp, answer: Answer) -> None:
        self._place = place
        self._model = model
        self._created = float(stamp.created)
        self._answer = answer
        self._opened = False

    def headers(self) -> Headers:
        """A stream of events."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the operation that appends the text the events add, if any."""
        added = self._answer.take(events)
        if not added:
            return b""
        if self._opened:
            return b'event: delta\ndata: {"v": "%b"}\n\n' % added
        path = b'"p": "/message/content/parts/0", "o": "append"'
        return self._open() + b'event: delta\ndata: {%b, "v": "%b"}\n\n' % (path, added)

    def end(self) -> bytes:
        """Finish the message, tell that the stream is complete, and ``[DONE]``."""
        kind = FINISH_TYPES[self._answer.finish or "stop"]
        changes = [
            {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
            {"p": "/message/end_turn", "o": "replace", "v": True},
            {
                "p": "/message/metadata",
                "o": "append",
                "v": {"finish_details": {"type": kind}, "is_complete": True},
            },
        ]
        complete = {
            "type": "message_stream_complete",
            "conversation_id": self._place.conversation_id,
        }
        opened = b"" if self._opened else self._open()
        patch = _delta({"p": "", "o": "patch", "v": changes})
        return opened + patch + b"data: %b\n\n" % dumps(complete).encode("ascii") + DONE

    def keep_alive(self) -> bytes:
        """An SSE comment."""
        return COMMENT

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """The whole stream as one body."""
        return HttpReply(200, self.headers(), self.feed(events) + self.end())

    def failure(self, error: GatewayError) -> bytes:
        """The event for a broken answer, the same in both encodings. No ``[DONE]`` follows."""
        return encode_event(ReplyEvent(None, self._place.conversation_id, error.text))

    def _open(self) -> bytes:
        self._opened = True
        message = opening(self._place, self._answer.model or self._model, self._created)
        root = {
            "message": {**msgspec.to_builtins(message), "channel": "final"},
            "conversation_id": self._place.conversation_id,
            "error": None,
            "error_code": None,
        }
        return _ANNOUNCED + _delta({"p": "", "o": "add", "v": root, "c": 0})


def _delta(operation: dict[str, Any]) -> bytes:
    return b"event: delta\ndata: %b\n\n" % dumps(operation).encode("ascii")
