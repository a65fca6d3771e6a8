"""What later turns need of a thought: the vendor's own seal, or another dialect's in its place.

This dialect's clients carry ``encrypted_content`` unread from one turn to the next, so it can hold
what another dialect's server has signed just as well.
"""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT

_MARK: Final = "gateway-sealed:"
"""No seal of the vendor's begins so: those are base64."""


def to_client(opaque: Opaque) -> str:
    """Return what a client is to carry for an opaque part."""
    if opaque.dialect == DIALECT:
        return opaque.data
    return f"{_MARK}{opaque.dialect}:{opaque.data}"


def from_client(carried: str) -> Opaque:
    """Return the opaque part that a client has carried."""
    if carried.startswith(_MARK):
        dialect, colon, data = carried.removeprefix(_MARK).partition(":")
        if colon:
            return Opaque(dialect, data)
    return Opaque(DIALECT, carried)
