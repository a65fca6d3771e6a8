"""Outbound proxies: in rotation, kept while they work, left alone where they were turned away."""

from __future__ import annotations

from collections.abc import Callable

from chatgpt_to_api.errors import Unavailable
from chatgpt_to_api.pool.pool import PoolRules
from chatgpt_to_api.wire.proxy import parse_proxy
from support.pool_driver import Bench, broken, challenge, spec

Benches = Callable[..., Bench]

P1, P2, P3 = (parse_proxy(f"http://proxy{n}.example:3128") for n in (1, 2, 3))


def proxies_of(one: Bench) -> dict[str, str | None]:
    return {view.id: view.proxy for view in one.pool.views("up")}


def test_without_proxies_everything_goes_directly(bench: Benches) -> None:
    """The credential's proxy is None."""
    assert bench(["a"]).held().lease.credential.proxy is None


def test_credentials_get_proxies_in_rotation_and_keep_them(bench: Benches) -> None:
    """Each credential shows the upstream one address, not a new one per request."""
    one = bench(["a", "b", "c"])
    one.pool.set_proxies([P1, P2])
    for _ in range(3):
        for _ in range(3):
            one.once()
        assert proxies_of(one) == {"a": str(P1), "b": str(P2), "c": str(P1)}


def test_a_challenge_cools_the_pair_of_upstream_and_proxy(bench: Benches) -> None:
    """The upstream stays open; the credential goes out through another proxy next time."""
    one = bench(["a"])
    one.pool.set_proxies([P1, P2])
    one.fault(challenge(100))
    assert one.pool.view("up").open
    assert one.held().lease.credential.proxy == P2


def test_another_upstream_may_still_use_the_proxy(bench: Benches) -> None:
    """Pairs are cooled, not proxies."""
    one = bench(["a"])
    one.pool.configure("other", PoolRules())
    one.pool.replace("other", [spec("x")])
    one.pool.set_proxies([P1])
    one.fault(challenge(100))
    assert isinstance(one.refusal(), Unavailable)
    assert one.held(upstream="other").lease.credential.proxy == P1


def test_a_cooled_proxy_returns_to_the_rotation(bench: Benches) -> None:
    """After its time it is given out again; who moved away meanwhile stays away."""
    one = bench(["a", "b"])
    one.pool.set_proxies([P1, P2])
    assert one.fault(challenge(100)) == "a"
    for _ in range(2):
        one.once()
    assert proxies_of(one) == {"a": str(P2), "b": str(P2)}
    one.clock.advance(100)
    for _ in range(2):
        one.once()
    assert proxies_of(one) == {"a": str(P2), "b": str(P2)}
    one.pool.replace("up", [spec("c"), spec("d")])
    one.once()
    one.once()
    assert set(proxies_of(one).values()) == {str(P1), str(P2)}


def test_with_every_proxy_turned_away_the_upstream_is_out_of_service(bench: Benches) -> None:
    """Never out directly: the error says why and when the first proxy may be used again."""
    one = bench(["a", "b", "c"])
    one.pool.set_proxies([P1, P2])
    one.fault(challenge(100))
    holder = one.held()
    assert holder.lease.credential.proxy == P2
    others = [one.held(), one.held()]
    waiting = one.ask()
    assert all(other.lease.credential.proxy == P2 for other in others)
    holder.lease.fault(challenge(40))
    assert isinstance(waiting.see().error, Unavailable)
    error = one.refusal()
    assert (error.retry_after, "challenge page" in error.message) == (40, True)
    holder.leave()
    one.clock.advance(40)
    assert one.held().lease.credential.proxy == P2


def test_a_failed_proxy_is_left_alone_and_the_upstream_not_blamed(bench: Benches) -> None:
    """What a broken proxy causes does not count for the circuit breaker."""
    one = bench(["a"], failure_threshold=1)
    one.pool.set_proxies([P1, P2])
    holder = one.held()
    holder.lease.proxy_failed("connection refused by the proxy")
    holder.lease.fault(broken())
    holder.leave()
    assert one.pool.view("up").open
    assert one.held().lease.credential.proxy == P2


def test_all_proxies_failed_says_so(bench: Benches) -> None:
    """The reason of the one that comes back first is shown."""
    one = bench(["a"])
    one.pool.set_proxies([P1])
    holder = one.held()
    waiting = one.ask()
    holder.lease.proxy_failed("the proxy refused the connection")
    assert isinstance(waiting.see().error, Unavailable)
    assert "the proxy refused the connection" in waiting.error.message
    holder.leave()
    one.pool.reset("up")
    assert one.once() == "a"


def test_a_proxy_failure_without_proxies_means_nothing(bench: Benches) -> None:
    """An upstream with a proxy of its own is the gateway's business."""
    one = bench(["a"])
    holder = one.held()
    holder.lease.proxy_failed()
    holder.leave()
    assert one.once() == "a"


def test_a_late_fault_blames_the_proxy_it_went_through(bench: Benches) -> None:
    """Two requests through the same proxy fail one after the other; the next one stays clean."""
    one = bench(["a"], max_concurrency=None)
    one.pool.set_proxies([P1, P2, P3])
    first, second = one.held(), one.held()
    first.lease.fault(challenge(100))
    assert one.held().lease.credential.proxy == P2
    second.lease.fault(challenge(100))
    assert one.held().lease.credential.proxy == P2


def test_new_proxies_replace_the_old(bench: Benches) -> None:
    """Who had one that stays keeps it, and its cool-down stays too."""
    one = bench(["a", "b"])
    one.pool.set_proxies([P1, P2])
    one.once()
    one.once()
    one.pool.set_proxies([P2, P3])
    one.once()
    one.once()
    assert proxies_of(one)["b"] == str(P2)
    assert proxies_of(one)["a"] in (str(P2), str(P3))
    one.pool.set_proxies([])
    assert one.held().lease.credential.proxy is None


def test_an_upstream_can_stay_out_of_the_rotation(bench: Benches) -> None:
    """Loopback, ``no_proxy`` and upstreams with a proxy of their own take none of these."""
    one = bench(["a"], rotate_proxies=False)
    one.pool.set_proxies([P1])
    assert one.held().lease.credential.proxy is None


def test_a_further_send_goes_through_a_proxy_that_works(bench: Benches) -> None:
    """After a failed proxy the continuation takes another."""
    one = bench(["a"])
    one.pool.set_proxies([P1, P2])
    holder = one.held()
    holder.lease.proxy_failed()
    holder.next_send(one.clock.now)
    assert holder.lease.proxy == holder.lease.credential.proxy == P2
