"""What a failed call of a Responses server means, where it means something of its own."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import structs

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import (
    LONGEST_COOL_DOWN,
    anything,
    challenge_page,
    fault_of_reply,
    nonsense,
)
from chatgpt_to_api.dialects.faults import fault_of_event as usual_fault
from chatgpt_to_api.errors import RateLimited
from chatgpt_to_api.wire.error_body import ErrorBody, read_error_body, read_error_value
from chatgpt_to_api.wire.http import ReplyHead

_NOT_ITS_SEAL: Final = "invalid_encrypted_content"
_SAYS_SO: Final = re.compile(
    r"encrypted[_ ]content\b.{0,200}?"
    r"(?:could not be (?:verified|decrypted|parsed)|is (?:invalid|not valid))",
    re.IGNORECASE | re.DOTALL,
)
"""The words of the same error where a proxy has lost its code."""

_USED_UP: Final = frozenset({"usage_limit_reached", "usage_not_included"})


def response_fault(head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
    """Return what a reply without success means. ``body`` is its beginning; ``now`` Unix time."""
    said = read_error_body(head.content_type, body)
    return _own(fault_of_reply(head, body, now), said, now)


def fault_of_event(value: Any) -> UpstreamFault:
    """Return what an error inside a reply with status 200 means. ``value`` is its decoded JSON."""
    if isinstance(value, dict) and not isinstance(value.get("error"), dict):
        # The event itself is the error: its type names the event.
        value = {"error": {k: v for k, v in value.items() if k != "type"}}
    return _own(usual_fault(value), read_error_value(value), None)


def no_response(head: ReplyHead, body: bytes) -> UpstreamFault:
    """Return what a good status with a body that is no response means."""
    said = read_error_body(head.content_type, body[: 64 * 1024])
    if said.is_html:
        return challenge_page(said)
    if said.fields and said.message and "output" not in said.fields:
        return fault_of_event(anything(body))
    return nonsense("The upstream answered with something that is no response.", said.message)


def _own(fault: UpstreamFault, said: ErrorBody, now: float | None) -> UpstreamFault:
    if said.code == _NOT_ITS_SEAL or _SAYS_SO.search(said.message):
        return structs.replace(fault, seals_refused=True)
    if said.code in _USED_UP or said.kind in _USED_UP:
        wait = _until(said.fields, now)
        return UpstreamFault(
            error=RateLimited(
                "The account has used up what the upstream gives it.",
                code="insufficient_quota",
                said=said.message,
                retry_after=wait,
            ),
            reason=f"usage used up ({said.code or said.kind})",
            credential="cool",
            cool_for=wait,
            retry="next_credential",
        )
    return fault


def _until(fields: Any, now: float | None) -> float:
    """Return the seconds until an account may be asked again, as it says, ten minutes at most."""
    seconds = fields.get("resets_in_seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        at = fields.get("resets_at")
        known = isinstance(at, int | float) and not isinstance(at, bool) and now is not None
        seconds = at - now if known else LONGEST_COOL_DOWN
    return float(min(max(seconds, 1.0), LONGEST_COOL_DOWN))
