"""Upstreams that come, move and go while requests wait: nobody is dropped, nothing is mixed up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chatgpt_to_api.errors import Unavailable
from chatgpt_to_api.pool.contract import Kept
from chatgpt_to_api.pool.pool import PoolRules
from support.pool_driver import Bench, refused_token, spec

Benches = Callable[..., Bench]


def move(one: Bench, edition: int, id: str, linger: float = 100.0) -> None:
    """The upstream is at another address now, with another credential."""
    one.pool.configure("up", PoolRules(), edition=edition, linger=linger)
    one.pool.replace("up", [spec(id)])


def test_who_waits_gets_the_credential_of_the_address_it_waits_for(bench: Benches) -> None:
    """A new credential never goes to the old address, nor the old one to the new address."""
    one = bench(["old"])
    holder, waiting = one.held(), one.ask()
    move(one, 1, "new")
    assert one.held(edition=1).id == "new"
    assert waiting.state == "waiting"
    assert one.pool.in_flight == 2 and one.pool.waiting == 1
    holder.leave()
    assert waiting.see().id == "old"
    waiting.leave()
    # A request that began before may have to try again; that is still the old address.
    assert one.once() == "old"
    one.clock.advance(100)
    assert isinstance(one.refusal(), Unavailable)


def test_a_removed_upstream_lends_on_for_a_while(bench: Benches) -> None:
    """Then who still waits is refused, and a lease that is held ends in its own time."""
    one = bench(["a"])
    holder, early, late = one.held(wait=500), one.ask(wait=500), one.ask(wait=500)
    one.pool.forget("up", linger=100.0)
    holder.leave()
    assert early.see().id == "a"
    one.clock.advance(100)
    assert isinstance(late.see().error, Unavailable)
    assert one.pool.in_flight == 1
    early.leave()
    assert one.pool.in_flight == 0
    assert one.clock.armed() == []


def test_the_same_edition_again_keeps_everything(bench: Benches) -> None:
    """Changed rules are no other upstream: leases, waiting requests and states stay."""
    one = bench(["a", "b"])
    one.fault(refused_token())
    holder, waiting = one.held(), one.ask()
    one.pool.configure("up", PoolRules(max_concurrency=2), edition=0, linger=100.0)
    assert waiting.see().id == holder.id
    assert sorted(one.states().values()) == ["busy", "invalid"]


def test_what_is_kept_of_a_removed_upstream_is_forgotten(bench: Benches) -> None:
    """One that is made anew under the name does not inherit a refusal, now or after a restart."""
    one = bench(["a", "b"])
    told: dict[tuple[str, str], Sequence[Kept]] = {}

    def listen(upstream: str, credential: str, kept: Sequence[Kept]) -> None:
        told[upstream, credential] = kept

    one.pool.on_state(listen)
    holder = one.held()
    one.fault(refused_token())
    assert [kept for kept in told.values() if kept]
    move(one, 1, "a")
    assert not [kept for kept in told.values() if kept]
    # What the old one still learns is not about the new one of the same name and key.
    holder.lease.fault(refused_token())
    holder.leave()
    assert not [kept for kept in told.values() if kept]
    assert one.states() == {"a": "ready"}


def test_forgetting_what_is_not_there_does_no_harm(bench: Benches) -> None:
    """And an unknown edition is an upstream that is not configured."""
    one = bench(["a"])
    one.pool.forget("nobody", linger=5.0)
    assert isinstance(one.refusal(edition=7), Unavailable)
