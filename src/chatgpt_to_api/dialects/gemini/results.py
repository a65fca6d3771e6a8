"""What a function gave back: the dialect has an object for it, others a text.

By the vendor's convention ``output`` holds the result and ``error`` what went wrong; an object with
neither is itself the result.
Source: https://ai.google.dev/api/caching#FunctionResponse
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_OUTPUT: Final = "output"
_ERROR: Final = "error"


def response_of(text: str, *, is_error: bool) -> Raw:
    """Return a result's text as an object: one that is an object by itself stays it."""
    if is_error:
        return Raw(msgspec.json.encode({_ERROR: text}))
    try:
        fields = _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        fields = None
    if fields is None or _OUTPUT in fields or _ERROR in fields:
        return Raw(msgspec.json.encode({_OUTPUT: text}))
    return Raw(text.encode())


def text_of(response: Raw) -> tuple[str, bool]:
    """Return a result as text, and whether it is an error. Raises msgspec.DecodeError."""
    fields = _OBJECT.decode(response)
    for name in (_OUTPUT, _ERROR):
        if fields.keys() == {name}:
            try:
                return _TEXT.decode(fields[name]), name == _ERROR
            except msgspec.ValidationError:
                return bytes(fields[name]).decode(), name == _ERROR
    return bytes(response).decode(), False
