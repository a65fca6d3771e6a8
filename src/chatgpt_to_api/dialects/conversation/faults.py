"""What a failed call of a conversation backend means: for the client, the credential, the retry.

The signs are words as often as statuses, because the same complaint comes as an error reply, as a
JSON body with status 200, or as an event in the middle of a stream.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from msgspec import structs

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import (
    GatewayError,
    RateLimited,
    Unavailable,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from chatgpt_to_api.wire.error_body import ErrorBody, read_error_body, read_error_value
from chatgpt_to_api.wire.http import ReplyHead, header
from chatgpt_to_api.wire.retry_after import parse_retry_after

LONGEST_COOL_DOWN: Final = 600.0
"""Seconds. Backends are wrong by days; after this a waiting request tries again."""

_BUSY: Final = 60.0
_CHALLENGED: Final = 60.0
_CROWDED: Final = 15.0

_DEAD_TOKEN: Final = frozenset(
    {
        "token_expired",
        "token_invalidated",
        "token_revoked",
        "invalid_jwt",
        "invalid_api_key",
        "account_deactivated",
        "expired_session_key",
    }
)
_TOO_LONG: Final = frozenset({"message_length_exceeds_limit", "conversation_too_large"})
_NOBODY_THERE: Final = re.compile(r"(not found|method not allowed)$|there is nothing at ", re.I)
_NO_CONVERSATION: Final = re.compile(r"conversation not found\b|can't load conversation\b")
_LONG_WORD: Final = re.compile(r"\S{24,}")
_CHALLENGE_PAGE: Final = re.compile(
    rb"cf-please-wait|cf-chl|challenge|captcha|just a moment|attention required|access denied"
    rb"|you have been blocked|checking your browser",
    re.IGNORECASE,
)


def fault_of_reply(head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
    """What a reply without success means. ``body`` is its beginning; ``now`` is Unix time."""
    status = head.status
    said = read_error_body(head.content_type, body)
    if 300 <= status < 400:
        return _redirected(status)
    if said.is_html and (status == 403 or (status == 503 and _CHALLENGE_PAGE.search(body))):
        return challenge_page(f"status {status}")
    wait = _retry_after(head, now)
    known = None if said.is_html else _known_complaint(said, wait)
    if known is not None:
        return known
    is_json = body.lstrip()[:1] in (b"{", b"[", b'"')
    match status:
        case 401:
            return _dead_token(said)
        case 402:
            return _no_access(said, status)
        case 403:
            return _no_access(said, status) if is_json else _refused_here(said)
        case 404 | 405 if not is_json or _NOBODY_THERE.match(said.message):
            return _wrong_path(status)
        case 429:
            return _too_many(said, wait) if is_json else _crowded(said, wait)
        case 500 if said.fields.get("code") in (404, 405):  # a server that hides its statuses
            return _wrong_path(status)
        case 404 | 410:  # the URL is right and what was asked is fine: it is what it names
            return _lost(said, status)
        case 408 | 504:
            return _timed_out(said, status)
        case 503 | 529:
            return _out_of_service(said, status, wait)
        case _ if 400 <= status < 500 and status not in (407, 425):
            return _rejected(said, status)
        case _:
            return _failed(said, f"answered with status {status}")


def fault_of_complaint(value: Any) -> UpstreamFault:
    """What an error inside a reply with status 200 means. ``value`` is its decoded JSON."""
    said = read_error_value(value)
    return _known_complaint(said, None) or _failed(said, "reported an error in its answer")


def _known_complaint(said: ErrorBody, wait: float | None) -> UpstreamFault | None:
    """Recognise a complaint by its code or words, whatever status it came with."""
    words = said.message.lower()
    if said.code in _DEAD_TOKEN:
        return _dead_token(said)
    if "unusual activity" in words:
        return _refused_here(said)
    if words.startswith("only one message at a time"):
        seconds = _BUSY if wait is None else wait
        return _limited(said, seconds, "the account is answering another question")
    if words.startswith("too many requests in 1 hour"):
        seconds = LONGEST_COOL_DOWN if wait is None else wait
        return _limited(said, seconds, "the account's hourly limit is reached")
    if said.code == "model_cap_exceeded" or "clears_in" in said.fields:
        return _too_many(said, _seconds(said.fields.get("clears_in")) if wait is None else wait)
    if said.code in _TOO_LONG:
        return _rejected(said, 413)
    if said.code == "conversation_not_found" or _NO_CONVERSATION.match(words):
        return _lost(said, 404)
    return None


def _seconds(value: object) -> float | None:
    """Read a time to wait; None for what is none. One that has passed is 0."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return max(0.0, float(value))


def _retry_after(head: ReplyHead, now: float) -> float | None:
    value = header(head.headers, b"retry-after")
    if value is None:
        return None
    try:
        return parse_retry_after(value.decode("latin-1"), now)
    except ValueError:
        return None


# -- what each complaint does ----------------------------------------------------------------------


def _dead_token(said: ErrorBody) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamDenied(
            "The conversation backend does not accept the access token; it is not used again "
            "until it is replaced.",
            said=said.message,
        ),
        reason=_reason("token refused", said),
        credential="invalid",
        retry="next_credential",
    )


def _no_access(said: ErrorBody, status: int) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamDenied(
            f"The conversation backend denies this account access (status {status}); the account "
            f"is tried again in {LONGEST_COOL_DOWN:.0f} s.",
            said=said.message,
        ),
        reason=_reason(f"status {status}", said),
        credential="cool",
        cool_for=LONGEST_COOL_DOWN,
        only_model="permission to use this model" in said.message.lower(),
        retry="next_credential",
    )


def challenge_page(where: str) -> UpstreamFault:
    """A web page stands where the backend should answer: this address is refused, no token is."""
    return UpstreamFault(
        error=UpstreamChallenge(
            f"The conversation backend shows a web page instead of an answer ({where}): it "
            f"challenges this address. It is tried again in {_CHALLENGED:.0f} s; another outbound "
            "proxy or backend may help.",
            retry_after=_CHALLENGED,
        ),
        reason=f"challenge page ({where})",
        upstream="cool",
        cool_for=_CHALLENGED,
        retry="next_candidate",
    )


def _refused_here(said: ErrorBody) -> UpstreamFault:
    # It says nothing about the token: to the next one it would say the same, and so burn them all.
    return UpstreamFault(
        error=UpstreamChallenge(
            "The conversation backend refuses requests from this address. It is tried again in "
            f"{_CHALLENGED:.0f} s; another outbound proxy or backend may help.",
            said=said.message,
            retry_after=_CHALLENGED,
        ),
        reason=_reason("address refused", said),
        upstream="cool",
        cool_for=_CHALLENGED,
        retry="next_candidate",
    )


def _limited(
    said: ErrorBody, seconds: float, what: str, *, only_model: bool = False
) -> UpstreamFault:
    """A limit of the account, or of one model of it, that holds for ``seconds``."""
    wait = max(1.0, min(seconds, LONGEST_COOL_DOWN))
    until = f" (for {seconds:.0f} s, it says)" if seconds > wait else ""
    return UpstreamFault(
        error=RateLimited(
            f"The conversation backend says that {what}{until}; this account is tried again in "
            f"{wait:.0f} s.",
            said=said.message,
            retry_after=wait,
        ),
        reason=_reason(what, said),
        credential="cool",
        cool_for=wait,
        only_model=only_model,
        retry="next_credential",
    )


def _too_many(said: ErrorBody, wait: float | None) -> UpstreamFault:
    if wait is not None:
        what = "the account's limit for this model is reached"
        return _limited(said, wait, what, only_model=True)
    return UpstreamFault(
        error=RateLimited(
            "The conversation backend says that the account sends too many requests, and not "
            "until when; it is tried again after a growing pause.",
            said=said.message,
            retry_after=1,
        ),
        reason=_reason("too many requests", said),
        credential="backoff",
        only_model=True,
        retry="again",
    )


def _crowded(said: ErrorBody, wait: float | None) -> UpstreamFault:
    """The limit of a proxy in front of the backend: it knows no accounts."""
    seconds = min(_CROWDED if wait is None else wait, LONGEST_COOL_DOWN)
    return UpstreamFault(
        error=RateLimited(
            "The conversation backend's server takes no more requests for now; it is tried again "
            f"in {seconds:.0f} s.",
            said=said.message,
            retry_after=seconds,
        ),
        reason=_reason("too many requests", said),
        upstream="cool",
        cool_for=seconds,
        retry="next_candidate",
    )


def _rejected(said: ErrorBody, status: int) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamRejected(
            f"The conversation backend rejected the request with status {status}; it would reject "
            "it again.",
            status=status,
            code=said.code or _first_type(said),
            said=said.message,
        ),
        reason=_reason(f"status {status}", said),
    )


def _lost(said: ErrorBody, status: int) -> UpstreamFault:
    return structs.replace(_rejected(said, status), conversation_lost=True)


def elsewhere() -> UpstreamFault:
    """A conversation was to go on, and the backend answers in another one."""
    message = "The conversation backend did not go on with its conversation but began another."
    return UpstreamFault(
        error=UpstreamFailed(message, code="upstream_error"),
        reason=message,
        retry="again",
        conversation_lost=True,
    )


def _first_type(said: ErrorBody) -> str | None:
    """The kind of the first entry of a validation error list: the nearest it has to a code."""
    entries = said.fields.get("detail")
    first = entries[0] if isinstance(entries, list) and entries else None
    kind = first.get("type") if isinstance(first, dict) else None
    return kind if isinstance(kind, str) else None


def _wrong_path(status: int) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamFailed(
            f"Nothing answers under the conversation backend's URL (status {status}): its path "
            "looks wrong. It must be the whole URL, mostly ending in /conversation.",
            code="upstream_wrong_path",
        ),
        reason=f"status {status}: the URL's path looks wrong",
        upstream="count",
        retry="next_candidate",
    )


def _redirected(status: int) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamFailed(
            f"The conversation backend redirects to another page (status {status}), mostly a "
            "log-in page; redirects are not followed.",
            code="upstream_redirected",
        ),
        reason=f"redirect (status {status})",
        upstream="count",
        retry="next_candidate",
    )


def _failed(said: ErrorBody, what: str) -> UpstreamFault:
    return broken(f"The conversation backend {what}.", "upstream_error", said)


def _timed_out(said: ErrorBody, status: int) -> UpstreamFault:
    fault = _failed(said, f"answered with status {status}")
    error = UpstreamTimeout(fault.error.message, said=said.message)
    return structs.replace(fault, error=error)


def _out_of_service(said: ErrorBody, status: int, wait: float | None) -> UpstreamFault:
    """It passes; a gateway of this kind before the backend says even when."""
    fault = _failed(said, f"answered with status {status}")
    error = Unavailable(
        fault.error.message,
        code="upstream_overloaded",
        said=said.message,
        retry_after=min(wait, LONGEST_COOL_DOWN) if wait else None,
    )
    return structs.replace(fault, error=error)


def broken(message: str, code: str, said: ErrorBody | None = None) -> UpstreamFault:
    """The backend is in trouble or talks nonsense; another try may go better."""
    said = said or ErrorBody()
    return UpstreamFault(
        error=UpstreamFailed(message, code=code, said=said.message),
        reason=_reason(message, said),
        upstream="count",
        retry="again",
    )


def unsupported(message: str) -> UpstreamFault:
    """The backend answers in a way that cannot be read, and would again."""
    return UpstreamFault(
        error=UpstreamFailed(message, code="upstream_unsupported"),
        reason=message,
        retry="next_candidate",
    )


def nothing_to_read(message: str) -> UpstreamFault:
    """The answer is none that text can hold; asking again would give such a one again."""
    return UpstreamFault(error=UpstreamFailed(message, code="upstream_no_text"), reason=message)


def too_long(error: GatewayError) -> UpstreamFault:
    """The reply is larger than what is held in memory."""
    return UpstreamFault(error=error, reason=error.message, upstream="count")


def _reason(what: str, said: ErrorBody) -> str:
    """A short phrase for people: what it was, and the backend's code or words.

    It is kept and shown, so nothing in it may be a secret that the backend repeats.
    """
    words = said.code or _LONG_WORD.sub("…", said.message[:500])
    return f"{what}: {words[:120]}" if words else what
