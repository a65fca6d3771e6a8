"""Bodies and queries of admin requests. The content type is not looked at: curl sends a form's."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request

from chatgpt_to_api.errors import BodyTooLarge, InvalidRequest
from chatgpt_to_api.wire.secret import MASK, Secret

MAX_BODY: Final = 64 * 1024 * 1024
"""Largest body of an admin request, bytes."""

MAX_VALUE: Final = 4096
"""Longest single value, characters."""


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raises BodyTooLarge, or InvalidRequest if it breaks off."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
            parts.append(part)
    except ClientDisconnect:
        raise InvalidRequest("The body broke off.") from None
    return b"".join(parts)


def parse_object(body: bytes, expected: str) -> dict[str, Any]:
    """Return the body as a JSON object. Raises InvalidRequest that says what was ``expected``."""
    try:
        value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest(f"Expected a JSON object: {expected}.", code="invalid_json")
    return value


def secret_field(value: dict[str, Any], name: str) -> Secret | None:
    """Return a secret text of an object, None for null or "". Raises InvalidRequest."""
    if name not in value:
        raise InvalidRequest(f"{name} not provided.", param=name, code="missing_field")
    text = value[name]
    if text is None:
        return None
    if not isinstance(text, str):
        raise _bad(name, "expected a string", "invalid_type")
    if MASK in text:
        raise _bad(name, "it is masked; the whole value is needed", "invalid_value")
    if len(text) > MAX_VALUE:
        raise _bad(name, f"it is longer than {MAX_VALUE} characters", "invalid_value")
    return Secret(text) if text else None


def header_secret_field(value: dict[str, Any], name: str) -> Secret | None:
    """Return a secret that goes into a header: visible ASCII only. Raises InvalidRequest."""
    secret = secret_field(value, name)
    if secret is None:
        return None
    secret = Secret(secret.reveal().strip())
    if any(not "!" <= character <= "~" for character in secret.reveal()):
        raise _bad(name, "it holds a character that no header may hold", "invalid_value")
    return secret or None


def whole_number(request: Request, name: str, default: int, most: int) -> int:
    """Return a query parameter between 1 and ``most``. Raises InvalidRequest."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise _bad(name, f"expected a whole number from 1 to {most}", "invalid_value")
    return int(text)


def _bad(name: str, reason: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {reason}. Nothing was changed.", param=name, code=code)
