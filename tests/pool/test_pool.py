"""The whole pool under any sequence of events: nothing doubled, nothing lost, nobody forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from chatgpt_to_api.pool.credential import Place
from chatgpt_to_api.pool.pool import PoolRules, parse_rate_limits
from chatgpt_to_api.wire.secret import Access, Secret
from support.pool_driver import (
    Asking,
    Bench,
    broken,
    challenge,
    limited,
    no_quota,
    refused_token,
    rejected,
    spec,
)

IDS = "abcd"
MODELS = st.sampled_from(["m1", "m2", "m3"])
CLIENTS = st.sampled_from(["x", "y", "z"])
FAULTS = st.sampled_from(
    [
        refused_token(),
        no_quota(seconds=15),
        limited(7),
        limited(0),
        limited(None),
        limited(None, only_model=False),
        broken(),
        rejected(),
        challenge(6),
    ]
)


class PoolMachine(RuleBasedStateMachine):
    """Requests of three clients for three models, faults, hands of people, and time."""

    asked = Bundle("asked")

    @initialize(
        capacity=st.sampled_from([1, 1, 2, None]),
        upstream=st.sampled_from(["", "", "3/5s", "2/3s, 4/20s"]),
        credential=st.sampled_from(["", "2/4s"]),
        queue=st.sampled_from([2, 6, 1000]),
    )
    def begin(self, capacity: int | None, upstream: str, credential: str, queue: int) -> None:
        self.capacity = capacity
        self.rules = PoolRules(
            max_concurrency=capacity,
            rate_limits=parse_rate_limits(upstream),
            credential_rate_limits=parse_rate_limits(credential),
            failure_threshold=3,
            max_queue=queue,
        )
        self.bench = Bench()
        self.bench.pool.configure("up", self.rules)
        self.bench.pool.replace("up", [spec(id) for id in IDS])
        self.home = self.bench.pool._upstreams["up"]
        self.all: list[Asking] = []
        self.paced = bool(upstream)

    def teardown(self) -> None:
        if not hasattr(self, "all"):
            return
        # Whatever happened, time and returned leases answer everyone who waits.
        for _ in range(40):
            for asking in self.all:
                asking.see()
                if asking.state == "held":
                    asking.leave()
                elif asking.state in ("refused", "cancelled") and asking.lease.held:
                    asking.leave_after_next_send()
            self.bench.clock.advance(5)
        assert all(asking.state != "waiting" for asking in self.all)
        assert self.bench.pool.in_flight == 0
        assert self.bench.pool.waiting == 0
        self.bench.clock.advance(1000)
        assert self.bench.clock.armed() == []
        # No credential is lost: after a reset every one of them is lent.
        for id in self.home.shelf.credentials:
            self.bench.pool.enable("up", id)
        self.bench.pool.replace("up", [spec(id, token=f"fresh-token-{id}" * 3) for id in IDS])
        self.bench.pool.reset("up")
        lent = []
        for _ in IDS:
            asking = self.bench.ask(wait=0, exclude=set(lent))
            if asking.state == "refused":  # the pace of the upstream
                self.bench.clock.advance(30)
                asking = self.bench.ask(wait=0, exclude=set(lent))
            lent.append(asking.id)
            asking.leave()
        assert sorted(lent) == list(IDS)
        self.bench.clock.close()

    # Requests

    @rule(
        target=asked,
        model=MODELS,
        client=CLIENTS,
        wait=st.sampled_from([0, 1, 10, 60]),
        exclude=st.sampled_from(["", "", "", "a", "bc"]),
        talk=st.sampled_from([b"", b"t1", b"t2"]),
        own=st.sampled_from([None, None, None, "p", "q"]),
    )
    def ask(
        self, model: str, client: str, wait: float, exclude: str, talk: bytes, own: str | None
    ) -> Asking:
        access = None if own is None else Access(Secret(f"own-token-{own}"))
        asking = self.bench.ask(
            model, client, wait=wait, exclude=set(exclude), affinity=talk, own=access
        )
        self.all.append(asking)
        return asking

    @rule(asking=asked)
    def see(self, asking: Asking) -> None:
        asking.see()

    @rule(asking=asked)
    def answer_well(self, asking: Asking) -> None:
        if asking.state == "held":
            asking.lease.ok()

    @rule(asking=asked, fault=FAULTS)
    def fail(self, asking: Asking, fault: object) -> None:
        if asking.state == "held":
            asking.lease.fault(fault)  # type: ignore[arg-type]

    @rule(asking=asked, wait=st.sampled_from([0, 5, 30]))
    def go_on(self, asking: Asking, wait: float) -> None:
        if asking.state == "held":
            asking.next_send(self.bench.clock.now + wait)

    @rule(target=asked, asking=consumes(asked))
    def leave(self, asking: Asking) -> object:
        if asking.state == "held":
            asking.leave()
            return multiple()
        if asking.state in ("refused", "cancelled") and asking.lease.held:
            asking.leave_after_next_send()
            return multiple()
        return asking

    @rule(asking=asked, halves=st.booleans())
    def cancel(self, asking: Asking, halves: bool) -> None:
        if asking.state == "waiting":
            if halves or asking.woken:
                asking.cancel_late()
            else:
                asking.cancel()

    # People and time

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 4.0, 16.0]))
    def wait(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)

    @rule(ids=st.sets(st.sampled_from(IDS)))
    def replace(self, ids: set[str]) -> None:
        self.bench.pool.replace("up", [spec(id) for id in sorted(ids)])

    @rule(id=st.sampled_from(IDS), hand=st.sampled_from(["disable", "enable", "reset"]))
    def use_a_hand(self, id: str, hand: str) -> None:
        if id in self.home.shelf.credentials:
            getattr(self.bench.pool, hand)("up", id)

    @precondition(lambda self: self.all)
    @rule()
    def restart_rules(self) -> None:
        self.bench.pool.configure("up", self.rules)

    # What always holds

    def granted(self) -> list[Asking]:
        """Who holds a lease, seen or not."""
        return [asking for asking in self.all if hasattr(asking, "lease") and asking.lease.held]

    @invariant()
    def leases_are_counted(self) -> None:
        if hasattr(self, "all"):
            assert self.bench.pool.in_flight == len(self.granted())

    @invariant()
    def no_credential_serves_more_than_it_may(self) -> None:
        if not hasattr(self, "all"):
            return
        tokens = Counter(asking.lease.credential.access.token for asking in self.granted())
        for asking in self.granted():
            limit = 1 if asking.ask.own is not None else self.capacity
            assert limit is None or tokens[asking.lease.credential.access.token] <= limit
        for credential in self.home.shelf.credentials.values():
            assert credential.in_flight == tokens[credential.access.token]

    @invariant()
    def nobody_waits_past_the_deadline_or_for_what_is_there(self) -> None:
        if not hasattr(self, "all"):
            return
        now = self.bench.clock.now
        for asking in self.all:
            if asking.state != "waiting" or asking.woken or asking.lease.held:
                continue
            assert asking.ask.deadline > now
            windows = self.home.windows
            if self.home.shut(now) is None and (windows is None or windows.opens_at() <= now):
                shelf = self.home.shelf
                if asking.ask.own is None:
                    assert shelf.choose(asking.ask.model, asking.ask.exclude) is None

    @invariant()
    def first_come_first_served_inside_a_client(self) -> None:
        if not hasattr(self, "all"):
            return
        passed: set[object] = set()
        for asking in self.all:  # in order of arrival
            ask = asking.ask
            kind = (ask.client, ask.model, frozenset(ask.exclude), ask.own)
            if asking.state == "waiting" and not asking.woken and not asking.lease.held:
                passed.add(kind)
            elif asking.woken and asking.lease.held and not asking.in_further_send:
                assert kind not in passed

    @invariant()
    def the_line_up_agrees_with_the_credentials(self) -> None:
        if not hasattr(self, "all"):
            return
        shelf = self.home.shelf
        counts: Counter[tuple[frozenset[str], Place]] = Counter()
        for credential in shelf.credentials.values():
            assert (credential.group is None) == (credential.place is Place.OUT)
            assert (credential.place is Place.OUT) == (not credential.usable)
            if credential.group is not None:
                assert credential.group.shut == credential.shut
                counts[credential.shut, credential.place] += 1
        for shut, group in shelf._groups.items():
            for place in list(Place)[:4]:
                assert group.counts[place] == counts[shut, place]
        probing: Counter[str] = Counter()
        for credential in shelf.credentials.values():
            for model, limit in (credential.models or {}).items():
                probing[model] += limit.probe is not None
        for model, limit in shelf._limits.items():
            assert limit.probing == probing[model]


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
