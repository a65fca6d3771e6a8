"""Google's thought signatures: one value, wherever it comes from and goes to.

Gemini signs its tool calls and wants each signature back in its place. Its own dialect has a field
for it, its chat completions carry it as ``extra_content``. In the canonical model both are the
same opaque part, so that a call made over one dialect can go back over the other.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.chat.request import Opaque

GOOGLE: Final = "gemini"
"""The dialect of such an opaque part; its data is the signature, base64 as it came."""


class _Google(msgspec.Struct, forbid_unknown_fields=True):
    thought_signature: str


class _ExtraContent(msgspec.Struct, forbid_unknown_fields=True):
    google: _Google


_EXTRA_CONTENT: Final = msgspec.json.Decoder(_ExtraContent)


def signature_in(extra_content: bytes) -> Opaque | None:
    """Return the signature that ``extra_content`` is; None where it is, or holds, anything else."""
    try:
        found = _EXTRA_CONTENT.decode(extra_content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Opaque(GOOGLE, found.google.thought_signature)


def as_extra_content(signature: Opaque) -> str:
    """Return a signature as ``extra_content``, in JSON."""
    return msgspec.json.encode(_ExtraContent(_Google(signature.data))).decode()
