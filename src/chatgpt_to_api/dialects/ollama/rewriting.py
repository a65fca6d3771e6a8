"""A client's JSON for an upstream that knows the model by another name."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


def renamed(body: bytes, model: str) -> bytes:
    """Return a checked body with another ``model``; every other value keeps its bytes."""
    fields = _RAW_OBJECT.decode(body)
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)
