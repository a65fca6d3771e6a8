"""Why a request gets no credential, in words for a person, and when it will work again."""

from __future__ import annotations

import math

from chatgpt_to_api.errors import (
    NoCredentials,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from chatgpt_to_api.pool.credential import Credential
from chatgpt_to_api.pool.lineup import Census, Hope
from chatgpt_to_api.pool.windows import RateWindow

_HOW_TO_ADD = (
    "send access tokens with PATCH /admin/tokens, put them into access_tokens.json or use "
    "`chatgpt-to-api tokens add`; API keys belong in api_keys of [upstreams.{upstream}]"
)


def spoken(seconds: float) -> str:
    """A time to wait as people say it: whole seconds, from two minutes on whole minutes."""
    whole = max(1, math.ceil(seconds))
    return f"{whole} s" if whole < 120 else f"{math.ceil(whole / 60)} min"


def _again(seconds: float, about: str = "") -> str:
    return f"try again in {about}{spoken(seconds)}"


def no_credentials(upstream: str) -> NoCredentials:
    """Nobody has given this upstream a credential."""
    how = _HOW_TO_ADD.format(upstream=upstream)
    return NoCredentials(f"The upstream {upstream!r} has no credential yet: {how}.")


def none_usable(upstream: str, census: Census, reason: str) -> NoCredentials:
    """Every credential is invalid or disabled; ``reason`` is why one of them is."""
    parts = _parts((census.invalid, "invalid"), (census.disabled, "disabled"))
    because = f" ({reason})" if reason else ""
    replace = (
        "replace access tokens with PATCH /admin/tokens, API keys in api_keys of "
        f"[upstreams.{upstream}]"
    )
    fix = replace if census.invalid else "enable one"
    return NoCredentials(
        f"The upstream {upstream!r} has no usable credential: {parts}{because}. "
        f"They do not come back by themselves; {fix}."
    )


def none_left(
    upstream: str, census: Census, hope: Hope, now: float, busy_for: float
) -> RateLimited | Unavailable:
    """No credential is free before the deadline: all are busy, cooling or past use."""
    parts = _parts(
        (census.ready, "already tried"),
        (census.busy, "busy"),
        (census.cooling, "cooling down"),
        (census.paced, "at the rate limit"),
        (census.invalid, "invalid"),
        (census.disabled, "disabled"),
    )
    if hope.cooling is None:
        return RateLimited(
            f"No credential of the upstream {upstream!r} came free in time ({parts}); "
            f"{_again(busy_for, 'about ')}.",
            retry_after=busy_for,
        )
    wait = hope.at - now
    because = why(hope.cooling, now)
    said = (
        f"No credential of the upstream {upstream!r} can be used now ({parts}"
        f"{f'; {because}' if because else ''}); {_again(wait)}."
    )
    rest = hope.cooling.cooldown
    if rest is not None and rest.outage and rest.until > now and not census.busy:
        return Unavailable(said, retry_after=math.ceil(max(1.0, wait)))
    return RateLimited(said, retry_after=wait)


def all_tried(upstream: str, hope: Hope, now: float) -> RateLimited:
    """Every usable credential was already tried for this request."""
    wait = max(1.0, hope.at - now) if hope.at < math.inf else 1.0
    return RateLimited(
        f"Every usable credential of the upstream {upstream!r} was tried for this request; "
        f"{_again(wait)}.",
        retry_after=wait,
    )


def out_of_pace(upstream: str, windows: tuple[RateWindow, ...], wait: float) -> RateLimited:
    """The upstream's own rate window does not open before the deadline."""
    pace = ", ".join(f"{window.limit} requests in {spoken(window.seconds)}" for window in windows)
    return RateLimited(
        f"The upstream {upstream!r} takes no more than {pace}, and other requests were first; "
        f"{_again(wait)}.",
        retry_after=wait,
    )


def queue_full(upstream: str, most: int, wait: float) -> RateLimited:
    """As many requests wait as may."""
    return RateLimited(
        f"{most} requests already wait for the upstream {upstream!r} and no more may; "
        f"{_again(wait, 'about ')}.",
        retry_after=wait,
    )


def upstream_shut(upstream: str, reason: str, wait: float) -> Unavailable:
    """The upstream cools down, or its circuit is open."""
    if wait > 0:
        then = _again(wait)
    else:
        then, wait = "it is being tried again right now", 1.0
    return Unavailable(
        f"The upstream {upstream!r} is out of service ({reason}); {then}.", retry_after=wait
    )


def not_configured(upstream: str) -> Unavailable:
    """The upstream went out of the configuration while the request was on its way."""
    return Unavailable(f"The upstream {upstream!r} is not configured any more; ask again.")


def no_errand(upstream: str, credential: str) -> RateLimited:
    """The one credential that an errand can be done with is not free, or its pace is full."""
    return RateLimited(
        f"The credential {credential!r} of the upstream {upstream!r} is not free now.",
        retry_after=1,
    )


def credential_gone(upstream: str, credential: str) -> NoCredentials:
    """The one credential that an errand can be done with is gone, invalid or disabled."""
    return NoCredentials(f"The upstream {upstream!r} has no usable credential {credential!r}.")


def own_refused(upstream: str, reason: str) -> Unauthorized:
    """The caller's own token is known to be refused."""
    return Unauthorized(
        f"The upstream {upstream!r} refused the access token this request brought ({reason}); "
        "send a fresh one.",
        code="invalid_access_token",
    )


def own_not_free(upstream: str, hope: Hope, now: float, busy_for: float) -> RateLimited:
    """The caller's own token is busy or cooling."""
    if hope.cooling is None:
        return RateLimited(
            "The access token this request brought still answers another question, and takes one "
            f"at a time; {_again(busy_for, 'about ')}.",
            retry_after=busy_for,
        )
    wait = hope.at - now
    return RateLimited(
        f"The access token this request brought cools down at the upstream {upstream!r} "
        f"({why(hope.cooling, now)}); {_again(wait)}.",
        retry_after=wait,
    )


def why(credential: Credential, now: float) -> str:
    """Why a credential rests."""
    if credential.cooldown is not None and credential.cooldown.until > now:
        return credential.cooldown.reason
    ends = [limit for limit in (credential.models or {}).values() if limit.until > now]
    return min(ends, key=lambda limit: limit.until).reason if ends else ""


def _parts(*counted: tuple[int, str]) -> str:
    return ", ".join(f"{count} {word}" for count, word in counted if count)
