"""What the pool learned, kept beside the request path."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from chatgpt_to_api.pool.contract import Kept
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import StoreUnavailable
from chatgpt_to_api.store.states import CredentialStates, StateWriter


def kept(credential: str, reason: str = "429") -> Kept:
    return Kept(
        upstream="c", credential=credential, state="cooling", reason=reason, model="m", until=5.0
    )


async def reasons(states: CredentialStates) -> dict[str, str]:
    return {one.credential: one.reason for one in await states.load()}


async def test_the_last_word_on_each_credential_is_kept(store: Store) -> None:
    """Several states per credential come back whole; nothing to keep forgets it."""
    states = CredentialStates(store)
    await states.save({("c", "a"): [kept("a"), kept("a", "403")], ("c", "b"): [kept("b")]})
    assert sorted(one.reason for one in await states.load()) == ["403", "429", "429"]
    await states.save({("c", "a"): [], ("c", "b"): [kept("b", "401")]})
    assert await states.load() == [kept("b", "401")]


async def test_changes_are_written_in_the_background(store: Store) -> None:
    """What is submitted reaches the disk by itself, the newest of each credential only."""
    states = CredentialStates(store)
    writer = StateWriter(states)
    writer.start()
    for n in range(1000):
        writer.submit("c", "a", [kept("a", str(n))])
    writer.submit("c", "b", [kept("b")])
    async with asyncio.timeout(10):
        while len(await states.load()) < 2:
            await asyncio.to_thread(lambda: None)
    assert await reasons(states) == {"a": "999", "b": "429"}
    await writer.close()


async def test_closing_writes_what_waits(store: Store) -> None:
    """A stop loses nothing, whether or not the writer was running; a second close is harmless."""
    states = CredentialStates(store)
    writer = StateWriter(states)
    writer.start()
    writer.submit("c", "a", [kept("a")])
    await writer.close()
    writer.submit("c", "b", [kept("b")])
    await writer.close()
    assert set(await reasons(states)) == {"a", "b"}


async def test_what_could_not_be_written_is_not_lost(data_dir: Path, store: Store) -> None:
    """After a failed write the batch waits on, newer changes win, and the next write has all."""
    states = CredentialStates(store)
    writer = StateWriter(states)
    await store.write(lambda c: c.execute(text("PRAGMA busy_timeout = 1")).close())
    other = sqlite3.connect(database_path(data_dir))
    other.execute("BEGIN IMMEDIATE")
    writer.submit("c", "a", [kept("a", "old")])
    writer.submit("c", "b", [kept("b")])
    with pytest.raises(StoreUnavailable):
        await writer.flush()
    writer.submit("c", "a", [kept("a", "new")])
    other.rollback()
    other.close()
    await writer.flush()
    assert await reasons(states) == {"a": "new", "b": "429"}


async def test_a_state_in_another_form_is_left_out(store: Store) -> None:
    """What another release wrote differently does not stop the start."""
    states = CredentialStates(store)
    await states.save({("c", "a"): [kept("a")], ("c", "b"): [kept("b")]})
    await store.write(
        lambda c: c.exec_driver_sql(
            "UPDATE credential_states SET state = '[{\"x\":1}]' WHERE credential = 'a'"
        ).close()
    )
    assert set(await reasons(states)) == {"b"}
