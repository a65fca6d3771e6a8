"""What a failed call means, where this vendor's words say more than its status."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import structs

from chatgpt_to_api.dialects.anthropic.errors import is_too_long
from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import LONGEST_COOL_DOWN, fault_of_event, fault_of_reply
from chatgpt_to_api.errors import UpstreamDenied, UpstreamRejected
from chatgpt_to_api.wire.http import ReplyHead


class _Details(msgspec.Struct):
    error_code: str


class _Error(msgspec.Struct):
    details: _Details


class _Body(msgspec.Struct):
    error: _Error


_BODY: Final = msgspec.json.Decoder(_Body)
_NO_CREDIT: Final = re.compile(r"credit balance is too low|reached your specified", re.IGNORECASE)


def fault_of(head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
    """Return what a reply without success means. ``now`` is Unix time in seconds."""
    return _read(fault_of_reply(head, body, now), body)


def fault_of_error(value: object) -> UpstreamFault:
    """Return what an ``error`` event means. ``value`` is its decoded JSON."""
    return _read(fault_of_event(value), b"")


def _read(fault: UpstreamFault, body: bytes) -> UpstreamFault:
    error = fault.error
    if not isinstance(error, UpstreamRejected):
        return fault
    error.code = _detailed_code(body) or error.code
    if is_too_long(error.message):
        error.code = "context_length_exceeded"
    elif error.status == 400 and _NO_CREDIT.search(error.message):
        # A 400 by its status, but it is the account and not the request that is at fault.
        return structs.replace(
            fault,
            error=UpstreamDenied("The upstream's account has no credit.", said=error.message),
            reason="no credit",
            credential="cool",
            cool_for=LONGEST_COOL_DOWN,
            retry="next_credential",
        )
    return fault


def _detailed_code(body: bytes) -> str | None:
    """The code that clients of this dialect act on, where the error has one."""
    try:
        return _BODY.decode(body).error.details.error_code
    except UNREADABLE:
        return None
