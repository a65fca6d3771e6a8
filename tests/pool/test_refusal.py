"""Errors a person understands: what happens, and when it will work again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatgpt_to_api.errors import GatewayError, NoCredentials, RateLimited, Unavailable
from chatgpt_to_api.pool.pool import parse_rate_limits
from chatgpt_to_api.pool.refusal import spoken
from support.pool_driver import Bench, broken, challenge, limited, no_quota, refused_token, spec

Benches = Callable[..., Bench]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (0.2, "1 s"), (59.1, "60 s"), (119, "119 s"), (120, "2 min"), (600, "10 min")],
)
def test_times_are_spoken_as_people_do(seconds: float, words: str) -> None:
    """Whole seconds, then whole minutes, never too early."""
    assert spoken(seconds) == words


def ten_tabs_one_busy_token(one: Bench) -> GatewayError:
    tabs = [one.ask() for _ in range(10)]
    assert [tab.state for tab in tabs] == ["held"] + ["waiting"] * 9
    return one.refusal(wait=0)


def one_token_cooling(one: Bench) -> GatewayError:
    one.fault(limited(40, "429 model_cap_exceeded"))
    return one.refusal(wait=30)


def all_kinds(one: Bench) -> GatewayError:
    one.pool.replace("up", [])
    one.pool.replace("up", [spec(id) for id in "abcd"])
    one.fault(refused_token())
    one.fault(no_quota("403 no access"))
    one.fault(limited(300, "429 Too many requests"))
    one.pool.disable("up", "d")
    return one.refusal()


def no_token(one: Bench) -> GatewayError:
    one.pool.replace("up", [])
    return one.refusal()


def invalid_token(one: Bench) -> GatewayError:
    one.fault(refused_token("401 token_expired"))
    return one.refusal()


def disabled_token(one: Bench) -> GatewayError:
    one.pool.disable("up", "a")
    return one.refusal()


def backend_down(one: Bench) -> GatewayError:
    for _ in range(5):
        one.fault(broken("connection refused"))
    one.clock.advance(3)
    return one.refusal()


def challenged(one: Bench) -> GatewayError:
    one.fault(challenge(300))
    return one.refusal()


CASES = [
    (
        ten_tabs_one_busy_token,
        RateLimited,
        50,
        "No credential of the upstream 'up' came free in time (1 busy); try again in about 50 s.",
    ),
    (
        one_token_cooling,
        RateLimited,
        40,
        "No credential of the upstream 'up' can be used now (1 cooling down; "
        "429 model_cap_exceeded); try again in 40 s.",
    ),
    (
        all_kinds,
        RateLimited,
        300,
        "No credential of the upstream 'up' can be used now (2 cooling down, 1 invalid, "
        "1 disabled; 429 Too many requests); try again in 5 min.",
    ),
    (
        no_token,
        NoCredentials,
        None,
        "The upstream 'up' has no credential yet: send access tokens with PATCH /admin/tokens, "
        "put them into access_tokens.json or use `chatgpt-to-api tokens add`; API keys belong "
        "in api_keys of [upstreams.up].",
    ),
    (
        invalid_token,
        NoCredentials,
        None,
        "The upstream 'up' has no usable credential: 1 invalid (401 token_expired). They do not "
        "come back by themselves; replace access tokens with PATCH /admin/tokens, API keys in "
        "api_keys of [upstreams.up].",
    ),
    (
        disabled_token,
        NoCredentials,
        None,
        "The upstream 'up' has no usable credential: 1 disabled. They do not come back by "
        "themselves; enable one.",
    ),
    (
        backend_down,
        Unavailable,
        7,
        "The upstream 'up' is out of service (5 faults in a row, last: connection refused); "
        "try again in 7 s.",
    ),
    (
        challenged,
        Unavailable,
        300,
        "The upstream 'up' is out of service (challenge page); try again in 5 min.",
    ),
]


@pytest.mark.parametrize(("case", "kind", "retry_after", "message"), CASES)
def test_the_error_says_what_happens_and_when_it_works_again(
    bench: Benches,
    case: Callable[[Bench], GatewayError],
    kind: type[GatewayError],
    retry_after: int | None,
    message: str,
) -> None:
    """One or two sentences, with the numbers and a true time."""
    error = case(bench(["a"]))
    assert type(error) is kind
    assert error.message == message
    assert error.retry_after == retry_after


def test_the_time_of_a_busy_pool_follows_what_requests_take(bench: Benches) -> None:
    """The estimate is a moving average of real requests, times those who are first."""
    one = bench(["a"])
    for _ in range(30):
        holder = one.held()
        one.clock.advance(2)
        holder.leave()
    holder, first = one.held(), one.ask()
    error = one.refusal(wait=0)
    assert error.retry_after in (4, 5)
    assert first.state == "waiting"
    holder.leave()


def test_the_later_of_pace_and_cool_down_is_the_true_time(bench: Benches) -> None:
    """A credential that comes back before the upstream's window opens helps nobody."""
    one = bench(["a"], rate_limits=parse_rate_limits("1/1m"))
    one.fault(limited(40))
    error = one.refusal(wait=10)
    assert error.retry_after == 61


def test_messages_hold_no_secret(bench: Benches) -> None:
    """Labels and numbers, never a token."""
    for case, *_ in CASES:
        assert "eyJ" not in case(bench(["a"])).message
