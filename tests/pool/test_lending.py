"""Granting: pace, further sends, conversations that stay where they are, failing at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.errors import NoCredentials, RateLimited, Unavailable
from chatgpt_to_api.pool.contract import Errand
from chatgpt_to_api.pool.pool import LeaseAsk, Pool, PoolRules, RateWindow, parse_rate_limits
from chatgpt_to_api.pool.windows import GUARD
from support.pool_driver import Asking, Bench, challenge, limited, no_quota, refused_token, spec

Benches = Callable[..., Bench]


# Pace


def test_the_pace_of_the_upstream_is_waited_for(bench: Benches) -> None:
    """The sixth request of 5/10s waits its turn instead of failing, though tokens are free."""
    one = bench([str(n) for n in range(10)], rate_limits=parse_rate_limits("5/10s"))
    for _ in range(5):
        one.once()
    sixth, seventh = one.ask(), one.ask()
    assert (sixth.state, seventh.state) == ("waiting", "waiting")
    one.clock.advance(10)
    assert not sixth.woken
    one.clock.advance(GUARD)
    assert sixth.see().state == "held"
    assert seventh.see().state == "held"


def test_a_pace_out_of_reach_is_a_429_with_the_true_time(bench: Benches) -> None:
    """When the window opens only after the deadline, the answer comes at once and says when."""
    one = bench(["a"], rate_limits=parse_rate_limits("2/1m"))
    one.once()
    one.clock.advance(10)
    one.once()
    error = one.refusal(wait=30)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 51  # 60.05 - 10, rounded up
    assert "no more than 2 requests in 60 s" in error.message
    one.clock.advance(error.retry_after)
    assert one.once() == "a"


def test_the_time_said_counts_those_who_are_first(bench: Benches) -> None:
    """With two waiting, the third is told when the place after theirs opens."""
    one = bench(["a", "b", "c"], rate_limits=parse_rate_limits("1/10s"))
    one.once()
    waiting = [one.ask(wait=100), one.ask(wait=100)]
    assert one.refusal(wait=1).retry_after == 31
    assert not any(asking.woken for asking in waiting)


def test_each_credential_has_windows_of_its_own(bench: Benches) -> None:
    """A credential at its limit rests while others serve; then it is back, in order of last use."""
    one = bench(["a", "b"], credential_rate_limits=parse_rate_limits("2/10s"))
    assert [one.once() for _ in range(4)] == ["a", "b", "a", "b"]
    view = one.pool.views("up")[0]
    assert (view.state, view.reason) == ("busy", "at its rate limit")
    waiting = one.ask()
    one.clock.advance(10 + GUARD)
    assert waiting.see().id == "a"
    waiting.leave()
    one.once(exclude={"b"})
    error = one.refusal(wait=5, exclude={"b"})
    assert "1 already tried, 1 at the rate limit" in error.message
    assert error.retry_after == 11


def test_windows_of_upstream_and_credential_hold_together(bench: Benches) -> None:
    """Whichever opens later decides."""
    one = bench(
        ["a", "b"],
        rate_limits=parse_rate_limits("3/5s"),
        credential_rate_limits=parse_rate_limits("1/20s"),
    )
    assert [one.once(), one.once()] == ["a", "b"]
    waiting = one.ask(wait=60)
    one.clock.advance(19)
    assert not waiting.woken
    one.clock.advance(1 + GUARD)
    assert waiting.see().id == "a"


def test_who_waits_for_the_pace_goes_before_who_comes(bench: Benches) -> None:
    """A request that arrives when the window has opened, before its timer, does not overtake."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("1/10s"))
    one.once()
    waiting = one.ask()
    one.clock.now += 11  # the timer has not been called yet
    late = one.ask()
    assert waiting.see().state == "held"
    assert late.state == "waiting"


@settings(max_examples=50, deadline=None)
@given(
    upstream=st.lists(st.tuples(st.integers(1, 5), st.sampled_from([1.0, 3.0, 10.0])), max_size=2),
    credential=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1.0, 4.0])), max_size=2),
    arrivals=st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from("xyz"), st.floats(0, 4), st.integers(0, 2)),
        max_size=25,
    ),
)
def test_no_window_is_ever_broken(
    upstream: list[tuple[int, float]],
    credential: list[tuple[int, float]],
    arrivals: list[tuple[float, str, float, int]],
) -> None:
    """However requests arrive, last and go on, continuations included, no stretch of any window's
    length holds more sends than it allows, neither of the upstream nor of a credential."""
    one = Bench(
        ["a", "b", "c"],
        rate_limits=tuple(RateWindow(*w) for w in upstream),
        credential_rate_limits=tuple(RateWindow(*w) for w in credential),
    )
    sends: list[tuple[float, str]] = []
    living: list[tuple[Asking, list[float]]] = []

    def run() -> None:
        for asking, left in list(living):
            if asking.woken:
                asking.see()
                if asking.state == "held":
                    sends.append((asking.lease.stamp, asking.id))
            if asking.state == "refused" and asking.lease.held:
                asking.leave_after_next_send()
            while asking.state == "held" and left[0] <= one.clock.now:
                if left[1]:
                    left[1] -= 1
                    asking.next_send(one.clock.now + 20)
                    if asking.state == "held":
                        sends.append((asking.lease.stamp, asking.id))
                else:
                    asking.leave()
            if asking.state in ("over", "refused"):
                living.remove((asking, left))

    for gap, client, lasts, more in arrivals:
        until = one.clock.now + gap
        while one.clock.now < until:
            one.clock.to(min(until, one.clock.now + 0.5))
            run()
        asking = one.ask(client=client, wait=8)
        if asking.state == "held":
            sends.append((asking.lease.stamp, asking.id))
        living.append((asking, [one.clock.now + lasts, more]))
        run()
    for _ in range(1000):
        if not living:
            break
        one.clock.advance(0.5)
        run()
    sends.sort()
    assert not living
    assert one.pool.in_flight == 0
    one.clock.close()
    for limit, seconds in upstream:
        times = [at for at, _ in sends]
        for first, beyond in zip(times, times[limit:], strict=False):
            assert beyond - first >= seconds
    for limit, seconds in credential:
        for id in "abc":
            times = [at for at, by in sends if by == id]
            for first, beyond in zip(times, times[limit:], strict=False):
                assert beyond - first >= seconds


LOOPS = [asyncio.new_event_loop]
with contextlib.suppress(ImportError):  # absent where there is no uvloop
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_the_pace_is_kept_on_real_loops(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """With the loop's own clock and timers, which may round: twelve sends at three per 0.1 s."""

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        pool = Pool(loop)
        pool.configure("up", PoolRules(rate_limits=parse_rate_limits("3/0.1s")))
        pool.replace("up", [spec(id) for id in "abcd"])
        sends: list[float] = []

        async def request() -> None:
            ask = LeaseAsk(upstream="up", model="m", deadline=loop.time() + 60)
            async with pool.lease(ask) as lease:
                sends.append(lease.stamp)

        await asyncio.gather(*(request() for _ in range(12)))
        assert pool.in_flight == 0
        return sends

    with asyncio.Runner(loop_factory=new_loop) as runner:
        sends = runner.run(run())
    assert len(sends) == 12
    for first, beyond in zip(sends, sends[3:], strict=False):
        assert beyond - first >= 0.1


# Further sends


def test_a_further_send_takes_its_place_in_the_windows(bench: Benches) -> None:
    """A continuation counts, waits for the pace, and goes before requests that only begin."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("1/10s"))
    holder = one.held()
    other = one.ask(wait=100)
    holder.next_send(one.clock.now + 60)
    assert holder.state == "waiting"
    one.clock.advance(10 + GUARD)
    assert holder.see().state == "held"
    assert not other.woken
    one.clock.advance(10 + GUARD)
    assert other.see().state == "held"
    holder.leave()


def test_a_further_send_without_windows_goes_at_once(bench: Benches) -> None:
    """Nothing to wait for."""
    one = bench(["a"])
    assert one.held().next_send(one.clock.now).state == "held"


def test_a_further_send_past_its_deadline_is_a_429(bench: Benches) -> None:
    """At once when the window opens too late, else at the deadline; the lease stays held."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("1/10s"))
    holder = one.held()
    holder.next_send(one.clock.now + 5)
    assert isinstance(holder.error, RateLimited)
    assert holder.error.retry_after == 11
    assert one.pool.in_flight == 1
    holder.leave_after_next_send()
    one.clock.advance(10.05)
    first, second = one.held(), one.ask(wait=100)
    first.next_send(one.clock.now + 12)
    one.pool.configure("up", PoolRules(rate_limits=parse_rate_limits("1/1h")))
    one.clock.advance(12)
    assert isinstance(first.see().error, RateLimited)
    first.leave_after_next_send()
    second.cancel()


def test_a_further_send_to_a_shut_upstream_is_refused(bench: Benches) -> None:
    """Waiting or not, when the upstream goes out of service; a probe's own send goes on."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("2/10s"))
    holder, unlucky = one.held(), one.held()
    holder.next_send(one.clock.now + 60)
    unlucky.lease.fault(challenge(20))
    assert isinstance(holder.see().error, Unavailable)
    holder.state = "held"
    assert isinstance(holder.next_send(one.clock.now + 60).error, Unavailable)
    holder.leave_after_next_send()
    unlucky.leave()
    one.clock.advance(20.05)
    probe = one.held()
    probe.next_send(one.clock.now + 60)
    assert probe.state == "held"
    probe.next_send(one.clock.now + 60)
    one.clock.advance(10.05)
    assert probe.see().state == "held"


def test_a_send_that_left_late_counts_from_then(bench: Benches) -> None:
    """After a slow connect the next request waits a whole window from the real send."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("1/10s"))
    holder = one.held()
    one.clock.advance(4)
    holder.lease.sent()
    waiting = one.ask()
    one.clock.advance(10)
    assert not waiting.woken
    one.clock.advance(GUARD)
    assert waiting.woken


# Conversations


def test_a_conversation_stays_with_its_credential(bench: Benches) -> None:
    """While it is ready, however often others were used less recently."""
    one = bench(["a", "b", "c"])
    first = one.once(affinity=b"talk")
    assert [one.once(affinity=b"talk") for _ in range(5)] == [first] * 5
    assert {one.once(), one.once()} == {"b", "c"}


def test_without_affinity_credentials_rotate(bench: Benches) -> None:
    """A first turn takes the least recently used one."""
    one = bench(["a", "b"])
    assert [one.once(affinity=b"") for _ in range(4)] == ["a", "b", "a", "b"]


def test_a_busy_credential_makes_a_guest_of_the_request(bench: Benches) -> None:
    """Another one serves this request; the conversation stays bound to the first."""
    one = bench(["a", "b"])
    holder = one.held(affinity=b"talk")
    assert one.once(affinity=b"talk") == "b"
    holder.leave()
    assert one.once(affinity=b"talk") == "a"


def test_a_cooling_credential_keeps_its_conversations(bench: Benches) -> None:
    """A limit of some seconds does not empty the prompt cache's worth."""
    one = bench(["a", "b"])
    one.once(affinity=b"talk")
    one.fault(limited(5), affinity=b"talk")
    assert one.once(affinity=b"talk") == "b"
    one.clock.advance(5)
    assert one.once(affinity=b"talk") == "a"


@pytest.mark.parametrize("end", ["invalid", "disabled", "quota", "removed"])
def test_a_conversation_moves_when_its_credential_is_gone(bench: Benches, end: str) -> None:
    """Invalid, disabled, out of quota or removed: bound anew, and it stays there."""
    one = bench(["a", "b"])
    assert one.once(affinity=b"talk") == "a"
    if end == "invalid":
        one.fault(refused_token(), affinity=b"talk")
    elif end == "disabled":
        one.pool.disable("up", "a")
    elif end == "quota":
        one.fault(no_quota(seconds=10), affinity=b"talk")
    else:
        one.pool.replace("up", [spec("b")])
    assert one.once(affinity=b"talk") == "b"
    if end == "quota":
        one.clock.advance(10)
        assert one.once() == "a"
    elif end == "disabled":
        one.pool.enable("up", "a")
    elif end == "removed":
        one.pool.replace("up", [spec("a"), spec("b")])
    else:
        one.pool.reset("up", "a")
    assert [one.once(affinity=b"talk") for _ in range(3)] == ["b"] * 3


def test_conversations_are_scoped_to_their_client(bench: Benches) -> None:
    """The same session name of another client is another conversation."""
    one = bench(["a", "b"])
    assert one.once(client="x", affinity=b"talk") == "a"
    assert one.once(client="y", affinity=b"talk") == "b"
    assert one.once(client="x", affinity=b"talk") == "a"


def test_an_excluded_credential_is_not_taken_for_its_conversation(bench: Benches) -> None:
    """A retry goes elsewhere even if the conversation lives there."""
    one = bench(["a", "b"])
    one.once(affinity=b"talk")
    assert one.once(affinity=b"talk", exclude={"a"}) == "b"
    assert one.once(affinity=b"talk") == "a"


def test_a_conversation_can_be_let_go(bench: Benches) -> None:
    """After a 404 of a continued conversation the next request starts anywhere."""
    one = bench(["a", "b"])
    holder = one.held(affinity=b"talk")
    holder.lease.unbind()
    holder.leave()
    assert one.once(affinity=b"talk") == "b"


def test_a_waiting_request_gets_its_own_credential_if_it_can(bench: Benches) -> None:
    """Two come back while the pace holds everyone; the conversation finds its own."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("2/10s"))
    assert one.once() == "a"
    assert one.once(affinity=b"talk") == "b"
    waiting = one.ask(affinity=b"talk")
    one.clock.advance(10.05)
    assert waiting.see().id == "b"


# Failing at once


def test_it_fails_at_once_when_all_cool_past_the_deadline(bench: Benches) -> None:
    """No wait for nothing: 429 with the soonest end."""
    one = bench(["a", "b"])
    one.fault(limited(100))
    one.clock.advance(1)
    one.fault(limited(40))
    error = one.refusal(wait=30)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 40
    one.clock.advance(error.retry_after)
    assert one.once() == "b"


def test_it_waits_when_one_comes_back_in_time(bench: Benches) -> None:
    """The first credential to come back serves the request."""
    one = bench(["a", "b"])
    one.fault(limited(100))
    one.fault(limited(20))
    waiting = one.ask(wait=30)
    one.clock.advance(20)
    assert waiting.see().id == "b"


def test_those_who_wait_hear_at_once_that_it_became_hopeless(bench: Benches) -> None:
    """The last busy credential cools past their deadlines; who can wait longer waits on."""
    one = bench(["a", "b"])
    one.fault(limited(300))
    holder = one.held()
    short, long = one.ask(wait=30), one.ask(wait=400)
    holder.lease.fault(limited(200))
    holder.leave()
    assert isinstance(short.see().error, RateLimited)
    assert short.error.retry_after == 200
    assert not long.woken
    one.clock.advance(200)
    assert long.see().id == "b"


def test_a_busy_credential_is_worth_waiting_for(bench: Benches) -> None:
    """One may return any moment, so cooling ones do not end the wait."""
    one = bench(["a", "b"])
    one.fault(limited(300))
    holder, waiting = one.held(), one.ask(wait=30)
    assert waiting.state == "waiting"
    holder.leave()
    assert waiting.see().id == "b"


def test_a_retry_knows_that_only_the_excluded_one_is_busy(bench: Benches) -> None:
    """With all others cooling past the deadline, the one already tried is no hope."""
    one = bench(["a", "b"])
    holder = one.held()
    one.fault(limited(300))
    assert one.refusal(wait=30, exclude={"a"}).retry_after == 300
    holder.leave()


# Credentials asked for by name


def test_a_preferred_credential_comes_first_where_it_is_free(bench: Benches) -> None:
    """Before the one in turn and the one of the affinity; busy, cooling or gone it is passed by."""
    one = bench(["a", "b", "c"])
    assert one.once(prefer="b") == "b"
    assert one.once(prefer="b", affinity=b"chat") == "b"
    assert one.once(affinity=b"other") == "a"
    assert one.once(prefer="c", affinity=b"other") == "c"
    held = one.held(prefer="b")
    assert one.once(prefer="b") == "a"
    held.leave()
    assert one.once(prefer="b", exclude={"b"}) == "c"
    one.fault(no_quota(), prefer="b")
    assert one.once(prefer="b") == "a"
    assert one.once(prefer="gone") == "c"


def test_who_waits_gets_what_it_prefers(bench: Benches) -> None:
    """A waiting request is served with its own credential where both come free together."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("2/10s"))
    assert [one.once(), one.once()] == ["a", "b"]
    waiting = one.ask(prefer="b")
    one.clock.advance(10 + GUARD)
    assert waiting.see().id == "b"


def errand(credential: str, gave_way: list[str] | None = None) -> Errand:
    return Errand(credential, lambda: (gave_way if gave_way is not None else []).append(credential))


def test_an_errand_takes_its_one_credential_or_nothing(bench: Benches) -> None:
    """It never waits: a busy, cooling or unknown credential is a refusal at once."""
    one = bench(["a", "b"])
    assert one.once(errand=errand("b")) == "b"
    held = one.held(prefer="b")
    refused = one.refusal(errand=errand("b"))
    assert isinstance(refused, RateLimited)
    assert one.pool.waiting == 0
    held.leave()
    assert isinstance(one.refusal(errand=errand("gone")), NoCredentials)
    one.fault(no_quota(), prefer="a")
    assert isinstance(one.refusal(errand=errand("a")), RateLimited)
    one.fault(refused_token(), prefer="b")
    assert isinstance(one.refusal(errand=errand("b")), NoCredentials)


def test_an_errand_gives_way_to_who_has_to_wait(bench: Benches) -> None:
    """Not to who finds another credential; and what was given back needs not be asked for."""
    one = bench(["a", "b"])
    asked: list[str] = []
    running = one.held(errand=errand("a", asked))
    other = one.held()
    assert other.id == "b" and not asked
    waiting = one.ask()
    assert asked == ["a"]
    running.leave()
    assert waiting.see().id == "a"
    one.ask()
    assert asked == ["a"]


def test_an_errand_leaves_a_place_in_every_window(bench: Benches) -> None:
    """The last send of a window is a client's; so is that of a credential's own window."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("2/10s"))
    assert one.once(errand=errand("a")) == "a"
    assert isinstance(one.refusal(errand=errand("a")), RateLimited)
    assert one.once() == "b"
    own = bench(["a", "b"], credential_rate_limits=parse_rate_limits("1/10s"))
    assert isinstance(own.refusal(errand=errand("a")), RateLimited)


def test_an_errand_comes_after_all_who_wait(bench: Benches) -> None:
    """While anybody waits, for whatever model, nothing is lent to it."""
    one = bench(["a", "b"])
    one.fault(limited(60, only_model=True), model="m", prefer="a")
    one.fault(limited(20, only_model=True), model="m", prefer="b")
    waiting = one.ask(model="m")
    assert waiting.state == "waiting"
    assert isinstance(one.refusal(model="", errand=errand("a")), RateLimited)
