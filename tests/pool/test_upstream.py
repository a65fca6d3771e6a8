"""What faults do to credentials and the upstream: the table of cool-downs, row by row."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatgpt_to_api.errors import NoCredentials, NotFound, RateLimited, Unavailable
from chatgpt_to_api.pool.pool import PoolRules, parse_rate_limits
from support.pool_driver import (
    WALL,
    Bench,
    broken,
    challenge,
    limited,
    no_quota,
    refused_token,
    rejected,
    spec,
)

Benches = Callable[..., Bench]


# 401: invalid until replaced


def test_a_refused_token_is_invalid_until_replaced(bench: Benches) -> None:
    """No time brings it back; the others serve, and the reason is kept."""
    one = bench(["a", "b"])
    assert one.fault(refused_token("token_expired")) == "a"
    one.clock.advance(100_000)
    assert [one.once(), one.once()] == ["b", "b"]
    view = one.pool.views("up")[0]
    assert (view.state, view.reason, view.until) == ("invalid", "token_expired", None)


def test_the_same_token_sent_again_stays_invalid(bench: Benches) -> None:
    """Replacing a set with a set that holds the refused token replaces nothing."""
    one = bench(["a", "b"])
    one.fault(refused_token())
    one.pool.replace("up", [spec("a"), spec("b")])
    assert one.states() == {"a": "invalid", "b": "ready"}


def test_all_invalid_refuses_at_once_and_says_what_to_do(bench: Benches) -> None:
    """Nothing comes back by itself, so nobody waits."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask()
    holder.lease.fault(refused_token("token_expired"))
    assert isinstance(waiting.see().error, NoCredentials)
    assert "PATCH /admin/tokens" in waiting.error.message
    assert "token_expired" in waiting.error.message
    holder.leave()


def test_requests_under_way_on_a_refused_token_finish(bench: Benches) -> None:
    """A 401 on one request of an API key ends no other; and no late success revives the key."""
    one = bench(["a"], max_concurrency=None)
    other, unlucky = one.held(), one.held()
    unlucky.lease.fault(refused_token())
    unlucky.leave()
    other.lease.ok()
    other.leave()
    assert one.states() == {"a": "invalid"}
    assert one.pool.views("up")[0].served == 1


# 402, 403 with JSON: the whole credential cools down


def test_a_credential_without_quota_cools_down_for_every_model(bench: Benches) -> None:
    """Ten minutes, whatever the model; then one probe."""
    one = bench(["a", "b"])
    assert one.fault(no_quota("insufficient_quota")) == "a"
    assert [one.once("m"), one.once("other")] == ["b", "b"]
    view = one.pool.views("up")[0]
    assert (view.state, view.reason) == ("cooling", "insufficient_quota")
    assert view.until == WALL + 600
    one.clock.advance(599.9)
    assert one.once() == "b"
    one.clock.advance(0.1)
    assert one.once() == "a"


# 429 with a time: this model only, ten minutes at most, then one probe


def test_a_limit_closes_one_model_only(bench: Benches) -> None:
    """Other models go on with the same credential."""
    one = bench(["a"])
    one.fault(limited(30), "gpt-4")
    assert one.once("gpt-3.5") == "a"
    assert one.states() == {"a": "ready"}
    waiting = one.ask("gpt-4", wait=60)
    assert waiting.state == "waiting"
    one.clock.advance(29.9)
    assert not waiting.woken
    one.clock.advance(0.1)
    assert waiting.see().id == "a"


def test_a_limit_is_believed_for_ten_minutes_at_most(bench: Benches) -> None:
    """An upstream that says five days is asked again after ten minutes."""
    one = bench(["a"])
    one.fault(limited(5 * 86400.0), "gpt-4")
    (cooling,) = one.pool.views("up")[0].models
    assert (cooling.model, cooling.until) == ("gpt-4", WALL + 600)
    assert one.refusal("gpt-4").retry_after == 600
    one.clock.advance(600)
    assert one.once("gpt-4") == "a"


def test_after_the_end_one_probe_goes_first(bench: Benches) -> None:
    """Everyone waits for one request's outcome; its success opens the model to all."""
    one = bench(["a"], max_concurrency=None)
    one.fault(limited(10), "gpt-4")
    waiting = [one.ask("gpt-4") for _ in range(3)]
    one.clock.advance(10)
    assert [asking.woken for asking in waiting] == [True, False, False]
    probe = waiting[0].see()
    one.clock.advance(5)
    assert not waiting[1].woken
    other_model = one.held("gpt-3.5")
    probe.lease.ok()
    assert [asking.see().state for asking in waiting] == ["held"] * 3
    assert one.pool.views("up")[0].models == ()
    other_model.leave()


def test_a_failed_probe_cools_again(bench: Benches) -> None:
    """The others go on waiting, for the new end."""
    one = bench(["a"], max_concurrency=None)
    one.fault(limited(10), "gpt-4")
    first, second = one.ask("gpt-4", wait=100), one.ask("gpt-4", wait=100)
    one.clock.advance(10)
    probe = first.see()
    probe.lease.fault(limited(20))
    probe.leave()
    assert not second.woken
    one.clock.advance(19.9)
    assert not second.woken
    one.clock.advance(0.1)
    assert second.see().state == "held"


def test_a_probe_that_proves_nothing_passes_the_turn_on(bench: Benches) -> None:
    """A probe whose client hangs up, or that is rejected for its own fault, decides nothing."""
    one = bench(["a"], max_concurrency=None)
    one.fault(no_quota(seconds=10))
    waiting = [one.ask() for _ in range(3)]
    one.clock.advance(10)
    assert [asking.woken for asking in waiting] == [True, False, False]
    waiting[0].see().leave()
    assert [asking.woken for asking in waiting[1:]] == [True, False]
    waiting[1].see().lease.fault(rejected())
    waiting[1].leave()
    assert waiting[2].see().state == "held"


def test_a_success_from_before_the_limit_opens_nothing(bench: Benches) -> None:
    """A long answer that began before the 429 says nothing about the limit."""
    one = bench(["a"], max_concurrency=None)
    early = one.held("gpt-4")
    one.clock.advance(1)
    one.fault(limited(30), "gpt-4")
    early.lease.ok()
    early.leave()
    assert isinstance(one.refusal("gpt-4", wait=5), RateLimited)


@pytest.mark.parametrize("only_model", [True, False])
def test_a_probe_that_outlives_a_new_cool_down_opens_nothing(
    bench: Benches, only_model: bool
) -> None:
    """A fault of another request while the probe runs outweighs the probe's late success."""
    one = bench(["a"], max_concurrency=None)
    early = one.held("gpt-4")
    one.fault(limited(10, only_model=only_model), "gpt-4")
    one.clock.advance(10)
    probe = one.held("gpt-4")
    early.lease.fault(limited(60, only_model=only_model))
    probe.lease.ok()
    early.leave()
    probe.leave()
    assert one.refusal("gpt-4", wait=5).retry_after == 60


def test_the_end_only_moves_later(bench: Benches) -> None:
    """A second, shorter limit does not shorten the first."""
    one = bench(["a"], max_concurrency=None)
    early = one.held("gpt-4")
    one.fault(limited(60), "gpt-4")
    early.lease.fault(limited(5))
    early.leave()
    assert one.refusal("gpt-4", wait=10).retry_after == 60


def test_two_models_cool_apart_on_several_credentials(bench: Benches) -> None:
    """Each request finds the credential that is open for its model, least recently used first."""
    one = bench(["a", "b", "c"])
    assert one.fault(limited(100), "m1") == "a"
    assert one.fault(limited(100), "m2") == "b"
    assert [one.once("m1") for _ in range(3)] == ["c", "b", "c"]
    assert [one.once("m2") for _ in range(3)] == ["a", "c", "a"]
    one.clock.advance(100)
    assert one.once("m1") in ("a", "b")
    assert {one.once("m1") for _ in range(3)} == {"a", "b", "c"}


def test_a_limit_for_all_models_on_top_of_one(bench: Benches) -> None:
    """A whole cool-down covers the model's; the model comes back no sooner."""
    one = bench(["a"])
    one.fault(limited(10), "gpt-4")
    one.fault(no_quota(seconds=60), "gpt-3.5")
    assert one.refusal("gpt-4", wait=5).retry_after == 60
    one.clock.advance(60)
    assert one.once("gpt-4") == "a"


def test_a_limit_for_one_model_on_top_of_all(bench: Benches) -> None:
    """The true time for that model is the end of the longer one."""
    one = bench(["a"], max_concurrency=None)
    early = one.held("gpt-4")
    one.fault(no_quota(seconds=60), "gpt-3.5")
    early.lease.fault(limited(10))
    early.leave()
    assert one.refusal("gpt-4", wait=5).retry_after == 60
    one.clock.advance(60)
    assert one.once("gpt-4") == "a"


@pytest.mark.parametrize("end", ["invalid", "disabled", "removed"])
def test_a_probe_of_a_credential_that_is_gone_is_no_hope(bench: Benches, end: str) -> None:
    """Others are told at once when the rest cools too long; and the model is not shut for good."""
    one = bench(["a", "b"])
    assert one.fault(limited(10), "gpt-4") == "a"
    assert one.fault(limited(500), "gpt-4") == "b"
    one.clock.advance(10)
    probe, waiting = one.held("gpt-4"), one.ask("gpt-4")
    assert (probe.id, waiting.state) == ("a", "waiting")
    if end == "invalid":
        probe.lease.fault(refused_token())
    elif end == "disabled":
        one.pool.disable("up", "a")
    else:
        one.pool.replace("up", [spec("b")])
    assert isinstance(waiting.see().error, RateLimited)
    assert waiting.error.retry_after == 490
    probe.leave()
    one.pool.replace("up", [spec("a"), spec("b")])
    one.pool.enable("up", "a")
    one.pool.reset("up")
    assert one.once("gpt-4") in ("a", "b")


def test_limits_that_ended_leave_no_memory_of_their_models(bench: Benches) -> None:
    """The names clients make up do not stay."""
    one = bench([str(n) for n in range(20)])
    for n in range(100):
        one.fault(limited(10), f"model-{n}")
    one.clock.advance(10)
    one.once()
    assert len(one.pool._upstreams["up"].shelf._limits) == 0


def test_a_credential_remembers_a_bounded_number_of_models(bench: Benches) -> None:
    """Made-up model names cannot fill the memory; the limits that end last are kept."""
    one = bench(["a"])
    for n in range(40):
        one.fault(limited(100 + n), f"model-{n}")
    models = [cooling.model for cooling in one.pool.views("up")[0].models]
    assert models == [f"model-{n}" for n in range(24, 40)]
    assert one.once("model-0") == "a"
    assert isinstance(one.refusal("model-39", wait=1), RateLimited)


# 429 without a time: doubling, for that model


def test_a_limit_without_a_time_backs_off_doubling(bench: Benches) -> None:
    """1, 2, 4 … 60 s; each probe that fails makes the next wait longer; a success resets it."""
    one = bench(["a"])
    waits = []
    for _ in range(8):
        one.fault(limited(None), "gpt-4")
        before = one.clock.now
        waiting = one.ask("gpt-4", wait=100)
        while not waiting.woken:
            one.clock.advance(0.5)
        waits.append(one.clock.now - before)
        waiting.cancel_late()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert one.once("gpt-4") == "a"
    one.fault(limited(None), "gpt-4")
    assert one.refusal("gpt-4", wait=0.5).retry_after == 1


def test_backoff_has_jitter(bench: Benches) -> None:
    """Two credentials limited at the same moment come back at different ones."""
    one = bench(["a"], jitter=1.0)
    one.fault(limited(None))
    waiting = one.ask()
    one.clock.advance(1.2)
    assert not waiting.woken
    one.clock.advance(0.1)
    assert waiting.woken


# 400 and the like


def test_a_rejected_request_blames_nobody(bench: Benches) -> None:
    """400, 404, 409, 413 and 422 say nothing about credential or upstream."""
    one = bench(["a"])
    for _ in range(20):
        one.fault(rejected())
    assert one.states() == {"a": "ready"}
    assert one.pool.view("up").open
    assert one.pool.views("up")[0].last_error == "400 bad request"


# A challenge page


def test_a_challenge_page_cools_the_upstream_and_not_the_credential(bench: Benches) -> None:
    """Nobody may go, and the error says why and until when; afterwards one probe."""
    one = bench(["a", "b"])
    one.fault(challenge(60))
    error = one.refusal()
    assert isinstance(error, Unavailable)
    assert (error.retry_after, "challenge page" in error.message) == (60, True)
    assert one.states() == {"a": "ready", "b": "ready"}
    one.clock.advance(60)
    probe = one.held()
    assert "tried again right now" in one.refusal().message
    probe.lease.ok()
    assert one.held().state == "held"


def test_those_who_wait_are_free_to_go_elsewhere_at_once(bench: Benches) -> None:
    """When the upstream goes out of service nobody sits out the deadline in its queue."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask()
    holder.lease.fault(challenge(60))
    assert isinstance(waiting.see().error, Unavailable)
    holder.leave()
    assert one.pool.in_flight == 0


def test_a_challenge_without_a_time_cools_for_a_minute(bench: Benches) -> None:
    """No page says when it will go away."""
    one = bench(["a"])
    one.fault(challenge(None))
    assert one.refusal().retry_after == 60


# Connect errors, 5xx, timeouts: the breaker


def test_five_faults_in_a_row_open_the_circuit_for_ten_seconds(bench: Benches) -> None:
    """Then one probe goes; its success closes the circuit."""
    one = bench(["a", "b"])
    for _ in range(5):
        one.fault(broken())
    error = one.refusal()
    assert isinstance(error, Unavailable)
    assert error.retry_after == 10
    assert "502 Bad Gateway" in error.message
    one.clock.advance(10)
    probe = one.held()
    assert isinstance(one.refusal(), Unavailable)
    probe.lease.ok()
    assert one.held().state == "held"


def test_a_failed_probe_of_the_upstream_keeps_it_shut(bench: Benches) -> None:
    """Ten more seconds, and the one after that is the next probe."""
    one = bench(["a"])
    for _ in range(5):
        one.fault(broken())
    one.clock.advance(10)
    one.fault(broken("timeout"))
    assert one.refusal().retry_after == 10
    one.clock.advance(10)
    assert one.once() == "a"
    assert one.pool.view("up").open


def test_a_probe_given_up_lets_the_next_one_try(bench: Benches) -> None:
    """A probe whose client hangs up neither opens nor shuts."""
    one = bench(["a"])
    for _ in range(5):
        one.fault(broken())
    one.clock.advance(10)
    one.held().leave()
    assert one.once() == "a"


def test_a_success_in_between_keeps_the_circuit_closed(bench: Benches) -> None:
    """Only faults in a row count."""
    one = bench(["a"])
    for _ in range(4):
        for _ in range(4):
            one.fault(broken())
        one.once()
    assert one.pool.view("up").open


def test_requests_queued_behind_the_probe_are_served_after_it(bench: Benches) -> None:
    """Those who waited for the pace when the probe left go as soon as it has succeeded."""
    one = bench(["a", "b"], failure_threshold=1, rate_limits=parse_rate_limits("2/5s"))
    one.once()
    one.fault(broken())
    one.clock.advance(10.5)
    one.pool.configure("up", PoolRules(failure_threshold=1, rate_limits=parse_rate_limits("1/12s")))
    first, second = one.ask(), one.ask()
    one.pool.configure("up", PoolRules(failure_threshold=1))
    probe = first.see()
    assert not second.woken
    probe.lease.ok()
    assert second.see().state == "held"


# A person's hand


def test_a_person_can_reset_one_credential(bench: Benches) -> None:
    """Cooling or invalid, it is ready again at once, and who waits gets it."""
    one = bench(["a", "b"])
    one.fault(no_quota())
    one.fault(refused_token())
    one.pool.reset("up", "b")
    assert one.states() == {"a": "cooling", "b": "ready"}
    assert one.once() == "b"
    holder, waiting = one.held(), one.ask()
    one.pool.reset("up", "a")
    assert waiting.see().id == "a"
    holder.leave()


def test_a_person_can_reset_everything(bench: Benches) -> None:
    """All credentials, single models, the circuit and a challenge."""
    one = bench(["a", "b", "c"])
    one.fault(no_quota())
    one.fault(refused_token())
    one.fault(limited(100), "gpt-4")
    one.fault(challenge(600), "m")
    one.pool.reset("up")
    assert one.states() == {"a": "ready", "b": "ready", "c": "ready"}
    assert {one.once("gpt-4") for _ in range(3)} == {"a", "b", "c"}


def test_a_reset_does_not_revive_an_expired_token(bench: Benches) -> None:
    """What the calendar says cannot be reset."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL - 1)])
    one.pool.reset("up", "a")
    assert one.states() == {"a": "invalid"}


@pytest.mark.parametrize("hand", ["reset", "disable", "enable"])
def test_an_unknown_credential_is_not_found(bench: Benches, hand: str) -> None:
    """The admin API can pass the error on as it is."""
    one = bench(["a"])
    with pytest.raises(NotFound, match="'z'"):
        getattr(one.pool, hand)("up", "z")


def test_three_states_are_never_mixed_up(bench: Benches) -> None:
    """Rate-limited is cooling, refused is invalid, only a person disables."""
    one = bench(["a", "b", "c"])
    one.fault(limited(100, only_model=False))
    one.fault(refused_token())
    one.pool.disable("up", "c")
    assert one.states() == {"a": "cooling", "b": "invalid", "c": "disabled"}
