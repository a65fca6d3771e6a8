"""Keeps secrets out of what an upstream said before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import structs

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.secret import MASK, TELLING, Access, Secret, scrubbed


def scrub(text: str, access: Access, more: Sequence[Secret] = ()) -> str:
    """Return ``text`` without the secrets of ``access``, ``more``, or anything shaped like one."""
    for secret in (access.token, access.puid, *more):
        if secret:
            text = _without(text, secret.reveal())
    return scrubbed(text)


def _without(text: str, secret: str) -> str:
    """Mask a secret in any case, for codes are folded, and its beginning where a text was cut."""
    if len(secret) < TELLING:
        word = rf"(?<!\w){re.escape(secret)}(?!\w)"
        return re.sub(word, MASK, text, flags=re.IGNORECASE)
    text = re.sub(re.escape(secret), MASK, text, flags=re.IGNORECASE)
    end = text.removesuffix(MASK)
    begins = end.find(secret[:TELLING], max(0, len(end) - len(secret)))
    while begins >= 0 and len(end) - begins >= TELLING:
        if secret.startswith(end[begins:]):
            return end[:begins] + MASK
        begins = end.find(secret[:TELLING], begins + 1)
    return text


def scrub_error(error: GatewayError, access: Access, more: Sequence[Secret] = ()) -> GatewayError:
    """Scrub everything an error carries of the upstream's words, in place; return it."""
    error.message = scrub(error.message, access, more)
    error.said = scrub(error.said, access, more)
    error.kind = scrub(error.kind, access, more)
    error.code = scrub(error.code, access, more)
    if error.param is not None:
        error.param = scrub(error.param, access, more)
    error.args = (error.message,)
    return error


def scrub_fault(fault: UpstreamFault, access: Access, more: Sequence[Secret] = ()) -> UpstreamFault:
    """Return a fault whose error and reason can be shown, logged and kept.

    ``access`` is what the call went out with, ``more`` the secrets that the upstream's own settings
    put on it.
    """
    scrub_error(fault.error, access, more)
    return structs.replace(fault, reason=scrub(fault.reason, access, more))
