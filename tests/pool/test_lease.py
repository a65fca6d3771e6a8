"""Leases: always given back, whatever happens and whenever."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable

import pytest

from chatgpt_to_api.errors import RateLimited
from chatgpt_to_api.pool.contract import Granted, Lender
from chatgpt_to_api.pool.pool import Lease, LeaseAsk, Pool, PoolRules, parse_rate_limits
from support.pool_driver import Bench, spec

Benches = Callable[..., Bench]


def test_a_ready_credential_is_lent_without_waiting(bench: Benches) -> None:
    """Entering and leaving never suspend while something is ready: one step each, no future."""
    one = bench(["a"])
    asking = one.ask()
    assert asking.state == "held"  # the coroutine ended in its first step
    assert one.pool.in_flight == 1
    asking.leave()
    assert one.pool.in_flight == 0
    assert one.clock.armed() == []


async def test_it_comes_back_when_the_block_raises() -> None:
    """An error inside the block gives the credential back, and passes through."""
    pool = Pool(asyncio.get_running_loop())
    pool.configure("up", PoolRules())
    pool.replace("up", [spec("a")])
    ask = LeaseAsk(upstream="up", model="m", deadline=asyncio.get_running_loop().time() + 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with pool.lease(ask):
                raise ZeroDivisionError
    assert pool.in_flight == 0


async def test_the_pool_keeps_the_contract_of_the_gateway() -> None:
    """The in-memory pool can stand wherever any pool is asked for."""
    pool = Pool(asyncio.get_running_loop())
    pool.configure("up", PoolRules(needs_credentials=False))
    lender: Lender = pool
    async with lender.lease(LeaseAsk(upstream="up", model="m", deadline=0)) as lease:
        granted: Granted = lease
        assert granted.credential.access.token is None


def test_a_request_cancelled_in_the_queue_leaves_it(bench: Benches) -> None:
    """The next in line gets the credential, and no trace of the cancelled one stays."""
    one = bench(["a"])
    holder, gone, next_one = one.held(), one.ask(), one.ask()
    gone.cancel()
    assert gone.state == "cancelled"
    assert one.pool.waiting == 1
    holder.leave()
    assert next_one.see().id == "a"
    next_one.leave()
    assert (one.pool.in_flight, one.pool.waiting) == (0, 0)


def test_a_credential_granted_but_not_seen_comes_back(bench: Benches) -> None:
    """Cancelled between the grant and its own turn, a request hands the credential on."""
    one = bench(["a"])
    holder, unlucky, next_one = one.held(), one.ask(), one.ask()
    holder.leave()
    assert unlucky.woken
    assert not next_one.woken
    unlucky.cancel_late()
    assert unlucky.state == "cancelled"
    assert next_one.see().id == "a"
    next_one.leave()
    assert one.pool.in_flight == 0


def test_a_request_about_to_be_cancelled_is_passed_over(bench: Benches) -> None:
    """Between the two halves of a cancel a returned credential goes to somebody who lives."""
    one = bench(["a"])
    holder, dying, next_one = one.held(), one.ask(), one.ask()
    dying.cancel_future()
    holder.leave()
    assert next_one.see().id == "a"
    dying.cancel_late()
    assert dying.state == "cancelled"
    next_one.leave()
    assert (one.pool.in_flight, one.pool.waiting) == (0, 0)


def test_a_request_cancelled_at_its_refusal_stays_cancelled(bench: Benches) -> None:
    """Refused and cancelled in the same turn: nothing is held, nobody is surprised later."""
    one = bench(["a"])
    holder, waiting = one.held(), one.ask(wait=5)
    one.clock.advance(5)
    assert waiting.woken
    waiting.cancel_late()
    assert waiting.state == "cancelled"
    holder.leave()
    assert one.once() == "a"


def test_an_unseen_grant_gives_its_place_in_the_windows_back(bench: Benches) -> None:
    """No send was made, so it does not count against the pace."""
    one = bench(
        ["a"],
        rate_limits=parse_rate_limits("2/10s"),
        credential_rate_limits=parse_rate_limits("2/10s"),
    )
    holder, unlucky, next_one = one.held(), one.ask(), one.ask()
    holder.leave()
    unlucky.cancel_late()
    assert next_one.see().state == "held"
    next_one.leave()
    assert isinstance(one.refusal(wait=1), RateLimited)


def test_next_send_cancelled_keeps_the_lease_and_no_place(bench: Benches) -> None:
    """A continuation given up while it waits leaves its lease to be given back as ever."""
    one = bench(["a"], rate_limits=parse_rate_limits("1/10s"))
    holder = one.held()
    holder.next_send(one.clock.now + 100)
    assert holder.state == "waiting"
    holder.cancel()
    holder.leave_after_next_send()
    assert one.pool.in_flight == 0
    one.clock.advance(11)
    assert one.once() == "a"


def test_a_further_send_granted_but_not_seen_does_not_count(bench: Benches) -> None:
    """The place in the window is free for the next request at once."""
    one = bench(["a", "b"], rate_limits=parse_rate_limits("1/10s"))
    holder = one.held()
    holder.next_send(one.clock.now + 100)
    other = one.ask(wait=100)
    one.clock.advance(11)
    assert holder.woken
    assert not other.woken
    holder.cancel_late()
    assert other.see().state == "held"
    holder.leave_after_next_send()
    other.leave()
    assert one.pool.in_flight == 0


def test_the_repr_names_owner_and_label_and_no_secret(bench: Benches) -> None:
    """Whose a lease is can be logged."""
    one = bench(["a"])
    asking = one.held(owner="request-7")
    assert repr(asking.lease) == "Lease(up: Credential(label-a), request-7)"
    asking.leave()
    assert "secret" not in repr(asking.lease)


async def test_ten_thousand_aborted_requests_leave_zero_leases() -> None:
    """Tasks cancelled in every phase, in any order, lose no credential and leave no waiter."""
    loop = asyncio.get_running_loop()
    pool = Pool(loop)
    pool.configure("up", PoolRules(max_queue=20_000))
    pool.replace("up", [spec(str(n)) for n in range(10)])
    rng = random.Random(5)
    forever = loop.create_future()
    seen = 0

    async def request(client: str) -> None:
        nonlocal seen
        ask = LeaseAsk(upstream="up", model="m", client=client, deadline=loop.time() + 600)
        async with pool.lease(ask) as lease:
            seen += 1
            if rng.random() < 0.3:
                lease.ok()
                return
            await forever

    tasks = [asyncio.create_task(request(str(n % 7))) for n in range(10_000)]
    while tasks:
        rng.shuffle(tasks)
        batch, tasks = tasks[:50], tasks[50:]
        for task in batch:
            task.cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        await asyncio.wait(batch)
    assert seen > 1000
    assert (pool.in_flight, pool.waiting) == (0, 0)
    async with pool.lease(LeaseAsk(upstream="up", model="m", deadline=0)):
        pass
    gc.collect()
    assert not [o for o in gc.get_objects() if isinstance(o, Lease) and o.held]


async def test_a_deadline_is_kept_on_a_real_loop() -> None:
    """The event loop's own timer ends the wait with a 429."""
    loop = asyncio.get_running_loop()
    pool = Pool(loop)
    pool.configure("up", PoolRules())
    pool.replace("up", [spec("a")])
    async with pool.lease(LeaseAsk(upstream="up", model="m", deadline=loop.time() + 1)):
        began = loop.time()
        ask = LeaseAsk(upstream="up", model="m", deadline=began + 0.05)
        with pytest.raises(RateLimited):
            async with pool.lease(ask):
                raise AssertionError("two leases of one credential")
        assert loop.time() >= began + 0.05
    assert pool.in_flight == 0
