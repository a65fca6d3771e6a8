"""Which credential is chosen, how many requests it takes, and how the set is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatgpt_to_api.errors import NoCredentials, RateLimited, Unavailable
from chatgpt_to_api.pool.pool import PoolRules
from support.pool_driver import WALL, Bench, limited, no_quota, refused_token, spec

Benches = Callable[..., Bench]


def test_the_least_recently_used_credential_is_next(bench: Benches) -> None:
    """Round robin while all are free, in the order they were given."""
    one = bench(["a", "b", "c"])
    assert [one.once() for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_last_use_ends_when_the_credential_comes_back(bench: Benches) -> None:
    """A credential that has just finished a long request is not the least recently used."""
    one = bench(["a", "b"])
    long = one.held()
    assert one.once() == "b"
    long.leave()
    assert [one.once(), one.once()] == ["b", "a"]


def test_a_credential_serves_one_request_at_a_time(bench: Benches) -> None:
    """Ten credentials serve ten requests at once, the eleventh waits for the first that is free."""
    one = bench([str(n) for n in range(10)])
    held = [one.held() for _ in range(10)]
    assert sorted(asking.id for asking in held) == [str(n) for n in range(10)]
    eleventh = one.ask()
    assert eleventh.state == "waiting"
    held[6].leave()
    assert eleventh.see().id == "6"


def test_an_api_key_takes_as_many_as_configured(bench: Benches) -> None:
    """Concurrency is counted per credential, and spread over them."""
    one = bench(["a", "b"], max_concurrency=3)
    held = [one.held() for _ in range(6)]
    assert [asking.id for asking in held] == ["a", "b", "a", "b", "a", "b"]
    seventh = one.ask()
    assert seventh.state == "waiting"
    held[2].leave()
    assert seventh.see().id == "a"
    assert one.pool.in_flight == 6


def test_an_api_key_can_be_unlimited(bench: Benches) -> None:
    """None is no limit."""
    one = bench(["a"], max_concurrency=None)
    held = [one.held() for _ in range(500)]
    assert one.pool.in_flight == 500
    for asking in held:
        asking.leave()
    assert one.pool.in_flight == 0


def test_an_upstream_without_credentials_lends_an_anonymous_one(bench: Benches) -> None:
    """A keyless server or the embedded model needs no configuration and has no limit."""
    one = bench(needs_credentials=False, max_concurrency=None)
    held = [one.held() for _ in range(100)]
    assert {asking.id for asking in held} == {""}
    assert held[0].lease.credential.access.token is None


def test_given_credentials_take_the_anonymous_ones_place(bench: Benches) -> None:
    """A key that is configured is used, and without it requests are anonymous again."""
    one = bench(needs_credentials=False, max_concurrency=None)
    one.pool.replace("up", [spec("key")])
    assert one.once() == "key"
    one.pool.replace("up", [])
    assert one.once() == ""


def test_a_refused_anonymous_request_cools_down_instead_of_ending_it_all(bench: Benches) -> None:
    """There is nothing to replace, so a 401 of a keyless server is tried again later."""
    one = bench(needs_credentials=False, max_concurrency=None)
    one.fault(refused_token())
    assert one.refusal(wait=30).retry_after == 60
    one.clock.advance(60)
    assert one.once() == ""


def test_excluded_credentials_are_passed_over(bench: Benches) -> None:
    """A retry goes elsewhere, and the line keeps its order for the others."""
    one = bench(["a", "b", "c"])
    assert one.once(exclude={"a", "b"}) == "c"
    assert [one.once(), one.once(), one.once()] == ["a", "b", "c"]


def test_no_credential_left_to_try_is_said_at_once(bench: Benches) -> None:
    """Waiting for a credential this request has used already would be for nothing."""
    one = bench(["a", "b"])
    busy = one.held()
    error = one.refusal(exclude={"a", "b"})
    assert isinstance(error, RateLimited)
    assert "was tried" in error.message
    busy.leave()


def test_replacing_keeps_state_and_leases_of_those_that_stay(bench: Benches) -> None:
    """The same id and token in both sets is the same credential, busy and cooling as before."""
    one = bench(["a", "b", "c"])
    busy = one.held()
    one.fault(limited(50, only_model=False))
    one.pool.replace("up", [spec("c"), spec("b"), spec("a")])
    assert one.states() == {"a": "busy", "b": "cooling", "c": "ready"}
    busy.leave()
    assert one.states()["a"] == "ready"


def test_requests_in_flight_finish_on_the_old_credential(bench: Benches) -> None:
    """A removed credential stays with its request and then is gone for good."""
    one = bench(["old"])
    running, waiting = one.held(), one.ask()
    one.pool.replace("up", [spec("new")])
    assert running.id == "old"
    assert waiting.see().id == "new"
    running.lease.fault(refused_token())
    running.leave()
    waiting.leave()
    assert one.states() == {"new": "ready"}
    assert one.pool.in_flight == 0


def test_another_token_under_the_same_id_starts_anew(bench: Benches) -> None:
    """A fresh token is not blamed for the old one; the running request keeps the old one."""
    one = bench(["a", "b"])
    running = one.held()
    running.lease.fault(refused_token())
    one.pool.replace("up", [spec("a", token="another-token-for-a-0123456789"), spec("b")])
    assert one.states() == {"a": "ready", "b": "ready"}
    token = running.lease.credential.access.token
    assert token is not None and "eyJ-secret" in token.reveal()
    running.leave()
    assert one.states() == {"a": "ready", "b": "ready"}


def test_a_token_removed_and_brought_back_is_still_busy(bench: Benches) -> None:
    """Taking a token out and in again does not let it answer two questions at once."""
    one = bench(["a"])
    running = one.held()
    one.pool.replace("up", [spec("b")])
    one.pool.replace("up", [spec("a")])
    second = one.ask()
    assert second.state == "waiting"
    running.leave()
    assert second.see().id == "a"


def test_a_changed_label_or_cookie_is_taken_over(bench: Benches) -> None:
    """What is not the token changes in place."""
    one = bench(["a"])
    running = one.held()
    fresh = spec("a", expires=WALL + 500)
    one.pool.replace("up", [fresh])
    assert one.pool.views("up")[0].expires == WALL + 500
    assert one.states() == {"a": "busy"}
    running.leave()


def test_new_tokens_wake_those_who_wait(bench: Benches) -> None:
    """A PATCH that adds tokens serves waiting requests at once, in order."""
    one = bench(["a"])
    holder, first, second = one.held(), one.ask(), one.ask()
    one.pool.replace("up", [spec("a"), spec("b"), spec("c")])
    assert [first.see().id, second.see().id] == ["b", "c"]
    holder.leave()


def test_an_empty_set_refuses_those_who_wait(bench: Benches) -> None:
    """Nothing can come any more, so nobody waits for their deadline to hear it."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask()
    one.pool.replace("up", [])
    assert isinstance(waiting.see().error, NoCredentials)
    holder.leave()
    assert isinstance(one.refusal(), NoCredentials)


def test_a_bad_set_changes_nothing(bench: Benches) -> None:
    """Two credentials of one id, or one without: refused whole."""
    one = bench(["a"])
    for bad in ([spec("x"), spec("y"), spec("x")], [spec("x"), spec("")]):
        with pytest.raises(ValueError):
            one.pool.replace("up", bad)
    assert one.states() == {"a": "ready"}
    assert one.once() == "a"


def test_changed_rules_hold_at_once(bench: Benches) -> None:
    """More concurrency serves who waits; less lets running requests finish first."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask()
    one.pool.configure("up", PoolRules(max_concurrency=2))
    assert waiting.see().id == "a"
    one.pool.configure("up", PoolRules(max_concurrency=1))
    holder.leave()
    third = one.ask()
    assert third.state == "waiting"
    waiting.leave()
    assert third.see().id == "a"


def test_a_forgotten_upstream_refuses_who_waits_and_lets_leases_finish(bench: Benches) -> None:
    """Taking an upstream out of the configuration drops no running request."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask()
    one.pool.forget("up")
    assert isinstance(waiting.see().error, Unavailable)
    assert one.pool.in_flight == 1
    holder.leave()
    assert one.pool.in_flight == 0
    assert isinstance(one.refusal(), Unavailable)
    assert one.clock.armed() == []


def test_an_expired_token_is_never_lent(bench: Benches) -> None:
    """It is shown as invalid with the reason, and requests go to the others."""
    one = bench()
    one.pool.replace("up", [spec("old", expires=WALL - 1), spec("soon", expires=WALL + 20)])
    assert one.states() == {"old": "invalid", "soon": "ready"}
    assert one.pool.views("up")[0].reason == "the token expired on 2023-11-14 22:13 UTC"
    assert one.once() == "soon"
    one.clock.advance(20)
    assert isinstance(one.refusal(), NoCredentials)
    assert one.states() == {"old": "invalid", "soon": "invalid"}


def test_a_later_end_revives_a_token(bench: Benches) -> None:
    """An expiry that was corrected counts, and one that has passed too does not."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL - 1), spec("b", expires=WALL - 1)])
    one.pool.replace("up", [spec("a", expires=WALL + 100), spec("b", expires=WALL - 2)])
    assert one.states() == {"a": "ready", "b": "invalid"}
    assert one.once() == "a"


def test_a_token_that_expires_while_somebody_waits_for_it_ends_the_wait(bench: Benches) -> None:
    """The wait ends at the expiry and not at the deadline: nothing can come."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL + 10)])
    holder, waiting = one.held(), one.ask(wait=300)
    one.clock.advance(10)
    assert isinstance(waiting.see().error, NoCredentials)
    assert "expired" in waiting.error.message
    holder.leave()


def test_a_clock_set_forward_expires_tokens_all_the_same(bench: Benches) -> None:
    """After a laptop slept, loop time knows nothing of it but Unix time does."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL + 1000), spec("b")])
    assert one.once(affinity=b"talk") == "a"
    one.clock.skew = 5000
    assert one.once(affinity=b"talk") == "b"
    assert [one.once(), one.once()] == ["b", "b"]


def test_a_disabled_credential_is_never_lent_until_enabled(bench: Benches) -> None:
    """A person's decision holds until a person takes it back; requests under way finish."""
    one = bench(["a", "b"])
    running = one.held()
    one.pool.disable("up", "a")
    assert [one.once(), one.once()] == ["b", "b"]
    running.leave()
    assert one.states() == {"a": "disabled", "b": "ready"}
    one.pool.reset("up")
    assert one.states()["a"] == "disabled"
    one.pool.enable("up", "a")
    assert {one.once(), one.once()} == {"a", "b"}


def test_disabling_the_last_one_refuses_and_enabling_serves(bench: Benches) -> None:
    """Who waits hears of both at once."""
    one = bench(["a", "b"])
    holder, other = one.held(), one.held()
    one.pool.disable("up", "b")
    waiting = one.ask()
    one.pool.disable("up", "a")
    assert isinstance(waiting.see().error, NoCredentials)
    other.leave()
    holder.leave()
    assert isinstance(one.refusal(), NoCredentials)
    one.pool.enable("up", "b")
    assert one.once() == "b"


def test_an_enabled_credential_is_in_the_state_it_got_meanwhile(bench: Benches) -> None:
    """Enabling opens neither a cool-down nor a refused token."""
    one = bench(["a", "b"])
    for id, fault in (("a", no_quota()), ("b", refused_token())):
        assert one.fault(fault) == id
        one.pool.disable("up", id)
        one.pool.enable("up", id)
    assert one.states() == {"a": "cooling", "b": "invalid"}
