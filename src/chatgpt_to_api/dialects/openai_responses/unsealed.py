"""A client's own request without what another server has sealed."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])


class _Sealed(msgspec.Struct):
    type: str = ""
    encrypted_content: str | None = None


_SEALED: Final = msgspec.json.Decoder(_Sealed)


def unsealed(body: bytes) -> bytes | None:
    """Return the request without the thoughts that hold a seal; None where there are none.

    Every other item keeps its bytes. What else is sealed (a history made short) cannot be missed.
    """
    fields = _RAW_OBJECT.decode(body)
    given = fields.get("input")
    if given is None or bytes(memoryview(given)[:1]) != b"[":
        return None
    items = _RAW_LIST.decode(given)
    kept = [item for item in items if not _is_sealed(item)]
    if len(kept) == len(items):
        return None
    fields["input"] = Raw(msgspec.json.encode(kept))
    return msgspec.json.encode(fields)


def _is_sealed(item: Raw) -> bool:
    if b"encrypted_content" not in bytes(item):
        return False
    try:
        found = _SEALED.decode(item)
    except (msgspec.DecodeError, RecursionError):
        return False
    return found.type == "reasoning" and bool(found.encrypted_content)
