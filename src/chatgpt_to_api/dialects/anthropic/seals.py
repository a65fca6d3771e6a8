"""Thinking blocks and their seals: a signature beside the thought, or the thought itself sealed.

Both go back to the server they came from byte for byte; nobody else can read or verify them.
Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.request import Opaque, Reasoning
from chatgpt_to_api.dialects.anthropic.messages import DIALECT


class _Seal(msgspec.Struct, omit_defaults=True):
    signature: str | None = None
    data: str | None = None


_DECODE: Final = msgspec.json.Decoder(_Seal).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def signature_seal(signature: str) -> Opaque:
    """The opaque part that stands for a thought's signature."""
    return Opaque(DIALECT, _ENCODE(_Seal(signature=signature)).decode())


def data_seal(data: str) -> Opaque:
    """The opaque part that stands for a thought which is sealed whole."""
    return Opaque(DIALECT, _ENCODE(_Seal(data=data)).decode())


def signed_thought(text: str, signature: object) -> Reasoning:
    """A ``thinking`` block; without a signature it has no worth for a server that verifies them."""
    sealed = signature_seal(signature) if isinstance(signature, str) and signature else None
    return Reasoning(text, sealed)


def sealed_thought(data: str) -> Reasoning:
    """A ``redacted_thinking`` block."""
    return Reasoning("", data_seal(data))


def seal_of(opaque: Opaque | None) -> tuple[str | None, str | None]:
    """Return signature and sealed data of a part of this dialect; None, None of any other."""
    if opaque is None or opaque.dialect != DIALECT:
        return None, None
    try:
        seal = _DECODE(opaque.data)
    except msgspec.DecodeError:
        return None, None
    return seal.signature, seal.data


def thinking_block(thought: Reasoning) -> dict[str, Any] | None:
    """The block a thought came from; None for one that no server of this dialect has signed."""
    signature, data = seal_of(thought.opaque)
    if data is not None:
        return {"type": "redacted_thinking", "data": data}
    if signature is None:
        return None
    return {"type": "thinking", "thinking": thought.text, "signature": signature}
