"""A JSON object as bytes, changed in single fields; every other value keeps its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])

_SAME: Final[Mapping[str, str]] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
"""Two names of one parameter: servers refuse a request that has both."""


def with_defaults(body: bytes, defaults: Mapping[str, Raw]) -> bytes:
    """Return an object with what it lacks of ``defaults``; null counts as lacking."""
    fields = _RAW_OBJECT.decode(body)
    for name, value in defaults.items():
        if not _given(fields, name) and not _given(fields, _SAME.get(name, name)):
            fields[name] = value
    return msgspec.json.encode(fields)


def _given(fields: Mapping[str, Raw], name: str) -> bool:
    value = fields.get(name)
    return value is not None and bytes(value) != b"null"
