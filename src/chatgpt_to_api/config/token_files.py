"""Access tokens in every file form people have them in.

Lenient: what can be taken is taken, and each thing that cannot is told with its place and the
reason. The forms: a JSON list of tokens or ``{"token", "puid"}`` objects, an object from names to
either, a pasted session, the configuration and cache of older clients, loosely written JSON, one
token per line, ``token,account`` lines, or tokens with commas between (``ACCESS_TOKENS``).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from chatgpt_to_api.config.loose_json import NotJson, read_json
from chatgpt_to_api.config.token_text import (
    TokenEntry,
    looks_like_account,
    looks_like_puid,
    strip_bearer,
    why_no_account,
    why_no_puid,
    why_no_token,
)
from chatgpt_to_api.wire.secret import Access, Secret

TOKEN_KEYS: Final = ("token", "accessToken", "access_token")
ACCOUNT_KEYS: Final = ("team_uid", "account", "account_id", "chatgpt_account_id")
LABEL_KEYS: Final = ("label", "email", "name")

_LISTS: Final = ("access_tokens", "tokens")
_PAGE: Final = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_PASSWORD_KEYS: Final = ("password", "passwd")
_MAX_DEPTH: Final = 4  # objects inside objects that may still be tokens
_MAX_LABEL: Final = 254  # longest e-mail address


class Skipped(msgspec.Struct, frozen=True):
    """Something that was not taken: where it stood (``line 3``, ``[2].puid``) and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class TokenFile(msgspec.Struct, frozen=True):
    """What a file gave. ``clears`` tells an explicit empty list from a file that says nothing."""

    entries: tuple[TokenEntry, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    duplicates: int = 0
    clears: bool = False


def parse_tokens(content: bytes) -> TokenFile:
    """Read a file's bytes, or an environment variable's, in whatever form they are."""
    try:
        text = _decode(content)
    except UnicodeError:
        return TokenFile(skipped=(Skipped("the file", "it is not text in UTF-8 or UTF-16"),))
    start = _first_character(text)
    if not start or text.strip() == "null":
        return TokenFile()
    if _PAGE.match(text):  # a log-in page saved in place of the session: none of its lines counts
        return TokenFile(skipped=(Skipped("the file", "it is a web page, not tokens"),))
    if start not in "[{\"'“":
        return _collect(_from_lines(text))
    try:
        value = read_json(text)
    except NotJson as error:
        return TokenFile(skipped=(Skipped("the file", f"it is not JSON: {error}"),))
    if value in ([], {}):
        return TokenFile(clears=True)
    return _collect(_from_json(value, "", "", 0))


def make_entry(where: str, token: str, puid: str, account: str, label: str) -> TokenEntry | Skipped:
    """Check the parts of one credential; "" is a part that was not given."""
    token = strip_bearer(token)
    if reason := why_no_token(token):
        return Skipped(where, reason)
    if puid and (reason := why_no_puid(puid)):
        return Skipped(f"{where}.puid", reason)
    if account and (reason := why_no_account(account)):
        return Skipped(f"{where}.account", reason)
    access = Access(Secret(token), Secret(puid) if puid else None, account or None)
    return TokenEntry(access, _label(label))


def text_field(value: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of ``names`` that is a text in ``value``, stripped; "" if none is."""
    for name in names:
        if isinstance(found := value.get(name), str):
            return found.strip()
    return ""


def _decode(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")  # what a Windows shell's ">" writes
    return content.decode("utf-8-sig")


def _first_character(text: str) -> str:
    """Return the first character that is neither blank nor in a comment line, or ""."""
    for line in text.split("\n"):
        line = line.strip()
        if line and not line.startswith(("#", "//")):
            return line[0]
    return ""


def _collect(found: Iterator[TokenEntry | Skipped]) -> TokenFile:
    entries: dict[Access, TokenEntry] = {}
    skipped: list[Skipped] = []
    duplicates = 0
    for item in found:
        if isinstance(item, Skipped):
            skipped.append(item)
            continue
        identity = Access(item.token, None, item.access.account)
        duplicates += identity in entries
        entries.setdefault(identity, item)
    return TokenFile(tuple(entries.values()), tuple(skipped), duplicates)


def _from_lines(text: str) -> Iterator[TokenEntry | Skipped]:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line.startswith(("#", "//")):
            continue
        line = line.split(" #", 1)[0]
        parts = [part for raw in line.split(",") if (part := raw.strip(" \t\r\"';"))]
        yield from _from_parts(parts, f"line {number}")


def _from_parts(parts: list[str], where: str) -> Iterator[TokenEntry | Skipped]:
    """Read ``token``, ``token,account``, ``token,puid`` and ``token,token,…``."""
    while parts:
        token = parts.pop(0)
        puid = account = ""
        while parts:
            if not account and looks_like_account(parts[0]):
                account = parts.pop(0)
            elif not puid and looks_like_puid(parts[0]):
                puid = parts.pop(0)
            else:
                break
        yield make_entry(where, token, puid, account, "")


def _from_json(value: Any, where: str, label: str, depth: int) -> Iterator[TokenEntry | Skipped]:
    match value:
        case str():
            parts = [part.strip() for part in value.split(",")]
            if len(parts) == 2 and looks_like_account(parts[1]):
                yield make_entry(where or "the file", parts[0], "", parts[1], label)
            else:
                yield make_entry(where or "the file", value, "", "", label)
        case list() if depth < _MAX_DEPTH:
            for index, item in enumerate(value):
                yield from _from_json(item, f"{where}[{index}]", "", depth + 1)
        case dict() if depth < _MAX_DEPTH:
            yield from _from_object(value, where, label, depth)
        case _:
            yield Skipped(where or "the file", "expected a token or an object with a token")


def _from_object(
    value: dict[str, Any], where: str, label: str, depth: int
) -> Iterator[TokenEntry | Skipped]:
    place = where or "the file"
    if token := text_field(value, TOKEN_KEYS):
        user = value.get("user")
        named = text_field(value, LABEL_KEYS) or label
        if not named and isinstance(user, dict):
            named = text_field(user, LABEL_KEYS)
        puid = text_field(value, ("puid",))
        yield make_entry(place, token, puid, text_field(value, ACCOUNT_KEYS), named)
        return
    lists = [name for name in _LISTS if isinstance(value.get(name), list | dict)]
    if lists:
        for name in lists:
            yield from _from_json(value[name], f"{where}{name}", "", depth + 1)
        return
    if any(name in value for name in _PASSWORD_KEYS):
        yield Skipped(place, "it holds a password; the gateway does not log in, give access tokens")
        return
    if any(name in value for name in (*TOKEN_KEYS, "sessionToken", "session_token")):
        yield Skipped(place, "expected an access token under token, access_token or accessToken")
        return
    if not value:
        yield Skipped(place, "expected a token or an object with a token")
    for name, item in value.items():
        yield from _from_json(item, f"{where}[{_quoted(name)}]", name, depth + 1)


def _quoted(name: str) -> str:
    """Show a member's name, but not one that may itself be a token."""
    return f'"{name}"' if len(name) <= 64 and not name.startswith("eyJ") else '"…"'


def _label(text: str) -> str:
    return text if len(text) <= _MAX_LABEL and text.isprintable() else ""
