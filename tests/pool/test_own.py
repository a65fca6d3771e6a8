"""A caller's own token: one request at a time, apart from the pool, bounded and soon forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatgpt_to_api.errors import RateLimited, Unauthorized
from chatgpt_to_api.pool.own import MOST_IDLE
from chatgpt_to_api.pool.pool import parse_rate_limits
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret
from support.pool_driver import Bench, limited, no_quota, refused_token

Benches = Callable[..., Bench]


def own(name: str = "mine") -> Access:
    return Access(Secret(f"eyJ-own-token-{name}-0123456789"))


def remembered(one: Bench) -> int:
    return len(one.pool._upstreams["up"].own)


def test_an_own_token_is_used_instead_of_the_pool(bench: Benches) -> None:
    """Also where the pool is empty, busy or refused."""
    one = bench()
    asking = one.held(own=own())
    assert asking.lease.credential.access == own()
    asking.leave()
    assert remembered(one) == 0


def test_an_own_token_answers_one_question_at_a_time(bench: Benches) -> None:
    """A second request with the same token waits; another caller's token does not."""
    one = bench(["a"])
    first, second = one.held(own=own()), one.ask(own=own())
    other = one.held(own=own("other"))
    assert second.state == "waiting"
    first.leave()
    assert second.see().state == "held"
    second.leave()
    other.leave()
    assert (remembered(one), one.pool.in_flight) == (0, 0)


def test_own_tokens_and_the_pool_never_mix(bench: Benches) -> None:
    """A free pool credential does not serve an own request, nor the other way round."""
    one = bench(["a"])
    mine = one.held(own=own())
    waiting_mine = one.ask(own=own())
    pooled = one.held()
    waiting_pooled = one.ask()
    assert pooled.id == "a"
    mine.leave()
    assert waiting_mine.woken
    assert not waiting_pooled.woken
    pooled.leave()
    assert waiting_pooled.see().id == "a"


def test_a_refused_own_token_is_a_401_for_its_caller_only(bench: Benches) -> None:
    """Remembered for a while, so that the upstream is not asked again and again."""
    one = bench(["a"])
    holder, waiting = one.held(own=own()), one.ask(own=own())
    holder.lease.fault(refused_token("token_expired"))
    holder.leave()
    assert isinstance(waiting.see().error, Unauthorized)
    error = one.refusal(own=own())
    assert isinstance(error, Unauthorized)
    assert error.code == "invalid_access_token"
    assert "token_expired" in error.message
    assert one.held(own=own("other")).state == "held"
    assert one.once() == "a"
    one.clock.advance(601)
    assert one.held(own=own()).state == "held"


def test_a_cooling_own_token_cools_alone(bench: Benches) -> None:
    """For its model or for all, with the same caps and probes as any credential."""
    one = bench(["a"])
    one.fault(limited(40), "gpt-4", own=own())
    error = one.refusal("gpt-4", own=own())
    assert isinstance(error, RateLimited)
    assert error.retry_after == 40
    assert "429 Too many requests" in error.message
    assert one.held("gpt-3.5", own=own()).state == "held"
    assert one.once("gpt-4") == "a"


def test_a_busy_own_token_says_so(bench: Benches) -> None:
    """The person who opened two tabs understands."""
    one = bench(["a"])
    holder = one.held(own=own())
    error = one.refusal(own=own(), wait=0)
    assert "still answers another question" in error.message
    assert error.retry_after == 5
    holder.leave()


def test_the_pace_of_the_upstream_holds_for_own_tokens_too(bench: Benches) -> None:
    """They share its windows with the pool, in one fair queue."""
    one = bench(["a"], rate_limits=parse_rate_limits("1/10s"))
    one.once(client="x")
    pooled = one.ask(client="x")
    pooled_too = one.ask(client="x", wait=100)
    mine = one.ask(client="y", own=own())
    one.clock.advance(10.05)
    assert [pooled.woken, mine.woken] == [True, False]
    one.clock.advance(10.05)
    assert [mine.woken, pooled_too.woken] == [True, False]


def test_memory_of_own_tokens_is_bounded(bench: Benches) -> None:
    """However many tokens callers make up, only so many refusals are kept, the newest."""
    one = bench()
    for n in range(MOST_IDLE + 100):
        one.fault(refused_token(), own=own(str(n)))
    assert remembered(one) == MOST_IDLE
    assert isinstance(one.refusal(own=own(str(MOST_IDLE + 99))), Unauthorized)
    assert one.held(own=own("0")).state == "held"


def test_a_token_in_use_is_never_forgotten(bench: Benches) -> None:
    """Bounds and time take only what no request uses, or one token could answer two at once."""
    one = bench(max_queue=10)
    holder = one.held(own=own())
    holder.lease.fault(no_quota(seconds=0))
    one.clock.advance(2000)
    for n in range(MOST_IDLE + 10):
        one.fault(no_quota(), own=own(str(n)))
    assert isinstance(one.refusal(own=own(), wait=0), RateLimited)
    holder.leave()
    assert one.held(own=own()).state == "held"


def test_a_cancelled_wait_for_an_own_token_is_forgotten(bench: Benches) -> None:
    """Neither queue nor memory keeps anything."""
    one = bench()
    holder, waiting = one.held(own=own()), one.ask(own=own())
    waiting.cancel()
    holder.leave()
    assert (remembered(one), one.pool.waiting) == (0, 0)


def test_own_tokens_have_no_place_in_views_states_or_affinity(bench: Benches) -> None:
    """What callers bring is not the administrator's to see, nor kept."""
    one = bench(["a"])
    heard: list[str] = []
    one.pool.on_state(lambda upstream, id, kept: heard.append(id))
    one.fault(refused_token(), own=own(), affinity=b"talk")
    assert [view.id for view in one.pool.views("up")] == ["a"]
    assert one.pool.states() == []
    assert heard == []


def test_own_access_needs_a_token(bench: Benches) -> None:
    """An own access without a token is the gateway's mistake."""
    one = bench()
    with pytest.raises(ValueError):
        one.ask(own=ANONYMOUS)


def test_each_request_carries_its_own_cookie(bench: Benches) -> None:
    """The same token with another PUID goes out with that PUID."""
    one = bench()
    token = own().token
    first = one.held(own=Access(token, Secret("puid-1")))
    second = one.ask(own=Access(token, Secret("puid-2")))
    assert first.lease.credential.access.puid == Secret("puid-1")
    first.leave()
    assert second.see().lease.credential.access.puid == Secret("puid-2")
