"""Keeps secrets out of what an upstream said before anybody reads it."""

from __future__ import annotations

import re
from typing import Final

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.secret import MASK, Access

# Shapes of secrets that upstreams echo although they are not the one that was sent: JWTs,
# vendor keys, and cookies of a conversation backend.
_SHAPES: Final = re.compile(
    r"eyJ[\w-]{10,}(?:\.[\w-]+){0,2}|\b(?:sk|fk|pk|sess)-[\w-]{12,}|(?i:_puid=|bearer )[^\s;,\"']+"
)


def scrub(text: str, access: Access) -> str:
    """Return ``text`` without the secrets of ``access`` and without anything shaped like one."""
    for secret in (access.token, access.puid):
        if secret:
            text = text.replace(secret.reveal(), MASK)
    return _SHAPES.sub(MASK, text)


def scrub_error(error: GatewayError, access: Access) -> GatewayError:
    """Scrub an error's message and the upstream's words in place; return the same error."""
    error.message = scrub(error.message, access)
    error.said = scrub(error.said, access)
    error.args = (error.message,)
    return error
