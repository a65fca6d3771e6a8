"""The head of a reply: its status line, its fields, and what only the server may say in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from chatgpt_to_api.wire.http import Header

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

STATUS_LINES: Final = {
    code: f"HTTP/1.1 {code} {_PHRASES.get(code, '')}\r\n".encode() for code in range(200, 600)
}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

BODILESS: Final = frozenset((204, 304))
"""Statuses whose reply has no body, whatever its headers say."""

OURS: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
        b"trailer",
        b"te",
        b"x-request-id",
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-expose-headers",
    )
)
"""Fields that only the server sets: how the connection goes on, its request id, who may read."""

MOST_KNOWN: Final = 256
"""Most heads that are kept. A gateway's own are few; those passed on may never come again."""


class HeadLines(NamedTuple):
    """A reply's status line and fields as bytes, checked; ``length`` is the one they declare."""

    text: bytes
    length: int | None
    closes: bool
    """They ask for the connection to be closed."""


_known: dict[tuple[int, tuple[Header, ...]], HeadLines] = {}


def head_lines(status: int, headers: tuple[Header, ...]) -> HeadLines:
    """Return a head's lines, without the last, empty one; ``OURS`` are left out.

    Raises ValueError for a header with a line break in it.
    """
    known = _known.get((status, headers))
    return _join(status, headers) if known is None else known


def _join(status: int, headers: tuple[Header, ...]) -> HeadLines:
    parts = [STATUS_LINES[status]]
    length: int | None = None
    closes = False
    for name, value in headers:
        if name in OURS:
            closes = closes or (name == b"connection" and b"close" in value.lower())
            continue
        if name == b"content-length":
            length = int(value)
        parts += (name, b": ", value, b"\r\n")
    text = b"".join(parts)
    lines = 1 + len(parts) // 4
    if text.count(b"\n") != lines or text.count(b"\r") != lines:
        raise ValueError("a reply header holds a line break")
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    known = _known[status, headers] = HeadLines(text, length, closes)
    return known
