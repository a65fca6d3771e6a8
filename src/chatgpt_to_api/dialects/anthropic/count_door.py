"""Client side of counting tokens."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.dialects.anthropic.count import DIALECT, Counted
from chatgpt_to_api.dialects.anthropic.door import MessagesAsked, MessagesDoor
from chatgpt_to_api.wire.http import HttpReply, RequestHead


class CountDoor(MessagesDoor):
    """The door of ``POST /v1/messages/count_tokens``, whose answer is a number."""

    dialect = DIALECT

    def ask(self, head: RequestHead, body: bytes) -> MessagesAsked:
        """Decode and check a request; nothing is streamed here. Raises InvalidRequest."""
        asked = super().ask(head, body)
        asked.stream = False
        return asked

    def counted(self, tokens: int, how: str) -> HttpReply:
        """Return the reply for a count that is not the upstream's own; ``how`` says whose it is."""
        body = msgspec.json.encode(Counted(tokens))
        headers = ((b"content-type", b"application/json"), (b"x-token-count", how.encode()))
        return HttpReply(200, headers, body)
