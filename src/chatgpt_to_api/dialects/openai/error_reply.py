"""Errors in the shape that clients of OpenAI's endpoints read."""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Header, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode


def error_object(error: GatewayError) -> bytes:
    """Return ``{"error": {…}}`` as the vendor words it."""
    return _ENCODE(
        {
            "error": {
                "message": error.text,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def error_reply(error: GatewayError) -> HttpReply:
    """Return a whole error reply."""
    headers: list[Header] = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return HttpReply(error.status, headers, error_object(error))
