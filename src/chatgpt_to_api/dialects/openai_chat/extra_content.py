"""``extra_content`` of a tool call: what vendors put beside it, to be sent back with it."""

from __future__ import annotations

from msgspec import Raw

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.thought_signature import GOOGLE, as_extra_content, signature_in
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_chat.messages import DIALECT


def read_extra_content(raw: Raw) -> Opaque | None:
    """Return a call's opaque part: a signature that other dialects know too, or just this JSON."""
    if not present(raw):
        return None
    return signature_in(bytes(raw)) or Opaque(DIALECT, bytes(raw).decode())


def extra_content(opaque: Opaque | None) -> Raw | None:
    """Return what stands for a call's opaque part here, None for nothing."""
    if opaque is None:
        return None
    if opaque.dialect == GOOGLE:
        return Raw(as_extra_content(opaque).encode())
    return Raw(opaque.data.encode()) if opaque.dialect == DIALECT else None
