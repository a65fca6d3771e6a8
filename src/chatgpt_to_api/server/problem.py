"""Errors outside any door, in the shape OpenAI clients read."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Header, HttpReply


def problem(error: GatewayError) -> HttpReply:
    """Render an error as ``{"error": {message, type, param, code}}`` with its status."""
    body = {
        "error": {
            "message": error.text,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
    }
    headers: list[Header] = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return HttpReply(error.status, headers, msgspec.json.encode(body))
