"""Hiding conversations: once, with their own credential; tried again, and in the end given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.gateway import hiding
from chatgpt_to_api.gateway.continuing import Conversation
from chatgpt_to_api.gateway.hiding import TRIES, Hider
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream, ContinuingRules
from chatgpt_to_api.pool.pool import CredentialSpec, LeaseAsk, Pool, PoolRules
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.wire.secret import Access, Secret
from support.scripted_backend import Play, Script, ScriptedBackend, json_play, scripted_backend

DONE = json_play({"success": True})
FAILED = json_play({"detail": "no"}, 500)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(hiding, "PAUSE", 0.001)


class Rig:
    """A hider, the pool it takes credentials from, and the backend it calls."""

    def __init__(self, backend: ScriptedBackend, client: HttpClient, pool: Pool) -> None:
        self.backend = backend
        self.pool = pool
        self.hider = Hider(asyncio.get_running_loop(), pool, client, LimitSettings())
        codec = ConversationUpstream(backend.url("/c"), ConversationOptions(history=True))
        rules = ContinuingRules(keep=1, go_on=False, hide="after_use", hiding=codec.hiding)
        self.upstream = ConfiguredUpstream(
            name="up", kind="conversation", codec=codec, continuing=rules
        )

    def submit(self, id: str, credential: str = "a") -> None:
        self.hider.submit(self.upstream, Conversation(credential, id))

    async def done(self) -> list[str]:
        """Wait until nothing is left to do; the ids in the order they were asked for."""
        task = self.hider._task
        if task is not None:
            await asyncio.wait_for(asyncio.shield(task), 20)
        return [seen.path.rpartition("/")[2] for seen in self.backend.seen]


@contextlib.asynccontextmanager
async def rig(script: Script | Sequence[Play]) -> AsyncIterator[Rig]:
    loop = asyncio.get_running_loop()
    pool = Pool(loop)
    pool.configure("up", PoolRules())
    pool.replace("up", [CredentialSpec(id, Access(Secret(f"token-{id}"))) for id in "ab"])
    client = HttpClient(loop)
    async with scripted_backend(script) as backend:
        running = Rig(backend, client, pool)
        try:
            yield running
        finally:
            await running.hider.close()
            await client.close()


async def test_each_is_hidden_once_by_its_own_credential() -> None:
    """One after another, and the leases are back."""
    async with rig([DONE]) as one:
        one.submit("1", "a")
        one.submit("2", "b")
        one.submit("3", "a")
        assert await one.done() == ["1", "2", "3"]
        assert one.backend.tokens == ["token-a", "token-b", "token-a"]
        assert one.backend.most_running == 1
        assert one.pool.in_flight == 0
        one.submit("4")
        assert (await one.done())[-1] == "4"


async def test_what_fails_is_tried_again_and_given_up_in_the_end() -> None:
    """The others do not wait for it; one that is gone already is done."""
    plays = {"bad": FAILED, "gone": json_play({}, 404)}
    async with rig(lambda seen: plays.get(seen.path.rpartition("/")[2], DONE)) as one:
        for id in ("bad", "1", "gone", "2"):
            one.submit(id)
        asked = await one.done()
        assert asked[:4] == ["bad", "1", "gone", "2"]
        assert asked[4:] == ["bad"] * (TRIES - 1)
        assert one.pool.view("up").open  # the backend's words about this are held against nobody
        assert one.pool.view("up").ready == 2


async def test_a_connection_that_breaks_is_tried_again_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody listens: it is given up after as many tries."""
    tried = 0

    async with rig([DONE]) as one:
        send = one.hider._client.send

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal tried
            tried += 1
            return await send(*args, **more)

        monkeypatch.setattr(one.hider._client, "send", counted)
        codec = ConversationUpstream("http://127.0.0.1:9/c", ConversationOptions(history=True))
        rules = ContinuingRules(keep=1, go_on=False, hide="after_use", hiding=codec.hiding)
        one.upstream = ConfiguredUpstream(
            name="up", kind="conversation", codec=codec, continuing=rules
        )
        one.submit("1")
        assert await one.done() == []
        assert tried == TRIES
        assert one.pool.view("up").ready == 2


async def test_a_busy_credential_is_waited_for_and_a_gone_one_is_not() -> None:
    """A conversation whose credential was taken away stays as it is."""
    async with rig([DONE]) as one:
        one.submit("never", "gone")
        loop = asyncio.get_running_loop()
        async with one.pool.lease(LeaseAsk(upstream="up", model="m", deadline=loop.time() + 9)):
            one.submit("1", "a")
            one.submit("2", "b")
            await one.backend.until(lambda: bool(one.backend.seen))
            assert [seen.path for seen in one.backend.seen] == ["/c/2"]
            assert one.hider._task is not None
        assert await one.done() == ["2", "1"]


async def test_it_makes_way_for_who_waits_and_comes_back() -> None:
    """The running call is given up; the request gets the credential, and hiding goes on after."""
    never = asyncio.Event()
    plays = [Play(gate=never), DONE]
    async with rig(lambda seen: plays.pop(0) if len(plays) > 1 else plays[0]) as one:
        one.pool.disable("up", "b")
        one.submit("1", "a")
        await one.backend.until(lambda: len(one.backend.seen) == 1)
        loop = asyncio.get_running_loop()
        ask = LeaseAsk(upstream="up", model="m", deadline=loop.time() + 5)
        async with one.pool.lease(ask) as lease:
            assert lease.credential.id == "a"
        assert await one.done() == ["1", "1"]


async def test_a_stop_ends_it_at_once() -> None:
    """Also in the middle of a call; the lease is back."""
    async with rig([Play(gate=asyncio.Event())]) as one:
        one.submit("1")
        await one.backend.until(lambda: len(one.backend.seen) == 1)
        await asyncio.wait_for(one.hider.close(), 5)
        assert one.pool.in_flight == 0


async def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many the oldest stays visible."""
    monkeypatch.setattr(hiding, "MOST", 2)
    async with rig([DONE]) as one:
        for number in range(4):
            one.submit(str(number))
        assert len(one.hider) == 2
        assert await one.done() == ["2", "3"]
