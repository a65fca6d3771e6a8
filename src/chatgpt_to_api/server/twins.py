"""A connection's next request with the same head: recognised by its bytes, not parsed again.

Programs ask over one connection with heads that are alike to the byte, but for the body's length.
So the head of a good request is remembered, and a read that holds exactly one whole request with
that head becomes an exchange at once. Only what the parser has accepted is ever recognised; a read
that differs in any other byte, or is not exactly one request, goes to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.server.doors import DoorEntry
from chatgpt_to_api.wire.http import RequestHead

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_DIGITS: Final = 12
"""Most digits of a length that is read here."""


class Admission(NamedTuple):
    """The door a head leads to, and its caller; it holds while the client keys are ``epoch``'s."""

    entry: DoorEntry
    caller: Caller
    epoch: object


class Twin:
    """A request's head, remembered.

    ``head`` and ``fields`` are shared by all its requests and hold no ``content-length``: how long
    a body is stands in the exchange. ``admission`` is what the front has decided about this head.
    """

    __slots__ = (
        "_after",
        "_before",
        "_rest",
        "_start",
        "admission",
        "fields",
        "head",
        "target",
    )

    def __init__(
        self,
        before: bytes,
        after: bytes,
        head: RequestHead,
        fields: Mapping[bytes, bytes],
        target: bytes,
    ) -> None:
        self._before = before
        self._start = len(before)
        self._after = after
        self._rest = len(after)
        self.head = head
        self.fields = fields
        self.target = target
        self.admission: Admission | None = None

    def body(self, data: bytes) -> bytes | None:
        """Return the body, if ``data`` is exactly one whole request with this head; else None."""
        if not data.startswith(self._before):
            return None
        start = self._start
        end = data.find(b"\r", start, start + _DIGITS)
        if end < 0 or not data.startswith(self._after, end):
            return None
        digits = data[start:end]
        body = data[end + self._rest :]
        return body if digits.isdigit() and int(digits) == len(body) else None


def remember(
    data: bytes, head: RequestHead, fields: Mapping[bytes, bytes], target: bytes
) -> Twin | None:
    """Return the twin of a request whose whole head stands at the beginning of ``data``.

    The parser has accepted it, with a content-length as its framing. None where the bytes do not
    show the one line whose digits may change.
    """
    end = data.find(b"\r\n\r\n") + 4
    found = _LENGTH.search(data, 0, end)
    if found is None or found[1] != fields.get(b"content-length"):
        return None
    start, stop = found.span(1)
    headers = [field for field in head.headers if field[0] != b"content-length"]
    return Twin(
        data[:start],
        data[stop:end],
        RequestHead(head.method, head.path, head.query, headers),
        {name: value for name, value in fields.items() if name != b"content-length"},
        target,
    )
