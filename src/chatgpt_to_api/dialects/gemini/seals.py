"""What later turns need of a thought or a call: the vendor's own signature, or another's seal.

This dialect's clients carry ``thoughtSignature``, base64, unread from one turn to the next, so it
can hold what another dialect's server has sealed just as well. With it goes the thought's text:
clients that do not ask for thoughts are not shown it, and a signature is good for its text alone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.gemini.messages import DIALECT

_MARK: Final = b"gateway-sealed:"
_MARKED: Final = b64encode(_MARK)
"""How every signature begins that is none of the vendor's; 15 bytes are a whole run of base64."""

_OTHER_ALPHABET: Final = str.maketrans("-_", "+/")
_SPELLINGS: Final = ("thoughtSignature", "thought_signature")


class _Carried(msgspec.Struct, array_like=True):
    dialect: str
    data: str
    text: str = ""


_DECODE: Final = msgspec.json.Decoder(_Carried).decode
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])
_STRING: Final = msgspec.json.Decoder(str)


def to_client(opaque: Opaque, text: str = "") -> str:
    """Return the signature a client is to carry for an opaque part, and for its thought's text."""
    if opaque.dialect == DIALECT:
        return opaque.data
    carried = msgspec.json.encode(_Carried(opaque.dialect, opaque.data, text))
    return b64encode(_MARK + carried).decode()


def from_client(signature: str) -> tuple[Opaque, str]:
    """Return the opaque part that a client has carried, and its text where that went along.

    Clients decode and encode base64, in either alphabet, with padding or without.
    """
    if signature.startswith(_MARKED.decode()):
        padded = signature.translate(_OTHER_ALPHABET).rstrip("=")
        try:
            data = b64decode(padded + "=" * (-len(padded) % 4), validate=True)
            carried = _DECODE(data.removeprefix(_MARK))
        except (ValueError, msgspec.DecodeError):
            return Opaque(DIALECT, signature), ""
        return Opaque(carried.dialect, carried.data), carried.text
    return Opaque(DIALECT, signature), ""


def without_others(body: bytes) -> bytes:
    """Return a request as the vendor's server may see it: without what others have sealed.

    Such a thought goes whole, a call keeps all but the signature. All else keeps its bytes, and so
    does a request whose turns have another form than the dialect's: the server says what is wrong.
    """
    if _MARKED not in body:
        return body
    fields = _OBJECT.decode(body)
    turns = []
    try:
        for raw in _LIST.decode(fields.get("contents", Raw(b"[]"))):
            turn = _OBJECT.decode(raw)
            if "parts" in turn and _MARKED in bytes(turn["parts"]):
                turn["parts"] = Raw(msgspec.json.encode(list(_own(_LIST.decode(turn["parts"])))))
            turns.append(turn)
    except msgspec.DecodeError:
        return body
    return msgspec.json.encode(fields | {"contents": turns})


def _own(parts: list[Raw]) -> Iterator[Any]:
    for raw in parts:
        part = _OBJECT.decode(raw)
        marked = [name for name in _SPELLINGS if name in part and _is_others(part[name])]
        if not marked:
            yield raw
        elif "functionCall" in part or "function_call" in part:
            yield {name: value for name, value in part.items() if name not in marked}


def _is_others(raw: Raw) -> bool:
    try:
        return _STRING.decode(raw).startswith(_MARKED.decode())
    except msgspec.DecodeError:
        return False
