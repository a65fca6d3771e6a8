"""Errors in the shape that Google's clients read.

Source: https://google.aip.dev/193 and
https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Header, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode
_DOMAIN: Final = "chatgpt-to-api"
_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PERMISSION_DENIED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_object(error: GatewayError) -> bytes:
    """Return ``{"error": {…}}``; details tell our code, the field at fault, when to retry."""
    usual = "INVALID_ARGUMENT" if error.status < 500 else "UNAVAILABLE"
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code.upper(),
            "domain": _DOMAIN,
        }
    ]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [violation],
            }
        )
    if error.retry_after is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{error.retry_after}s",
            }
        )
    return _ENCODE(
        {
            "error": {
                "code": error.status,
                "message": error.text,
                "status": _STATUS.get(error.status, usual),
                "details": details,
            }
        }
    )


def error_reply(error: GatewayError) -> HttpReply:
    """Return a whole error reply."""
    headers: list[Header] = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return HttpReply(error.status, headers, error_object(error))
