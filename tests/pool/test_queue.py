"""The queue: fair between clients, first come first served inside one, bounded, with deadlines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from chatgpt_to_api.errors import RateLimited
from support.pool_driver import Asking, Bench, limited

Benches = Callable[..., Bench]


def drain(one: Bench, holder: Asking, waiting: list[Asking]) -> list[Asking]:
    """Return one credential after another; the order in which the waiting were served."""
    served = []
    while True:
        holder.leave()
        woken = [asking for asking in waiting if asking.woken]
        if not woken:
            return served
        (holder,) = woken
        waiting.remove(holder)
        served.append(holder.see())


def test_one_client_is_served_in_order_of_arrival(bench: Benches) -> None:
    """First come, first served."""
    one = bench(["a"])
    holder = one.held()
    waiting = [one.ask(owner=str(n)) for n in range(20)]
    served = drain(one, holder, waiting)
    assert [asking.ask.owner for asking in served] == [str(n) for n in range(20)]


def test_clients_take_turns(bench: Benches) -> None:
    """A client that came last waits for one of each other, not for all that came before."""
    one = bench(["a"])
    holder = one.held()
    waiting = [one.ask(client="greedy") for _ in range(50)]
    waiting += [one.ask(client="modest") for _ in range(2)]
    waiting += [one.ask(client="third") for _ in range(2)]
    served = [asking.ask.client for asking in drain(one, holder, waiting)]
    assert served[:7] == ["greedy", "modest", "third", "greedy", "modest", "third", "greedy"]
    assert len(served) == 54


def test_between_equal_turns_who_came_first_is_first(bench: Benches) -> None:
    """A client's later requests do not move its first one back."""
    one = bench(["a"])
    holder = one.held()
    waiting = [one.ask(client=client) for client in "xyx"]
    assert [asking.ask.client for asking in drain(one, holder, waiting)] == ["x", "y", "x"]


def test_a_client_that_asks_again_and_again_starves_nobody(bench: Benches) -> None:
    """One waiting request at a time, renewed as soon as it is served, is one turn and not all."""
    one = bench(["a"])
    holder = one.held(client="patient")
    patient = [one.ask(client="patient", wait=1e6) for _ in range(5)]
    eager = one.ask(client="eager", wait=1e6)
    served = []
    for _ in range(10):
        holder.leave()
        if eager.woken:
            holder = eager.see()
            eager = one.ask(client="eager", wait=1e6)
            served.append("eager")
        else:
            holder = patient.pop(0).see()
            served.append("patient")
    assert served == ["patient", "eager"] * 5


def test_a_crowd_of_clients_makes_nobody_forget_whose_turn_it_is(bench: Benches) -> None:
    """What is kept of clients is bounded, but not at the price of the turns."""
    one = bench(["a"])
    holder = one.held(client="patient")
    patient = [one.ask(client="patient", wait=1e6) for _ in range(5)]
    eager = one.ask(client="eager", wait=1e6)
    served = []
    for turn in range(8):
        holder.leave()
        if eager.woken:
            holder = eager.see()
            for n in range(1100):
                one.ask(client=f"{turn}-{n}", wait=1e6).cancel()
            eager = one.ask(client="eager", wait=1e6)
            served.append("eager")
        else:
            holder = patient.pop(0).see()
            served.append("patient")
    assert served == ["patient", "eager"] * 4


def test_requests_that_were_cancelled_cost_a_client_no_turns(bench: Benches) -> None:
    """Ten closed tabs do not put the eleventh behind everyone."""
    one = bench(["a"])
    holder = one.held()
    tabs = [one.ask(client="tabs") for _ in range(10)]
    waiting = [one.ask(client="other") for _ in range(3)]
    for tab in tabs:
        tab.cancel()
    waiting.append(one.ask(client="tabs"))
    served = [asking.ask.client for asking in drain(one, holder, waiting)]
    assert served == ["other", "tabs", "other", "other"]


def test_turns_are_shared_over_models(bench: Benches) -> None:
    """Asking for many models gives a client no more than one turn in each round."""
    one = bench(["a"])
    holder = one.held()
    waiting = [one.ask(f"model-{n}", client="many") for n in range(6)]
    waiting += [one.ask("model-0", client="few") for _ in range(3)]
    served = [asking.ask.client for asking in drain(one, holder, waiting)]
    assert served[:6] == ["many", "few", "many", "few", "many", "few"]


def test_a_model_that_cools_holds_up_no_other(bench: Benches) -> None:
    """Requests for another model pass those that have to wait anyway."""
    one = bench(["a", "b"])
    for _ in range(2):
        one.fault(limited(20), "gpt-4")
    stuck = [one.ask("gpt-4") for _ in range(5)]
    holders = [one.held("gpt-3.5"), one.held("gpt-3.5")]
    free = one.ask("gpt-3.5")
    holders[0].leave()
    assert free.see().state == "held"
    assert not any(asking.woken for asking in stuck)


def test_work_is_never_kept_back(bench: Benches) -> None:
    """While a credential is free nobody waits, whoever had more than their share before."""
    one = bench(["a", "b"])
    holders = [one.held(client="greedy"), one.held(client="greedy")]
    waiting = one.ask(client="greedy")
    holders[0].leave()
    assert waiting.see().state == "held"


def test_a_full_queue_refuses_at_once_in_words(bench: Benches) -> None:
    """The bound is said, and about when to come again."""
    one = bench(["a"], max_queue=3)
    holder, waiting = one.held(), [one.ask() for _ in range(3)]
    error = one.refusal()
    assert isinstance(error, RateLimited)
    assert error.message.startswith("3 requests already wait for the upstream 'up'")
    assert error.retry_after == 20
    drain(one, holder, waiting)


def test_a_client_that_fills_the_queue_keeps_nobody_out(bench: Benches) -> None:
    """The newest request of whoever waits with the most makes room for another client."""
    one = bench(["a"], max_queue=4)
    holder = one.held()
    greedy = [one.ask(client="greedy") for _ in range(4)]
    modest = one.ask(client="modest")
    assert modest.state == "waiting"
    assert [asking.woken for asking in greedy] == [False, False, False, True]
    assert "already wait" in str(greedy[3].see().error)
    assert isinstance(one.refusal(client="greedy"), RateLimited)
    second = one.ask(client="modest")
    assert greedy[2].woken
    assert one.refusal(client="modest").status == 429
    assert second.state == "waiting"
    holder.leave()


def test_no_queue_means_no_waiting(bench: Benches) -> None:
    """With a queue of none a busy credential is a 429 at once."""
    one = bench(["a"], max_queue=0)
    holder = one.held()
    assert "1 busy" in one.refusal().message
    holder.leave()
    assert one.once() == "a"


def test_a_wait_of_nothing_is_no_wait(bench: Benches) -> None:
    """A deadline of now takes what is ready and waits for nothing else."""
    one = bench(["a"])
    holder = one.held(wait=0)
    assert isinstance(one.refusal(wait=0), RateLimited)
    holder.leave()


def test_a_deadline_ends_the_wait_with_a_429(bench: Benches) -> None:
    """At the deadline, not before and not after, and the others wait on."""
    one = bench(["a"])
    holder = one.held()
    short, long = one.ask(wait=5), one.ask(wait=20)
    one.clock.advance(4.99)
    assert not short.woken
    one.clock.advance(0.01)
    assert isinstance(short.see().error, RateLimited)
    assert not long.woken
    holder.leave()
    assert long.see().state == "held"


def test_one_timer_serves_all_who_wait(bench: Benches) -> None:
    """However many wait, one timer is set, for the soonest event; without waiters it dies out."""
    one = bench(["a"])
    holder = one.held()
    waiting = [one.ask(wait=10 + n) for n in range(100)]
    assert one.clock.armed() == [1010.0]
    one.clock.advance(9.9)
    assert one.clock.fired == 0
    one.clock.advance(0.1)
    assert one.clock.fired == 1
    assert one.clock.armed() == [1011.0]
    one.clock.advance(1000)
    assert one.clock.armed() == []
    assert all(asking.woken for asking in waiting)
    holder.leave()


def test_a_timer_that_fires_early_does_not_spin(bench: Benches) -> None:
    """Half a millisecond too soon, it is set once more and then does its work."""
    one = bench(["a"])
    one.clock.early = 0.0005
    holder, waiting = one.held(), one.ask(wait=5)
    one.clock.advance(5)
    assert waiting.woken
    assert one.clock.fired == 2
    holder.leave()


def test_memory_of_left_requests_is_given_back(bench: Benches) -> None:
    """Requests that come and go while nothing is served do not pile up anywhere."""
    one = bench(["a"])
    holder = one.held()
    stays = one.ask(client="stays", wait=1e6)
    for n in range(5000):
        one.ask(client=str(n), wait=1e6).cancel()
    home = one.pool._upstreams["up"]
    (demand,) = home.queue.demands(home.shelf)
    assert len(demand._heap) < 200
    assert len(home._deadlines._heap) < 200
    assert len(home.queue._clients) < 2000
    holder.leave()
    assert stays.see().state == "held"


def test_shares_are_even_under_a_random_load(bench: Benches) -> None:
    """Three clients that always wait get equal shares, whatever their numbers."""
    one = bench(["a", "b"])
    rng = random.Random(11)
    waiting: list[Asking] = []
    for client, count in (("x", 300), ("y", 120), ("z", 100)):
        waiting += [one.ask(client=client, wait=1e9) for _ in range(count)]
    served: Counter[str] = Counter()
    held = [asking for asking in waiting if asking.state == "held"]
    waiting = [asking for asking in waiting if asking.state == "waiting"]
    while sum(served.values()) < 240:
        held.pop(rng.randrange(len(held))).leave()
        for asking in [asking for asking in waiting if asking.woken]:
            waiting.remove(asking)
            held.append(asking.see())
            served[asking.ask.client] += 1
    assert max(served.values()) - min(served.values()) <= 2
