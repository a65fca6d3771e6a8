"""What a failed call of a Gemini server means, where that differs from what others mean.

The vendor tells a bad key by a word in the details of a 400, when to come back in the details of a
429, and that a day's quota is used up in the name of the quota.
Source: https://ai.google.dev/gemini-api/docs/troubleshooting and
https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, structs

from chatgpt_to_api.dialects import faults
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import LONGEST_COOL_DOWN, anything, challenge_page, nonsense
from chatgpt_to_api.errors import RateLimited, UpstreamDenied, UpstreamFailed, UpstreamRejected
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.retry_after import parse_duration

_STATUS_OF: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Statuses by the vendor's words for them; any other is a failure of its own."""
_BAD_KEY: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"})
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,63}")
_NOWHERE: Final = re.compile(r"location is not supported", re.IGNORECASE)
_TOO_LONG: Final = re.compile(r"token count .{0,40}exceeds", re.IGNORECASE)
_MISSING_MODEL: Final = re.compile(r"models?/\S{1,300} is not found|model .{0,300}not found", re.I)


class _Complaint(msgspec.Struct, frozen=True):
    """What an error says. ``reasons`` are the words of its details, ``field`` what it blames."""

    message: str = ""
    status: str = ""
    code: int = 0
    reasons: frozenset[str] = frozenset()
    retry_in: float | None = None
    by_day: bool = False
    field: str | None = None


def fault_of_reply(head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
    """Return what a reply without success means. ``body`` is its beginning; ``now`` Unix time."""
    said = _read(anything(body))
    status = head.status
    if said.reasons & _BAD_KEY:
        status = 401
    if status == 400 and _NOWHERE.search(said.message):
        return UpstreamFault(
            error=UpstreamDenied("The upstream refuses this address.", said=said.message),
            reason="address refused",
            upstream="cool",
            cool_for=LONGEST_COOL_DOWN,
            retry="next_candidate",
        )
    fault = faults.fault_of_reply(ReplyHead(status, head.headers), body, now)
    if status == 429 and (said.by_day or said.retry_in):
        fault = _limited(said)
    if isinstance(fault.error, UpstreamRejected):
        fault = structs.replace(fault, error=_rejected(said, fault.error))
    word = min(said.reasons, default=said.status)
    return (
        structs.replace(fault, reason=f"{fault.reason} ({word})")
        if _WORD.fullmatch(word)
        else fault
    )


def fault_of_error(error: Raw) -> UpstreamFault:
    """Return what the ``error`` of a chunk means, inside a reply with status 200."""
    body = b'{"error":%b}' % bytes(error)
    said = _read(anything(body))
    status = _STATUS_OF.get(said.status) or said.code
    return fault_of_reply(ReplyHead(status if 400 <= status < 600 else 500, ()), body, 0.0)


def no_answer(reason: str, message: str) -> UpstreamFault:
    """The model gave nothing, or nothing that can be read: its next try may be better."""
    said = f"The upstream ended its answer with {reason} and no answer."
    return UpstreamFault(
        error=UpstreamFailed(said, code=reason.lower(), said=message[:500]),
        reason=f"no answer ({reason})",
        retry="again",
    )


def no_reply(head: ReplyHead, body: bytes) -> UpstreamFault:
    """Return what a good status with a body that is none of this dialect means."""
    said = read_error_body(head.content_type, body[: 64 * 1024])
    if said.is_html:
        return challenge_page(said)
    return nonsense("The upstream answered with something that is no Gemini reply.", said.message)


def _read(value: Any) -> _Complaint:
    """Read ``{"error": {…}}``, alone or as the one item of a list."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, Mapping) else None
    if not isinstance(error, Mapping):
        return _Complaint()
    details = [d for d in error.get("details") or () if isinstance(d, Mapping)]
    code = error.get("code")
    return _Complaint(
        message=str(error.get("message") or "")[:2000],
        status=str(error.get("status") or ""),
        code=code if isinstance(code, int) and not isinstance(code, bool) else 0,
        reasons=frozenset(str(d["reason"]) for d in details if d.get("reason")),
        retry_in=_retry_delay(details),
        by_day=any("PerDay" in str(d.get("violations")) for d in details),
        field=_blamed(details),
    )


def _retry_delay(details: Iterable[Mapping[str, Any]]) -> float | None:
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str):
            try:
                return parse_duration(delay)
            except ValueError:
                return None
    return None


def _blamed(details: Iterable[Mapping[str, Any]]) -> str | None:
    for detail in details:
        for violation in detail.get("fieldViolations") or ():
            if isinstance(violation, Mapping) and isinstance(violation.get("field"), str):
                return str(violation["field"])[:200]
    return None


def _limited(said: _Complaint) -> UpstreamFault:
    wait = LONGEST_COOL_DOWN
    if not said.by_day and said.retry_in is not None:
        wait = min(said.retry_in, LONGEST_COOL_DOWN)
    message = "The upstream limits the rate."
    if said.by_day:
        message = "The upstream's quota for today is used up."
    return UpstreamFault(
        error=RateLimited(
            message,
            code="insufficient_quota" if said.by_day else None,
            said=said.message,
            retry_after=wait,
        ),
        reason="quota used up" if said.by_day else "rate limited",
        credential="cool",
        cool_for=wait,
        only_model=True,
        retry="next_credential",
    )


def _rejected(said: _Complaint, error: UpstreamRejected) -> UpstreamRejected:
    """The request itself was refused: the client gets the upstream's words and field."""
    code = said.status.lower() or None
    if error.status == 404 and _MISSING_MODEL.search(said.message):
        code = "model_not_found"
    elif _TOO_LONG.search(said.message):
        code = "context_length_exceeded"
    return UpstreamRejected(error.message, status=error.status, code=code, param=said.field)
