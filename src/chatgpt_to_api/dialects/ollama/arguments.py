"""A call's arguments: an object in this dialect, JSON text everywhere else."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def as_object(arguments: str) -> Raw:
    """Return arguments as the object that this dialect wants, bytes kept.

    Text that is no object (a freeform tool's, or one that was cut) goes under ``input``: the tool
    can say what is wrong with it, which nothing at all could not.
    """
    if not arguments.strip():
        return Raw(b"{}")
    try:
        _OBJECT.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Raw(msgspec.json.encode({"input": arguments}))
    return Raw(arguments.encode())


def as_text(raw: Raw) -> str | None:
    """Return an object's JSON text; None for what is none.

    There are servers and clients that send the text itself.
    """
    start = bytes(memoryview(raw)[:1])
    if start == b"{":
        return bytes(raw).decode()
    if start == b'"':
        return _TEXT.decode(raw) or "{}"
    return "{}" if start in (b"", b"n") else None
