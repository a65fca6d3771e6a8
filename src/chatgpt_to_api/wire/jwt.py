"""What an access token says about itself, read without checking its signature.

Only a hint, for expiry and labels: the upstream alone decides whether a token is good. Nothing is
required of the token, so reading never fails; what is missing or odd is None.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

MAX_PAYLOAD: Final = 64 * 1024
"""Longest encoded payload that is looked at, characters."""

_PROFILE: Final = "https://api.openai.com/profile"
_AUTH: Final = "https://api.openai.com/auth"
_MAX_TIME: Final = 1e11  # Unix time of the year 5138; beyond it a number is no time in seconds
_MAX_NAME: Final = 254  # longest e-mail address


class Claims(msgspec.Struct, frozen=True):
    """Times are Unix seconds; ``account`` is a workspace's id, ``plan`` a word such as ``plus``."""

    expires: float | None = None
    issued: float | None = None
    email: str | None = None
    user: str | None = None
    account: str | None = None
    plan: str | None = None


UNREADABLE: Final = Claims()


def read_claims(token: str) -> Claims:
    """Return what the token's payload says; UNREADABLE for whatever is not a JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return UNREADABLE
    claims = _part(parts[1])
    profile, auth = _inner(claims, _PROFILE), _inner(claims, _AUTH)
    return Claims(
        expires=_time(claims.get("exp")),
        issued=_time(claims.get("iat")),
        email=_name(profile.get("email")) or _name(claims.get("email")),
        user=_name(auth.get("user_id")) or _name(auth.get("chatgpt_user_id")),
        account=_name(auth.get("chatgpt_account_id")),
        plan=_name(auth.get("chatgpt_plan_type")),
    )


def read_header(token: str) -> dict[str, Any]:
    """Return the header of anything that begins like a JWT or JWE; {} where it cannot be read."""
    return _part(token.partition(".")[0])


def _part(text: str) -> dict[str, Any]:
    """Decode one part: base64url, or standard base64 as some issuers write it, padded or not."""
    if len(text) > MAX_PAYLOAD:
        return {}
    bare = text.replace("-", "+").replace("_", "/").rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    try:
        value = msgspec.json.decode(base64.b64decode(padded, validate=True))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _inner(claims: dict[str, Any], name: str) -> dict[str, Any]:
    value = claims.get(name)
    return value if isinstance(value, dict) else {}


def _time(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MAX_TIME:
        return float(value)
    return None


def _name(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable():
        return value
    return None
