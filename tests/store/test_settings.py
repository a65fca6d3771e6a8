"""Named values, plain and sealed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.wire.secret import Secret


async def test_values_are_kept_replaced_and_forgotten(store: Store) -> None:
    """What was put is what is got, until it is replaced or removed."""
    settings = StoredSettings(store)
    assert await settings.get("a") is None
    await settings.put("a", "eins")
    await settings.put("a", "zwei")
    await settings.put_secret("b", Secret("geheim"))
    assert await settings.get("a") == "zwei"
    assert await settings.get_secret("b") == Secret("geheim")
    assert await settings.get_secret("c") is None
    await settings.remove("a")
    await settings.remove("a")
    assert await settings.get("a") is None


async def test_no_secret_is_on_the_disk(data_dir: Path, store: Store) -> None:
    """A sealed setting is nowhere in the files of the database."""
    await StoredSettings(store).put_secret("b", Secret("planted-secret-text"))
    await store.close()
    with sqlite3.connect(database_path(data_dir)) as connection:
        assert connection.execute("SELECT count(*) FROM settings").fetchone() == (1,)
    for file in data_dir.iterdir():
        assert b"planted-secret" not in file.read_bytes()
