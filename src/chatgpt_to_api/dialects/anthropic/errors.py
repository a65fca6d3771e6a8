"""Errors in the shape and words that clients of this dialect read.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chatgpt_to_api.errors import GatewayError, Unavailable, UpstreamTimeout
from chatgpt_to_api.wire.http import Header, HttpReply

OVERLOADED: Final = 529
"""The dialect's own status for a server that has too much to do; others say 503."""

NO_THREADS: Final = "thread_unsupported_request"
"""Code at which clients go on without a conversation that the server holds: they send all of it."""

_DETAILED: Final = re.compile(r"(?:thread|compaction)_")
"""Codes that clients act on; the dialect has them beside the words."""

_ENCODE: Final = msgspec.json.Encoder().encode

_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}

_TOO_LONG: Final = re.compile(
    r"prompt is too long|context_length_exceeded|maximum context length|this request is too long"
    r"|exceeds? (?:the )?(?:model's )?(?:maximum |available )?context"
    r"|context (?:size|window|length)[^.]{0,40}exceed"
    r"|input (?:is|token count)[^.]{0,40}(?:too long|exceeds)",
    re.IGNORECASE,
)
"""How servers say that a prompt does not fit: there are as many ways as servers."""

_NUMBER: Final = r"(\d[\d,]*)"
_PROMPT: Final = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        rf"prompt is too long: {_NUMBER} tokens",
        rf"(?:resulted in|requested|prompt contains|your request has|input has|about) {_NUMBER}",
        rf"request \({_NUMBER} tokens\)",
        rf"{_NUMBER} (?:input )?tokens[^.]{{0,30}}(?:exceed|>)",
        rf"token count \(?{_NUMBER}\)?",
    )
)
_LIMIT: Final = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        rf"> {_NUMBER} maximum",
        rf"maximum context length is {_NUMBER}",
        rf"context size \({_NUMBER} tokens\)",
        rf"context of {_NUMBER} tokens",
        rf"(?:maximum|limit)[^.\d]{{0,40}}{_NUMBER}",
    )
)


def status_of(error: GatewayError) -> int:
    """Return the status a client of this dialect is told."""
    return OVERLOADED if isinstance(error, Unavailable) else error.status


def error_object(error: GatewayError) -> bytes:
    """Return ``{"type": "error", "error": {…}}``."""
    shown: dict[str, Any] = {"type": _kind(error), "message": _message(error)}
    if _DETAILED.match(error.code):
        shown["details"] = {"error_code": error.code}
        if error.code == NO_THREADS:
            shown["details"]["unsupported"] = ["thread"]
    return _ENCODE({"type": "error", "error": shown})


def error_reply(error: GatewayError) -> HttpReply:
    """Return a whole error reply."""
    headers: list[Header] = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    return HttpReply(status_of(error), headers, error_object(error))


def is_too_long(text: str) -> bool:
    """Whether a server's words say that a prompt is longer than its model's context."""
    return _TOO_LONG.search(text) is not None


def _kind(error: GatewayError) -> str:
    if isinstance(error, UpstreamTimeout):
        return _KINDS[504]
    status = status_of(error)
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")


def _message(error: GatewayError) -> str:
    """The error's words; of a prompt that is too long those that clients look for.

    They compact the conversation then, and need the two numbers to know by how much.
    """
    text = error.text
    too_long = error.code == "context_length_exceeded" or (
        error.status in (400, 413) and is_too_long(text)
    )
    if not too_long:
        return text
    prompt, limit = _found(_PROMPT, text), _found(_LIMIT, text)
    if prompt is None or limit is None:
        return text if text.startswith("prompt is too long") else f"prompt is too long: {text}"
    numbers = f"prompt is too long: {prompt} tokens > {limit} maximum"
    return text if text.startswith(numbers) else f"{numbers} ({text})"


def _found(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    for pattern in patterns:
        found = pattern.search(text)
        if found is not None:
            return int(found[1].replace(",", ""))
    return None
