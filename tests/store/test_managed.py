"""Upstreams and routes in the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.store.credentials import Credentials
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import WrongKey
from chatgpt_to_api.store.managed import ManagedEntries, StoredEntry, StoredManaged
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.wire.secret import Access, Secret

SECRET = "planted-header-secret"


def entry(key: str, **table: object) -> StoredEntry:
    return StoredEntry(key, table, 1700000000.5)


MANAGED = StoredManaged(
    3,
    (entry("z", kind="openai"), entry("a", kind="openai", headers={"x": SECRET})),
    (entry("2", model="m", candidates=[{"upstream": "z"}]), entry("1", model="ä*")),
)


async def test_what_is_saved_is_loaded_in_its_order(store: Store) -> None:
    """Another saving replaces all of it; a new store holds nothing."""
    entries = ManagedEntries(store)
    assert await entries.load() == StoredManaged()
    await entries.save(MANAGED)
    assert await entries.load() == MANAGED
    other = StoredManaged(4, (MANAGED.upstreams[1],), ())
    await entries.save(other)
    assert await entries.load() == other


async def test_nothing_of_it_is_readable_in_the_file(store: Store, data_dir: Path) -> None:
    """Headers and proxies hold secrets; addresses and models are nobody's business either."""
    await ManagedEntries(store).save(MANAGED)
    await store.close()
    kept = b"".join(file.read_bytes() for file in data_dir.iterdir())
    assert SECRET.encode() not in kept and b"candidates" not in kept


async def test_a_sealed_entry_opens_only_in_its_own_row(store: Store, data_dir: Path) -> None:
    """Another upstream's headers cannot be had by moving rows about in the database."""
    await ManagedEntries(store).save(MANAGED)
    with sqlite3.connect(database_path(data_dir)) as connection:
        connection.execute(
            "UPDATE managed_upstreams SET sealed = "
            "(SELECT sealed FROM managed_upstreams WHERE name = 'a') WHERE name = 'z'"
        )
    with pytest.raises(WrongKey, match=r"managed_upstreams\.sealed:z"):
        await ManagedEntries(store).load()


async def test_of_an_upstream_that_goes_nothing_stays(store: Store) -> None:
    """Its credentials and PUID go in the same transaction; those of others stay."""
    credentials = Credentials(store)
    for name in ("a", "z"):
        await credentials.add(name, [TokenEntry(Access(Secret(f"key-of-{name}")))])
        await StoredSettings(store).put(f"puid:{name}", "x")
    await ManagedEntries(store).save(StoredManaged(1, (MANAGED.upstreams[0],)), gone=["a"])
    assert await credentials.of("a") == []
    assert len(await credentials.of("z")) == 1
    assert await StoredSettings(store).get("puid:a") is None
    assert await StoredSettings(store).get("puid:z") == "x"
