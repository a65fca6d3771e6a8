"""The relay lane: a reply that comes whole; what it says besides its text, and as a stream."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import WholeFacts
from chatgpt_to_api.dialects.faults import anything
from chatgpt_to_api.dialects.openai.messages import LooseReply, WholeReply
from chatgpt_to_api.dialects.openai.replies import TERMINAL, no_completion
from chatgpt_to_api.dialects.openai.usage import read_usage, usage_of
from chatgpt_to_api.wire.http import ReplyHead

MAX_READ_WHOLE: Final = 8 * 1024 * 1024
"""Largest reply that is read as one object, bytes; a larger one goes on unread."""

_BOM: Final = b"\xef\xbb\xbf"
_UNREAD: Final = WholeFacts()
_WHOLE: Final = msgspec.json.Decoder(WholeReply)
_LOOSE: Final = msgspec.json.Decoder(LooseReply)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])


def read_whole(head: ReplyHead, body: bytes) -> WholeFacts:
    """Return what the body of a 2xx reply says; errors come with that status too."""
    if len(body) > MAX_READ_WHOLE:
        return _UNREAD
    try:
        reply = _WHOLE.decode(body)
    except UNREADABLE:
        return _read_loosely(head, body)
    if len(reply.choices) < 3:  # absent or []
        return _read_loosely(head, body)
    usage = usage_of(reply.usage) if reply.usage is not None else None
    return WholeFacts(usage, reply.model or "")


def _read_loosely(head: ReplyHead, body: bytes) -> WholeFacts:
    """Read what is not quite as specified; all that counts is that there are choices."""
    try:
        reply = _LOOSE.decode(body.removeprefix(_BOM))
    except UNREADABLE:
        return WholeFacts(fault=no_completion(head, body))
    if not present(reply.choices) or bytes(reply.choices) == b"[]":
        return WholeFacts(fault=no_completion(head, body))
    model = anything(bytes(reply.model)) if present(reply.model) else ""
    return WholeFacts(read_usage(reply.usage), model if isinstance(model, str) else "")


def as_stream(body: bytes, *, hide_usage: bool) -> bytes:
    """Return a whole reply as the stream the client asked for; every value keeps its bytes.

    Raises one of UNREADABLE.
    """
    fields = _RAW_OBJECT.decode(body.removeprefix(_BOM))
    usage = fields.pop("usage", Raw(b"null"))
    if fields.get("object") != Raw(b'"text_completion"'):  # whose chunks are called the same
        fields["object"] = Raw(b'"chat.completion.chunk"')
    choices = []
    for choice in _RAW_OBJECTS.decode(fields["choices"]):
        message = _RAW_OBJECT.decode(choice.pop("message", Raw(b"{}")))
        calls = message.get("tool_calls")
        if calls is not None and present(calls):
            numbered = [
                {"index": index, **call} for index, call in enumerate(_RAW_OBJECTS.decode(calls))
            ]
            message["tool_calls"] = Raw(msgspec.json.encode(numbered))
        choices.append(choice | {"delta": Raw(msgspec.json.encode(message))})
    events = [fields | {"choices": Raw(msgspec.json.encode(choices))}]
    if present(usage) and not hide_usage:
        events.append(fields | {"choices": Raw(b"[]"), "usage": usage})
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events) + TERMINAL
