"""The token set an admin sends: taken whole or not at all.

A list whose elements are tokens or ``{"token", "puid"?}`` objects, mixed. Unlike a file, one bad
element refuses everything, named by its place: a program that sends a set must know it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chatgpt_to_api.config.token_files import (
    ACCOUNT_KEYS,
    LABEL_KEYS,
    Skipped,
    make_entry,
    text_field,
)
from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.errors import InvalidRequest


def parse_token_set(body: bytes) -> tuple[TokenEntry, ...]:
    """Read a replacing set. Raises InvalidRequest whose ``param`` is the element at fault."""
    value = _decode(body)
    if not isinstance(value, list):
        raise _refusal("tokens", f"expected an array of tokens, got {_kind(value)}", "invalid_type")
    return _entries(value)


def parse_added_tokens(body: bytes) -> tuple[TokenEntry, ...]:
    """Read tokens to add: a set, or a single element of one. Raises InvalidRequest as above."""
    value = _decode(body)
    return _entries(value if isinstance(value, list) else [value])


def _decode(body: bytes) -> Any:
    if not body.strip():  # curl sends nothing where the file behind its @ cannot be read
        raise InvalidRequest(
            'tokens not provided: the body is empty; expected ["token", …] or '
            '[{"token": "…", "puid": "…"}, …].',
            code="empty_body",
        )
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidRequest(
            'tokens not provided: the body is not JSON; expected ["token", …] or '
            '[{"token": "…", "puid": "…"}, …].',
            code="invalid_json",
        ) from None


def _entries(values: list[Any]) -> tuple[TokenEntry, ...]:
    return tuple(_entry(value, f"tokens[{index}]") for index, value in enumerate(values))


def _entry(value: Any, where: str) -> TokenEntry:
    match value:
        case str():
            made = make_entry(where, value, "", "", "")
        case {"token": str(token)}:
            for name in ("puid", *ACCOUNT_KEYS):
                if not isinstance(value.get(name, ""), str | None):
                    raise _refusal(f"{where}.{name}", "expected a string", "invalid_type")
            made = make_entry(
                where,
                token,
                text_field(value, ("puid",)),
                text_field(value, ACCOUNT_KEYS),
                text_field(value, LABEL_KEYS),
            )
        case dict():
            raise _refusal(f"{where}.token", "expected a string", "invalid_type")
        case _:
            expected = f"expected a token or an object with one, got {_kind(value)}"
            raise _refusal(where, expected, "invalid_type")
    if isinstance(made, Skipped):
        raise _refusal(made.where, made.reason, "invalid_token")
    return made


def _refusal(param: str, reason: str, code: str) -> InvalidRequest:
    message = f"{param}: {reason}. Nothing was changed."
    return InvalidRequest(message, param=param, code=code)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case dict():
            return "an object"
        case _:
            return "an array"
