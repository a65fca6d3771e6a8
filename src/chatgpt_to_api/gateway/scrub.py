"""Keeps secrets out of what an upstream said before anybody reads it."""

from __future__ import annotations

from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.secret import MASK, Access, scrubbed


def scrub(text: str, access: Access) -> str:
    """Return ``text`` without the secrets of ``access`` and without anything shaped like one."""
    for secret in (access.token, access.puid):
        if secret:
            text = text.replace(secret.reveal(), MASK)
    return scrubbed(text)


def scrub_error(error: GatewayError, access: Access) -> GatewayError:
    """Scrub an error's message and the upstream's words in place; return the same error."""
    error.message = scrub(error.message, access)
    error.said = scrub(error.said, access)
    error.args = (error.message,)
    return error
