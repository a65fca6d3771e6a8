"""Replies with status 200 that are no event stream: JSON, a web page, compressed bytes.

They are told by their first byte, because proxies lose and change content types.
"""

from __future__ import annotations

from typing import Any, Final

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.conversation import faults
from chatgpt_to_api.dialects.conversation.reading import NotJson, read_json
from chatgpt_to_api.errors import ReplyTooLong
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.sse import MAX_EVENT

SPACE: Final = b" \t\r\n\xef\xbb\xbf"
"""White space, and the bytes of a byte order mark: what may stand before a body's first byte."""

_GZIP: Final = b"\x1f"
_PAGE: Final = b"<"
_FIRST: Final = b'{["' + _PAGE + _GZIP  # no field of an event begins so


def is_plain_body(first: bytes) -> bool:
    """Whether a body that begins with the byte ``first`` is no event stream."""
    return first in _FIRST


class PlainBody:
    """A body that is read as a whole. It is bounded, as every event is."""

    __slots__ = ("_content_type", "_pieces", "_size")

    def __init__(self, content_type: str) -> None:
        self._content_type = content_type
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Keep the next bytes. Raises ReplyTooLong."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT:
            raise ReplyTooLong(limit=MAX_EVENT)

    def read(self) -> dict[str, Any] | UpstreamFault:
        """Return the one event it is, as some backends send it, or what it means otherwise."""
        body = b"".join(self._pieces).strip(SPACE)
        said = read_error_body(self._content_type, body)
        if body.startswith(_GZIP):
            return compressed()
        if said.is_html or body.startswith(_PAGE):
            return faults.challenge_page("with status 200")
        try:
            value = read_json(body)
        except NotJson:
            value = None
        if not isinstance(value, dict):
            message = "The conversation backend's reply is no event stream."
            return faults.broken(message, "upstream_unreadable", said)
        if "wss_url" in value:
            return moved_to_websocket()
        if isinstance(value.get("message"), dict):
            return value
        return faults.fault_of_complaint(value)


def compressed() -> UpstreamFault:
    """The fault of a reply in an encoding that was not asked for."""
    return faults.unsupported(
        "The conversation backend sent a compressed reply, which it was not asked for."
    )


def moved_to_websocket() -> UpstreamFault:
    """The fault of a reply that is to be fetched elsewhere."""
    return faults.unsupported(
        "The conversation backend answers over a websocket, which the gateway does not use."
    )
