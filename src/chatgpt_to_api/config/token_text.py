"""What may be an access token, and what people put in its place.

A token goes into an HTTP header, so its characters matter; beyond that it is opaque: a conversation
backend of one's own may take any word. What is surely something else is refused with the reason.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from chatgpt_to_api.wire.jwt import read_header
from chatgpt_to_api.wire.secret import MASK, Access, Secret

MAX_TOKEN: Final = 8192
"""Longest token, characters: servers refuse longer headers."""

_NOT_VISIBLE: Final = re.compile(r"[^!-~]")  # anything but visible ASCII
_BEARER: Final = re.compile(r"bearer(\s+|$)", re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PUID: Final = re.compile(r"user-[\x21-\x7e]+")
_PASSWORD_LINE: Final = re.compile(r"[^\s@:]+@[^\s@:]+\.[^\s@:]+(:|-{2,4}|\|)\S")
_REFRESH_LENGTH: Final = 45
_MAX_FIELD: Final = 1024  # characters of a PUID


class TokenEntry(msgspec.Struct, frozen=True):
    """One credential as somebody wrote it down. ``label`` is the name it had there, or ""."""

    access: Access
    label: str = ""

    @property
    def token(self) -> Secret:
        """The token itself; an entry always has one."""
        assert self.access.token is not None
        return self.access.token


def strip_bearer(text: str) -> str:
    """Return ``text`` without blanks around it and without a leading ``Bearer``."""
    text = text.strip()
    prefix = _BEARER.match(text)
    return text[prefix.end() :] if prefix else text


def why_no_token(text: str) -> str | None:
    """Return why ``text`` (stripped) cannot be an access token, or None if it can be one.

    The reason never repeats the text: it may be a secret of another kind.
    """
    if not text:
        return "it is empty"
    if MASK in text or "..." in text or "***" in text:
        return "it is a shortened or masked token; the whole one is needed"
    if "@" in text and _PASSWORD_LINE.match(text):
        return (
            "it looks like an e-mail address and password; the gateway does not log in, "
            "it takes access tokens only"
        )
    if text.startswith("<"):
        return "it begins with '<', as web pages and places to fill in do, not tokens"
    if not _is_visible(text) and (bad := _NOT_VISIBLE.search(text)):
        kind = "white space" if bad[0].isspace() else "a character that no header may hold"
        return f"there is {kind} at character {bad.start() + 1}"
    if len(text) > MAX_TOKEN:
        return f"it is longer than {MAX_TOKEN} characters"
    if text.startswith(("sk-", "sess-")):
        return (
            "it is an API key, not an access token; give it to an upstream of kind openai "
            "(OPENAI_API_KEY, or api_keys in the configuration)"
        )
    if text.startswith(("rt_", "rt.")) or (
        len(text) == _REFRESH_LENGTH and not text.startswith(("eyJ", "fk-", "pk-"))
    ):
        return "it looks like a refresh token, which is not taken; give the access token"
    if text.count(".") == 4 and read_header(text).get("enc"):
        return "it is a session cookie, not an access token"
    return None


def why_no_puid(text: str) -> str | None:
    """Return why ``text`` cannot be the value of the PUID cookie, or None."""
    if MASK in text:
        return "it is masked; the whole value is needed"
    if len(text) > _MAX_FIELD:
        return f"it is longer than {_MAX_FIELD} characters"
    if not _is_visible(text) or any(c in text for c in '",;\\'):
        return "it holds a character that no cookie may hold"
    return None


def why_no_account(text: str) -> str | None:
    """Return why ``text`` cannot be an account id, or None."""
    if len(text) > _MAX_FIELD or not _is_visible(text):
        return "it holds a character that no header may hold, or is too long"
    return None


def looks_like_account(text: str) -> bool:
    """Whether ``text`` is a workspace id (a UUID), as in ``token,account``."""
    return _ACCOUNT.fullmatch(text) is not None


def looks_like_puid(text: str) -> bool:
    """Whether ``text`` is a PUID, as in ``token,user-…``."""
    return _PUID.fullmatch(text) is not None


def _is_visible(text: str) -> bool:
    """Whether all of ``text`` is visible ASCII; much faster than a search, for thousands."""
    return text.isascii() and text.isprintable() and " " not in text
