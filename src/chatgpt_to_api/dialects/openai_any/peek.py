"""The model that a request names, as far as its beginning tells; nothing is decoded as a whole."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

import msgspec

PEEK: Final = 64 * 1024
"""How much of a body is looked at, bytes. A whole body of at most this is held to be sent again."""

# A string that is cut off is taken to the end: were its end looked for in vain, each escaped quote
# in it would be tried as the beginning of another one, in quadratic time.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[{}\[\],:]', re.DOTALL)
_BOUNDARY: Final = re.compile(rb'boundary="?([^";,]{1,200})"?', re.IGNORECASE)
_DISPOSITION: Final = b"content-disposition:"
_NAMES_MODEL: Final = (b"name=model", b'name="model"')
_MOST: Final = 256
"""Most characters of a name that can be one; of a longer one so many are told that it shows."""


def model_of(content_type: bytes, query: bytes, beginning: bytes) -> str:
    """Return the model that a request names, "" where its beginning does not say.

    A query's ``model`` counts first, then the field of a form or the top of a JSON object.
    """
    if b"model=" in query:
        given = parse_qs(query.decode("latin-1")).get("model", [""])[0]
        if given:
            return given[: _MOST + 1]
    kind = content_type.split(b";", 1)[0].strip().lower()
    if kind == b"multipart/form-data":
        return _in_form(content_type, beginning)
    if beginning.lstrip()[:1] == b"{":
        return _in_json(beginning)
    return ""


def _in_json(beginning: bytes) -> str:
    """Find the string under ``model`` at the top of an object that may be cut anywhere."""
    depth = 0
    key = b""  # the last string at the top; with a colon after it, a key
    of_model = False
    for token in _TOKEN.findall(beginning):
        sign = token[:1]
        if sign in b"{[":
            depth += 1
            of_model = False
        elif sign in b"}]":
            depth -= 1
        elif depth == 1:
            if sign == b'"':
                if of_model:
                    return _text(token)
                key = token
            else:
                of_model = sign == b":" and key == b'"model"'
    return ""


def _text(token: bytes) -> str:
    try:
        return msgspec.json.decode(token, type=str)[: _MOST + 1]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _in_form(content_type: bytes, beginning: bytes) -> str:
    """Find the form field ``model``, which must have come whole."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return ""
    mark = b"--" + boundary[1]
    for part in beginning.split(mark)[1:-1]:  # what follows the last mark may be cut
        head, found, value = part.partition(b"\r\n\r\n")
        if found and _is_model(head):
            return value.removesuffix(b"\r\n").decode("utf-8", "replace")[: _MOST + 1]
    return ""


def _is_model(head: bytes) -> bool:
    """Whether a part's head names the field ``model``."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_DISPOSITION):
            return any(one.strip(b" \t") in _NAMES_MODEL for one in line.split(b";")[1:])
    return False
