"""What administrators see, and what outlives a restart."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chatgpt_to_api.pool.contract import Kept
from chatgpt_to_api.pool.pool import Pool
from support.pool_driver import (
    WALL,
    Bench,
    broken,
    challenge,
    limited,
    no_quota,
    refused_token,
    spec,
)

Benches = Callable[..., Bench]


def test_a_view_shows_everything_but_the_secret(bench: Benches) -> None:
    """State, reason, end, numbers, expiry and models; the token masked."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL + 3600)])
    one.clock.advance(5)
    one.once()
    one.fault(limited(30, "model_cap_exceeded"), "gpt-4")
    holder = one.held("gpt-3.5")
    (view,) = one.pool.views("up")
    assert msgspec.to_builtins(view) == {
        "id": "a",
        "label": "label-a",
        "masked": "eyJ-…6789",
        "state": "busy",
        "reason": "",
        "until": None,
        "probe": False,
        "in_flight": 1,
        "served": 1,
        "last_error": "model_cap_exceeded",
        "last_used": WALL + 5,
        "expires": WALL + 3600,
        "proxy": None,
        "models": ({"model": "gpt-4", "reason": "model_cap_exceeded", "until": WALL + 35},),
    }
    holder.leave()


def test_a_cool_down_shows_when_its_probe_comes(bench: Benches) -> None:
    """First the end, then that one request has to succeed, then nothing."""
    one = bench(["a"])
    one.fault(no_quota("no quota", 60))
    (view,) = one.pool.views("up")
    assert (view.state, view.reason, view.until, view.probe) == (
        "cooling",
        "no quota",
        WALL + 60,
        False,
    )
    one.clock.advance(60)
    (view,) = one.pool.views("up")
    assert (view.state, view.reason, view.until, view.probe) == (
        "ready",
        "no quota",
        WALL + 60,
        True,
    )
    one.once()
    (view,) = one.pool.views("up")
    assert (view.state, view.reason, view.until, view.probe) == ("ready", "", None, False)


def test_served_counts_requests_and_not_calls_of_ok(bench: Benches) -> None:
    """Saying twice that an answer is good makes it no two answers."""
    one = bench(["a"])
    holder = one.held()
    holder.lease.ok()
    holder.lease.ok()
    holder.leave()
    assert one.pool.views("up")[0].served == 1


def test_an_upstream_at_a_glance(bench: Benches) -> None:
    """Numbers by state, who waits, and why it is shut."""
    one = bench(["a", "b", "c", "d", "e"])
    one.fault(no_quota())
    one.fault(refused_token())
    one.pool.disable("up", "e")
    holders = [one.held(), one.held()]
    waiting = one.ask()
    view = one.pool.view("up")
    assert (view.total, view.ready, view.busy, view.cooling, view.invalid, view.disabled) == (
        5,
        0,
        2,
        1,
        1,
        1,
    )
    assert (view.in_flight, view.waiting, view.open) == (2, 1, True)
    holders[0].lease.fault(challenge(90))
    view = one.pool.view("up")
    assert (view.open, view.reason, view.until) == (False, "challenge page", WALL + 90)
    assert waiting.woken


def restarted(bench: Benches, before: Bench, *, after: float = 0.0) -> Bench:
    """Another process with the same credentials, ``after`` seconds later."""
    one = bench()
    one.clock.advance(7777)  # its loop time has nothing to do with the first one's
    one.clock.skew = before.clock.wall() + after - one.clock.wall()
    one.pool.replace("up", [spec(view.id) for view in before.pool.views("up")])
    one.pool.restore(before.pool.states())
    return one


def test_cooling_invalid_and_disabled_outlive_a_restart(bench: Benches) -> None:
    """With reasons and ends; the rest starts ready."""
    one = bench(["a", "b", "c", "d"])
    one.fault(no_quota("no quota", 300))
    one.fault(refused_token("token_expired"))
    one.fault(limited(200, "capped"), "gpt-4")
    one.pool.disable("up", "d")
    two = restarted(bench, one, after=100)
    assert two.states() == {"a": "cooling", "b": "invalid", "c": "ready", "d": "disabled"}
    views = {view.id: view for view in two.pool.views("up")}
    assert (views["a"].reason, views["a"].until) == ("no quota", WALL + 300)
    assert views["b"].reason == "token_expired"
    assert views["c"].models[0].until == WALL + 200
    assert two.pool.states() == one.pool.states()
    two.clock.advance(200)
    assert two.states()["a"] == "ready"


def test_the_step_of_a_backoff_outlives_a_restart(bench: Benches) -> None:
    """A restart loop does not turn doubling waits into one-second ones."""
    one = bench(["a"])
    for _ in range(4):
        one.fault(limited(None))
        one.clock.advance(60)
    two = restarted(bench, one, after=5)
    two.fault(limited(None))
    assert two.refusal(wait=1).retry_after == 16


def test_a_cool_down_that_ended_meanwhile_leaves_its_probe(bench: Benches) -> None:
    """After the restart one request goes first all the same."""
    one = bench(["a"])
    one.fault(no_quota(seconds=60))
    two = restarted(bench, one, after=500)
    (view,) = two.pool.views("up")
    assert (view.state, view.probe) == ("ready", True)
    assert two.once() == "a"


def test_an_upstreams_cool_down_outlives_a_restart(bench: Benches) -> None:
    """A restart does not run into the challenge again."""
    one = bench(["a"])
    one.fault(challenge(300))
    two = restarted(bench, one, after=100)
    assert two.refusal().retry_after == 200


def test_an_expiry_is_not_kept(bench: Benches) -> None:
    """After a restart the calendar decides anew: the clock may have been wrong."""
    one = bench()
    one.pool.replace("up", [spec("a", expires=WALL - 5)])
    assert one.states() == {"a": "invalid"}
    assert one.pool.states() == []


def test_states_of_what_is_gone_are_left_out(bench: Benches) -> None:
    """Unknown upstreams and credentials in the store harm nothing."""
    one = bench(["a"])
    one.pool.restore(
        [
            Kept(upstream="gone", credential="x", state="disabled", reason=""),
            Kept(upstream="up", credential="gone", state="invalid", reason="401"),
        ]
    )
    assert one.states() == {"a": "ready"}


def mirror(pool: Pool) -> dict[tuple[str, str], list[Kept]]:
    """A store that does what it hears, nothing else."""
    stored: dict[tuple[str, str], list[Kept]] = {}

    def listen(upstream: str, id: str, kept: object) -> None:
        stored.pop((upstream, id), None)
        if kept:
            stored[upstream, id] = list(kept)  # type: ignore[call-overload]

    pool.on_state(listen)
    return stored


def test_a_listener_hears_every_change_that_is_to_be_kept(bench: Benches) -> None:
    """What it was told adds up to what ``states`` says, at every step."""
    one = bench(["a", "b", "c"])
    stored = mirror(one.pool)

    def agree() -> None:
        assert [kept for group in sorted(stored) for kept in stored[group]] == sorted(
            one.pool.states(), key=lambda kept: (kept.upstream, kept.credential)
        )

    steps: list[Callable[[], object]] = [
        lambda: one.fault(no_quota(seconds=10)),
        lambda: one.fault(limited(10), "gpt-4"),
        lambda: one.fault(limited(None), "gpt-3.5"),
        lambda: one.fault(refused_token(), exclude={"a", "b"}),
        lambda: one.pool.disable("up", "b"),
        lambda: one.pool.enable("up", "b"),
        lambda: one.clock.advance(10),
        lambda: one.once("gpt-4", exclude={"a"}),
        lambda: one.once("x", exclude={"b"}),
        lambda: one.pool.replace("up", [spec("a"), spec("b")]),
        lambda: one.fault(no_quota()),
        lambda: one.pool.replace("up", [spec("a", token="new-" * 10), spec("b", token="n" * 40)]),
        lambda: [one.fault(broken()) for _ in range(5)],
        lambda: one.pool.reset("up"),
    ]
    for step in steps:
        step()
        agree()
    assert stored == {}


def test_what_is_kept_holds_no_secret(bench: Benches) -> None:
    """States go to a store and to logs."""
    one = bench(["a", "b"])
    one.fault(no_quota())
    one.fault(refused_token())
    assert "eyJ" not in repr(one.pool.states())
    assert "eyJ-secret" not in repr(one.pool.views("up"))
