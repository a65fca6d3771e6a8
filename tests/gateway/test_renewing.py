"""Refresh tokens as credentials: spent once, stored before used, renewed for all at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import NoCredentials, RateLimited, Unavailable, UpstreamDenied
from chatgpt_to_api.gateway.renewing import MARGIN, PAUSE, Renewer
from chatgpt_to_api.pool.contract import Granted, LeaseAsk
from chatgpt_to_api.pool.pool import CredentialSpec, Pool, PoolRules
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import StoreUnavailable
from chatgpt_to_api.store.renewals import Renewal, Renewals
from chatgpt_to_api.store.secrets import load_cipher
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.wire.refresh import TokenServer as Server
from chatgpt_to_api.wire.secret import Access, Secret
from support.scripted_backend import Play, ScriptedBackend, json_play, scripted_backend
from support.token_server import TokenServer

REFUSED = UpstreamFault(
    error=UpstreamDenied("No."), reason="key refused", credential="invalid", retry="next_credential"
)


class FullDisk(Renewals):
    """A store that takes nothing while it is ``full``."""

    full = False

    async def save(self, upstream: str, id: str, renewal: Renewal) -> None:
        if self.full:
            raise StoreUnavailable("The disk is full.")
        await super().save(upstream, id, renewal)


class Rig:
    """A pool with one refresh token, and who renews it; ``now`` is the wall clock."""

    def __init__(self, store: Store, pool: Pool, client: HttpClient, url: str) -> None:
        self.store = FullDisk(store)
        self.pool = pool
        self.now = 1_700_000_000.0
        self.renewer = Renewer(self.store, client, lambda: self.now)
        self.upstream = self.renewer.of("up", Server(url, "client"))

    def ask(self, wait: float = 20) -> LeaseAsk:
        deadline = asyncio.get_running_loop().time() + wait
        return LeaseAsk(upstream="up", model="m", deadline=deadline)

    def lease(self, wait: float = 20) -> contextlib.AbstractAsyncContextManager[Granted]:
        return self.upstream.lease(self.pool, self.ask(wait))

    async def token(self) -> str:
        """The access token a lease has, which is used well."""
        async with self.lease() as lease:
            lease.ok()
            return shown(lease)

    async def refused(self) -> str:
        """The access token a lease has, which the upstream does not take."""
        async with self.lease() as lease:
            lease.fault(REFUSED)
            return shown(lease)

    @property
    def state(self) -> tuple[str, str]:
        [view] = [view for view in self.pool.views("up") if view.id == "a"]
        return view.state, view.reason


def shown(lease: Granted) -> str:
    token = lease.credential.access.token
    assert token is not None
    return token.reveal()


SEED = CredentialSpec("a", Access(), label="a", renews=Secret("rt-0"))
KEY = CredentialSpec("b", Access(Secret("sk-plain")), label="b")


@contextlib.asynccontextmanager
async def rig(
    data: Path, backend: ScriptedBackend, specs: Sequence[CredentialSpec] = (SEED,), url: str = ""
) -> AsyncIterator[Rig]:
    """What a start of the gateway makes; the same folder again is a restart."""
    loop = asyncio.get_running_loop()
    store = await Store.open(data, load_cipher(data, None, database=database_path(data)))
    client = HttpClient(loop, max_idle=0)
    pool = Pool(loop)
    pool.configure("up", PoolRules(max_concurrency=None))
    pool.replace("up", specs)
    made = Rig(store, pool, client, url or backend.url("/oauth/token"))
    try:
        yield made
    finally:
        await made.renewer.close()
        await client.close()
        await store.close()


async def test_a_lease_has_an_access_token_and_never_the_refresh_token(tmp_path: Path) -> None:
    """Got with the first lease, and used again with the next."""
    server = TokenServer()
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        assert [await one.token() for _ in range(3)] == ["at-1"] * 3
        async with one.lease() as lease:
            assert lease.credential.renews is None
            assert (lease.credential.id, lease.credential.label) == ("a", "a")
    assert server.asked == ["rt-0"]


async def test_keys_beside_it_are_lent_as_ever(tmp_path: Path) -> None:
    """An upstream can have both."""
    server = TokenServer()
    async with (
        scripted_backend(server) as backend,
        rig(tmp_path / "d", backend, [SEED, KEY]) as one,
    ):
        assert {await one.token() for _ in range(4)} == {"at-1", "sk-plain"}


@pytest.mark.parametrize(("lives", "margin"), [(3600, MARGIN), (100, 20)])
async def test_it_is_renewed_before_its_end(tmp_path: Path, lives: float, margin: float) -> None:
    """With a margin that a short life makes shorter; each time with the newest refresh token."""
    server = TokenServer(lives=lives)
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        assert await one.token() == "at-1"
        one.now += lives - margin - 1
        assert await one.token() == "at-1"
        one.now += 1
        assert await one.token() == "at-2"
    assert server.asked == ["rt-0", "rt-1"]


async def test_many_requests_wait_for_one_renewal(tmp_path: Path) -> None:
    """And all of them get what it brings."""
    server, gate = TokenServer(), asyncio.Event()

    def slowly(seen: object) -> Play:
        play = server(seen)  # type: ignore[arg-type]
        play.gate = gate
        return play

    async with scripted_backend(slowly) as backend, rig(tmp_path / "d", backend) as one:
        waiting = [asyncio.create_task(one.token()) for _ in range(30)]
        await backend.until(lambda: len(backend.seen) == 1)
        gate.set()
        assert await asyncio.gather(*waiting) == ["at-1"] * 30
    assert server.asked == ["rt-0"]


async def test_a_renewal_goes_on_when_who_waits_for_it_goes_away(tmp_path: Path) -> None:
    """What the token server has given is not lost, and the lease is back."""
    server, gate = TokenServer(), asyncio.Event()

    def slowly(seen: object) -> Play:
        play = server(seen)  # type: ignore[arg-type]
        play.gate = gate
        return play

    async with scripted_backend(slowly) as backend:
        async with rig(tmp_path / "d", backend) as one:
            waiting = asyncio.create_task(one.token())
            await backend.until(lambda: len(backend.seen) == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert one.pool.in_flight == 0
            with pytest.raises(Unavailable):
                async with one.lease(wait=0):
                    pass
            gate.set()
            await one.renewer.close()
            assert await one.token() == "at-1"
        async with rig(tmp_path / "d", backend) as again:
            assert await again.token() == "at-1"
    assert server.asked == ["rt-0"]


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """With the stored access token while it is good, with the newest refresh token after."""
    server = TokenServer()
    async with scripted_backend(server) as backend:
        async with rig(tmp_path / "d", backend) as one:
            await one.token()
        async with rig(tmp_path / "d", backend) as one:
            assert await one.token() == "at-1"
            one.now += 4000
            assert await one.token() == "at-2"
    assert server.shown_twice == []
    assert b"rt-" not in database_path(tmp_path / "d").read_bytes()


async def test_what_was_given_is_stored_before_it_is_used(tmp_path: Path) -> None:
    """While the disk takes nothing the credential rests; nothing is spent for that, or again."""
    server = TokenServer()
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        one.store.full = True
        with pytest.raises(Unavailable):
            await one.token()
        assert server.asked == []
        one.store.full = False
        one.pool.reset("up")

        def full_now(seen: object) -> Play:
            one.store.full = True
            return server(seen)  # type: ignore[arg-type]

        backend._script = full_now
        with pytest.raises(Unavailable):
            await one.token()
        assert one.state[0] == "cooling"
        assert "cannot be stored" in one.state[1]
        one.store.full = False
        one.pool.reset("up")
        assert await one.token() == "at-1"
    assert server.asked == ["rt-0"]


async def test_a_refused_refresh_token_makes_the_credential_invalid(tmp_path: Path) -> None:
    """With the reason; others serve, and alone it is told what to do."""
    server = TokenServer(first="another")
    async with scripted_backend(server) as backend:
        async with rig(tmp_path / "d", backend, [SEED, KEY]) as one:
            assert {await one.token() for _ in range(3)} == {"sk-plain"}
            assert one.state[0] == "invalid"
            assert "invalid_grant" in one.state[1]
        async with rig(tmp_path / "d", backend) as alone:
            with pytest.raises(NoCredentials):
                await alone.token()
    assert server.asked == ["rt-0", "rt-0"]


async def test_trouble_of_the_token_server_is_a_cool_down(tmp_path: Path) -> None:
    """The refresh token was not spent, so it is shown again when the rest is over."""
    server = TokenServer()
    server.plays = [json_play({"error": "slow_down"}, 503, **{"Retry-After": "7"})]
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        with pytest.raises(Unavailable) as caught:
            async with one.lease(wait=2):
                pass
        assert caught.value.retry_after == 7
        assert one.state[0] == "cooling"
        one.pool.reset("up")
        assert await one.token() == "at-1"


async def test_a_server_that_cannot_be_reached_is_a_cool_down(tmp_path: Path) -> None:
    """Nothing was sent, so nothing is spent."""
    server = TokenServer()
    async with scripted_backend(server) as backend:
        async with rig(tmp_path / "d", backend, url="http://127.0.0.1:9/token") as one:
            for _ in range(2):  # then it rests, which is the same trouble
                with pytest.raises(Unavailable) as caught:
                    await one.token()
                assert "token_url" in caught.value.text
                assert "cannot be reached" in caught.value.text
            assert one.state[0] == "cooling"
        async with rig(tmp_path / "d", backend) as one:
            assert await one.token() == "at-1"


async def test_one_that_was_shown_and_never_answered_for_is_not_shown_again(tmp_path: Path) -> None:
    """Only a person who knows may have it tried once more."""
    server = TokenServer()
    server.spent_in_vain = True
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        for _ in range(2):
            with pytest.raises(NoCredentials):
                await one.token()
        assert one.state[0] == "invalid"
        assert "not known" in one.state[1]
        assert server.asked == ["rt-0"]
        one.pool.reset("up", "a")
        with pytest.raises(NoCredentials):
            await one.token()
        assert server.asked == ["rt-0", "rt-0"]
        assert "invalid_grant" in one.state[1]


async def test_a_kill_in_the_middle_of_a_renewal_spends_nothing_twice(tmp_path: Path) -> None:
    """What the disk has then is that it was begun; a start after it asks nobody."""
    server = TokenServer()
    async with scripted_backend(server) as backend:
        async with rig(tmp_path / "d", backend) as one:
            begun = Renewal(Secret("rt-0"), spending="begun")
            await one.store.save("up", "a", begun)
        async with rig(tmp_path / "d", backend) as one:
            with pytest.raises(NoCredentials):
                await one.token()
            assert server.asked == []
            one.pool.reset("up", "a")
            assert await one.token() == "at-1"


async def test_a_token_that_is_still_good_is_used_while_its_server_is_not(tmp_path: Path) -> None:
    """Renewing it is tried again now and then, and only its end ends it."""
    server = TokenServer()
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        await one.token()
        one.now += 3600 - MARGIN
        server.plays = [json_play({}, 503)] * 2
        assert [await one.token() for _ in range(3)] == ["at-1"] * 3
        assert len(server.asked) == 2
        one.now += PAUSE
        assert await one.token() == "at-1"
        assert len(server.asked) == 3
        one.now += PAUSE
        assert await one.token() == "at-2"
        server.good = set()
        one.now += 3600 - 1
        assert [await one.token() for _ in range(3)] == ["at-2"] * 3
        assert len(server.asked) == 5
        one.now += 1
        with pytest.raises(NoCredentials):
            await one.token()
    assert server.shown_twice == ["rt-1", "rt-2"]


async def test_a_token_the_upstream_refuses_is_renewed_once_for_all(tmp_path: Path) -> None:
    """Whoever was refused asks again with the new one; those who come late spoil nothing."""
    server = TokenServer(lives=None)
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        await one.token()
        async with one.lease() as early, one.lease() as late:
            early.fault(REFUSED)
            assert await one.token() == "at-2"
            late.fault(REFUSED)
        assert await one.token() == "at-2"
        assert one.state == ("ready", "")
    assert server.asked == ["rt-0", "rt-1"]


async def test_a_new_token_that_is_refused_is_the_credentials_fault(tmp_path: Path) -> None:
    """Renewing it again and again would help nobody."""
    server = TokenServer()
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        assert await one.refused() == "at-1"
        with pytest.raises(NoCredentials):
            await one.token()
        assert one.state == ("invalid", "key refused")
    assert server.asked == ["rt-0"]


async def test_a_stored_token_that_is_refused_is_renewed(tmp_path: Path) -> None:
    """After a restart nobody knows how it fared."""
    server = TokenServer()
    async with scripted_backend(server) as backend:
        async with rig(tmp_path / "d", backend) as one:
            await one.token()
        async with rig(tmp_path / "d", backend) as one:
            assert await one.refused() == "at-1"
            assert await one.token() == "at-2"


async def test_other_faults_are_the_pools_to_bear(tmp_path: Path) -> None:
    """Only what is about the token itself is about its renewal."""
    server = TokenServer()
    cool = UpstreamFault(error=RateLimited("x", retry_after=5), reason="rate limited")
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend) as one:
        async with one.lease() as lease:
            lease.fault(
                UpstreamFault(
                    error=cool.error, reason="rate limited", credential="cool", cool_for=5
                )
            )
        assert one.state[0] == "cooling"
    assert server.asked == ["rt-0"]


async def test_a_credential_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """What is known of it in memory goes with it; given again, it goes on from the disk."""
    server = TokenServer()
    async with scripted_backend(server) as backend, rig(tmp_path / "d", backend, [SEED, KEY]) as on:
        while await on.token() != "at-1":
            pass
        chain = on.renewer.chain("up", "a", Secret("rt-0"))
        on.renewer.forget_unless(on.pool.has)
        assert on.renewer.chain("up", "a", Secret("rt-0")) is chain
        on.pool.replace("up", [KEY])
        on.renewer.forget_unless(on.pool.has)
        assert on.renewer.chain("up", "a", Secret("rt-0")) is not chain
        on.pool.replace("up", [SEED])
        assert await on.token() == "at-1"
    assert server.asked == ["rt-0"]
