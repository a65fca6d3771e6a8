"""Errors in the dialect's shape: a text under ``error``, nothing else."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Header, HttpReply


def error_object(error: GatewayError) -> bytes:
    """Return ``{"error": "…"}``."""
    return msgspec.json.encode({"error": error.text})


def error_reply(error: GatewayError) -> HttpReply:
    """Return a whole error reply."""
    headers: list[Header] = [(b"content-type", b"application/json; charset=utf-8")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return HttpReply(error.status, headers, error_object(error))
