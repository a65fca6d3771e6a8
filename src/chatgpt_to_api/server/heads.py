"""The head of a reply: its status line, its fields, and what only the server may say in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

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
