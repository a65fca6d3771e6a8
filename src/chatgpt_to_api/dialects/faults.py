"""What a failed call of a vendor's server means: for client, credential, upstream, retry.

Vendors word their errors differently but mean the same by their statuses. A dialect whose vendor
means something else reads that itself and leaves the rest to this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import UNREADABLE
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import (
    GatewayError,
    RateLimited,
    ReplyTooLong,
    Unavailable,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from chatgpt_to_api.wire.error_body import (
    ErrorBody,
    looks_like_challenge,
    read_error_body,
    read_error_value,
)
from chatgpt_to_api.wire.http import Headers, ReplyHead, header
from chatgpt_to_api.wire.retry_after import parse_duration, parse_retry_after

LONGEST_COOL_DOWN: Final = 600.0
"""Seconds. Servers are wrong by days; after this a waiting request tries again."""
CHALLENGED: Final = 60.0
"""Seconds an upstream behind a challenge page is left alone."""
CROWDED: Final = 15.0
"""Seconds an upstream is left alone whose front refuses the address for its pace."""

_NO_QUOTA: Final = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "credits_exhausted",
    }
)
_REFUSED_ADDRESS: Final = frozenset({"unsupported_country_region_territory"})
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,63}")
_AGAIN_IN: Final = re.compile(
    r"(?:try again|retry)(?: again)?(?: in| after):?\s+((?:\d[\d.]*\s*[a-z]+\s*)+|\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
# What an error inside a 200 means, by its code or type, the first that fits.
_STATUS_OF: Final[tuple[tuple[re.Pattern[str], int], ...]] = tuple(
    (re.compile(words), status)
    for words, status in (
        (r"insufficient_quota|billing|rate_?limit|too_many|exhausted|quota", 429),
        (r"api_key|authenti|unauthorized|token_expired", 401),
        (r"permission|forbidden|access", 403),
        (r"overload|unavailable|capacity", 503),
        (r"timeout", 504),
        (r"not_found", 404),
        (r"server_error|internal|upstream|provider", 500),
        (r"invalid|context_length|bad_request|content|unsupported|too_large|too_long", 400),
    )
)


_BLAMES_REQUEST: Final = re.compile(
    r"(?:image|audio|video) input is not supported|failed to parse (?:tools|messages|grammar)"
    r"|unsupported (?:tool|content|message|param)",
    re.IGNORECASE,
)
"""What llama.cpp's server says with a 500 of a request that it cannot take. It is well, and would
say so again: for its breaker such an answer is no failure."""


_UNROUTED: Final = re.compile(
    r"(?:(?:file )?not found|method not allowed)\.?$|invalid url \(|unexpected endpoint or method"
    r"|there is nothing at ",
    re.IGNORECASE,
)
"""What servers say at a path that they do not have, in JSON that looks like any other refusal:
vLLM and whatever else is made with FastAPI, llama.cpp, OpenAI, LM Studio (with a 200),
another gateway like this one.

Sources: https://github.com/vllm-project/vllm/issues/5082,
https://github.com/nextcloud/server/issues/40406, https://github.com/OpenHands/OpenHands/issues/485,
https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/618
"""

WRONG_PATH: Final = "upstream_wrong_path"
"""Code of the error where an upstream does not have the path that was asked."""


def fault_of_reply(
    head: ReplyHead, body: bytes, now: float, *, at_own_path: bool = True
) -> UpstreamFault:
    """Return what a reply without success means. ``body`` is its beginning; ``now`` Unix time.

    ``at_own_path``: the gateway chose the path, so that a server which has no such path was given
    the wrong base URL. Where the client chose it, that is between the two.
    """
    said = read_error_body(head.content_type, body)
    if said.is_html and (head.status == 403 or (head.status == 503 and looks_like_challenge(body))):
        return challenge_page(said)
    if at_own_path and head.status in (404, 405) and _UNROUTED.match(said.message):
        return _wrong_path(head.status)
    return _fault(head.status, said, head.headers, now)


def fault_of_event(value: object) -> UpstreamFault:
    """Return what an error inside a reply with status 200 means. ``value`` is its decoded JSON."""
    said = read_error_value(value)
    status = _status_of(said)
    if status is None and _UNROUTED.match(said.message):
        return _wrong_path(200)
    if status is None:
        return UpstreamFault(
            error=UpstreamFailed(
                "The upstream reported an error in its answer.", said=said.message
            ),
            reason=_reason("error in the answer", said),
            upstream="count",
            retry="again",
        )
    return _fault(status, said, (), 0.0)


def complaint(error: Raw) -> UpstreamFault:
    """Return what the ``error`` field of a chunk means."""
    return fault_of_event({"error": anything(bytes(error))})


def anything(payload: bytes) -> Any:
    """Decode JSON; what is none is text."""
    try:
        return msgspec.json.decode(payload)
    except UNREADABLE:
        return payload[:1000].decode("utf-8", "replace")


def challenge_page(said: ErrorBody) -> UpstreamFault:
    """An HTML page stands in front: the address is refused, the credential says nothing."""
    return UpstreamFault(
        error=UpstreamChallenge(
            "A web page answers in place of the upstream: it refuses this address.",
            said=said.message,
            retry_after=CHALLENGED,
        ),
        reason="challenge page",
        upstream="cool",
        cool_for=CHALLENGED,
        retry="next_candidate",
    )


def nonsense(message: str, said: str = "") -> UpstreamFault:
    """A good status and no chat completion: the server or something before it is broken."""
    return UpstreamFault(
        error=UpstreamFailed(message, said=said[:200]),
        reason=message,
        upstream="count",
        retry="again",
    )


def truncated() -> UpstreamFault:
    """The reply ended before the answer did."""
    return UpstreamFault(
        error=UpstreamFailed(
            "The upstream's reply ended before the answer was complete.", code="upstream_truncated"
        ),
        reason="reply cut off",
        upstream="count",
        retry="again",
    )


def too_long(limit: int) -> UpstreamFault:
    """An event or reply is larger than the gateway holds; it would be so again."""
    return UpstreamFault(error=ReplyTooLong(limit=limit), reason="reply too long")


def _fault(status: int, said: ErrorBody, headers: Headers, now: float) -> UpstreamFault:
    match status:
        case 401 if not said.is_html:
            return _denied(
                "The upstream does not accept the API key; it is not used again until replaced.",
                said,
                "key refused",
                invalid=True,
            )
        case 402 | 403 if said.code in _REFUSED_ADDRESS:
            return _address_refused(said)
        case 402 | 403:
            return _denied(
                "The upstream denies this API key what was asked for.",
                said,
                "no access" if status == 403 else "payment required",
                invalid=False,
            )
        case 429:
            return _limited(said, headers, now)
        case 404 | 405 if not said.fields:
            return _wrong_path(status)
        case 408 | 425:
            return _failed(status, said, headers, now)
        case 500 if _BLAMES_REQUEST.match(said.message):
            return _rejected(400, said)
        case _ if 400 <= status < 500 and status not in (401, 407):
            return _rejected(status, said)
        case _:
            return _failed(status, said, headers, now)


def _denied(message: str, said: ErrorBody, what: str, *, invalid: bool) -> UpstreamFault:
    error = UpstreamDenied(message, said=said.message)
    reason = _reason(what, said)
    if invalid:
        return UpstreamFault(
            error=error, reason=reason, credential="invalid", retry="next_credential"
        )
    return UpstreamFault(
        error=error,
        reason=reason,
        credential="cool",
        cool_for=LONGEST_COOL_DOWN,
        only_model=said.code == "model_not_found",
        retry="next_credential",
    )


def _address_refused(said: ErrorBody) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamDenied("The upstream refuses this address.", said=said.message),
        reason=_reason("address refused", said),
        upstream="cool",
        cool_for=LONGEST_COOL_DOWN,
        retry="next_candidate",
    )


def _limited(said: ErrorBody, headers: Headers, now: float) -> UpstreamFault:
    if said.code in _NO_QUOTA or said.kind in _NO_QUOTA:
        return UpstreamFault(
            error=RateLimited(
                "The quota of the upstream's API key is used up.",
                code="insufficient_quota",
                said=said.message,
                retry_after=LONGEST_COOL_DOWN,
            ),
            reason=_reason("quota used up", said),
            credential="cool",
            cool_for=LONGEST_COOL_DOWN,
            retry="next_credential",
        )
    wait = _wait(headers, said.message, now)
    if said.is_html:
        wait = wait or CROWDED
        return UpstreamFault(
            error=RateLimited("The upstream's front limits this address.", retry_after=wait),
            reason="too many requests from this address",
            upstream="cool",
            cool_for=wait,
            retry="next_candidate",
        )
    error = RateLimited("The upstream limits the rate.", said=said.message, retry_after=wait or 1)
    reason = _reason("rate limited", said)
    if wait is None:
        return UpstreamFault(
            error=error, reason=reason, credential="backoff", only_model=True, retry="again"
        )
    return UpstreamFault(
        error=error,
        reason=reason,
        credential="cool",
        cool_for=wait,
        only_model=True,
        retry="next_credential",
    )


def _wrong_path(status: int) -> UpstreamFault:
    return UpstreamFault(
        error=UpstreamFailed(
            f"What was asked for is not served at the upstream's base URL (status {status}).",
            code=WRONG_PATH,
        ),
        reason=f"not served there (status {status})",
        retry="next_candidate",
    )


def _rejected(status: int, said: ErrorBody) -> UpstreamFault:
    """The request itself was refused: the client gets the upstream's words, code and field."""
    error = UpstreamRejected(
        said.message or f"The upstream refused the request with status {status}.",
        status=status,
        # llama.cpp repeats the status there, which is no word a program could look for.
        code=said.kind if said.code is None or said.code.isdigit() else said.code,
        param=said.param,
    )
    if said.kind is not None:
        error.kind = said.kind
    return UpstreamFault(error=error, reason=_reason("request refused", said))


def _failed(status: int, said: ErrorBody, headers: Headers, now: float) -> UpstreamFault:
    reason = _reason(f"status {status}", said)
    message = f"The upstream failed with status {status}."
    if 300 <= status < 400:
        error: GatewayError = UpstreamFailed(
            f"The upstream redirects (status {status}): its base URL is not the right one."
        )
        return UpstreamFault(error=error, reason=reason, retry="next_candidate")
    if status in (503, 529):
        wait = _wait(headers, said.message, now)
        error = Unavailable(
            "The upstream is overloaded or out of service.",
            code="upstream_overloaded",
            said=said.message,
            retry_after=wait,
        )
    elif status in (408, 504):
        error = UpstreamTimeout(message, said=said.message)
    else:
        error = UpstreamFailed(message, said=said.message)
    return UpstreamFault(error=error, reason=reason, upstream="count", retry="again")


def _reason(what: str, said: ErrorBody) -> str:
    """Add the upstream's own code. Its prose stays out: reasons are kept, and it may hold a key."""
    code = said.code or said.kind
    return f"{what} ({code})" if code and _CODE.fullmatch(code) else what


# -- when to come back -----------------------------------------------------------------------


def _wait(headers: Headers, message: str, now: float) -> float | None:
    """Return the seconds to wait the reply asks for, at most ten minutes; None where it gives none.

    Zero is no time either: going by it, a limited key would be asked again at once, for ever.
    """
    wait = _from_headers(headers, now)
    if wait is None:
        found = _AGAIN_IN.search(message)
        wait = _parsed(parse_duration, found[1]) if found else None
    return min(wait, LONGEST_COOL_DOWN) if wait else None


def _from_headers(headers: Headers, now: float) -> float | None:
    milliseconds = _value(headers, b"retry-after-ms")
    if milliseconds is not None and (wait := _parsed(parse_duration, milliseconds)) is not None:
        return wait / 1000
    after = _value(headers, b"retry-after")
    if after is not None and (wait := _parsed(lambda v: parse_retry_after(v, now), after)):
        return wait
    spent: list[float] = []
    other: list[float] = []
    for kind in (b"-requests", b"-tokens", b""):
        reset = _value(headers, b"x-ratelimit-reset" + kind)
        wait = None if reset is None else _parsed(lambda v: _reset(v, now), reset)
        if wait is not None:
            left = _value(headers, b"x-ratelimit-remaining" + kind)
            (spent if left == "0" else other).append(wait)
    return max(spent or other, default=None)


def _reset(value: str, now: float) -> float:
    """Read a reset header: a duration, or a moment in Unix time, seconds or milliseconds."""
    seconds = parse_duration(value)
    if seconds > 1e11:
        seconds /= 1000
    return max(0.0, seconds - now) if seconds > 1e9 else seconds


def _parsed(parse: Callable[[str], float], value: str) -> float | None:
    try:
        return parse(value)
    except ValueError:
        return None


def _value(headers: Headers, name: bytes) -> str | None:
    value = header(headers, name)
    return None if value is None else value.decode("latin-1").strip()


def _status_of(said: ErrorBody) -> int | None:
    """Return the status an error inside a 200 would have had; None where it gives no sign."""
    fields: Mapping[str, Any] = said.fields
    for name in ("status", "status_code", "http_code", "code"):
        value = fields.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    for code in (said.code, said.kind):
        for words, status in _STATUS_OF:
            if code and words.search(code.lower()):
                return status
    return None
