"""The body of an error reply, in whatever shape: its words, its code, the field it blames.

Backends put their errors under ``detail``, ``error``, ``errorMessage``, ``message`` or ``msg``, as
text, object or list, or send a web page or nothing. What is read here is always text, and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

MAX_MESSAGE: Final = 2000
"""Longest message that is passed on, characters."""

_PLACES: Final = ("detail", "error", "errorMessage", "message", "msg", "errors")
_WORDS: Final = ("message", "msg", "detail", "error", "errorMessage", "reason")
_TITLE: Final = re.compile(rb"<title[^<>]*>(.{1,200}?)</title>", re.IGNORECASE | re.DOTALL)
_CHALLENGE: Final = re.compile(
    rb"challenge|captcha|cf-chl|just a moment|attention required|access denied"
    rb"|you have been blocked|checking your browser",
    re.IGNORECASE,
)
_PAGE: Final = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body)", re.IGNORECASE)


class ErrorBody(msgspec.Struct, frozen=True):
    """What an error body says. ``message`` is "" where it says nothing.

    ``kind`` is its ``type``. ``fields`` is the object the message stood in (with ``clears_in`` and
    the like), empty where there was none. ``is_html`` tells a web page; ``message`` is its title.
    """

    message: str = ""
    code: str | None = None
    kind: str | None = None
    param: str | None = None
    is_html: bool = False
    fields: Mapping[str, Any] = {}


def read_error_body(content_type: str, body: bytes) -> ErrorBody:
    """Read a reply's (bounded) body. ``content_type`` is the media type, "" where unknown.

    Anything is an answer: what is no JSON is taken as text, a page gives its title.
    """
    if content_type in ("text/html", "application/xhtml+xml") or _PAGE.match(body):
        title = _TITLE.search(body)
        return ErrorBody(_text(title[1].decode("utf-8", "replace")) if title else "", is_html=True)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ErrorBody(_text(body[: 4 * MAX_MESSAGE].decode("utf-8", "replace")))
    return read_error_value(value)


def looks_like_challenge(page: bytes) -> bool:
    """Whether a web page asks the visitor to prove something, or shows it the door.

    Told by its words, so that a server's plain error page is not taken for one.
    """
    return _CHALLENGE.search(page) is not None


def read_error_value(value: object) -> ErrorBody:
    """Read a decoded body, or the ``error`` of an event, as :func:`read_error_body` does."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return ErrorBody("" if value is None else _text(_words(value)))
    for place in _PLACES:
        inner = value.get(place)
        if inner is None or inner in ("", {}, []):
            continue
        if isinstance(inner, dict):
            return _from_object(inner)
        if isinstance(inner, list):
            return ErrorBody(_text(_words(inner)), param=_blamed(inner), fields=value)
        return _from_object(value, message=_words(inner))
    return _from_object(value, message="") if value else ErrorBody()


def _from_object(fields: Mapping[str, Any], message: str | None = None) -> ErrorBody:
    if message is None:
        message = _words(fields)
    return ErrorBody(
        message=_text(message),
        code=_name(fields.get("code")),
        kind=_name(fields.get("type")),
        param=_name(fields.get("param")),
        fields=fields,
    )


def _words(value: object, depth: int = 4) -> str:
    """Return the words of any JSON value; of one without words, its compact JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and depth:
        for key in _WORDS:
            inner = value.get(key)
            if inner:
                return _words(inner, depth - 1)
    if isinstance(value, list) and depth:
        return "; ".join(_entry(entry, depth - 1) for entry in value[:20])
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "…"


def _entry(entry: object, depth: int) -> str:
    """Return one entry of a validation error list as ``body.action: field required``."""
    if isinstance(entry, dict) and isinstance(entry.get("loc"), list):
        return f"{_path(entry['loc'])}: {_words(entry, depth)}"
    return _words(entry, depth)


def _blamed(entries: list[Any]) -> str | None:
    """Return the field the first entry with a ``loc`` blames, without its leading ``body``."""
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("loc"), list):
            loc = entry["loc"]
            return _name(_path(loc[1:] if loc[:1] == ["body"] else loc))
    return None


def _path(loc: list[Any]) -> str:
    return ".".join(str(step) for step in loc if isinstance(step, str | int))


def _name(value: object) -> str | None:
    """Return a short word or number as text, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)[:200]


def _text(message: str) -> str:
    message = message.strip()
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
