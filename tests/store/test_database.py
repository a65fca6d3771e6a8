"""The database file: made, moved, refused, shared between a reader and a writer."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError

import chatgpt_to_api.store.migrations as migrations
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import SchemaTooNew, StoreError, StoreUnavailable
from chatgpt_to_api.store.migrations import HEAD, REVISIONS
from chatgpt_to_api.store.migrations.upgrade import upgrade
from chatgpt_to_api.store.private_files import readable_by_others
from chatgpt_to_api.store.secrets import Cipher
from chatgpt_to_api.store.tables import settings

CIPHER = Cipher(bytes(32), "a test")


def schema(path: Path) -> dict[str, str]:
    """Every table and index as SQL, with spaces made equal."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: re.sub(r"\s+", "", sql) for name, sql in rows}


def migrate_from_empty(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()


def stored_names(connection: Connection) -> list[str]:
    return list(connection.execute(select(settings.c.name).order_by(settings.c.name)).scalars())


def add_name(name: str) -> Callable[[Connection], None]:
    return lambda c: c.execute(insert(settings).values(name=name, value=b"")).close()


async def test_a_new_database_equals_a_migrated_one(tmp_path: Path) -> None:
    """What is made from the table definitions is what the migrations make from nothing."""
    store = await Store.open(tmp_path / "new", CIPHER)
    await store.close()
    migrated = tmp_path / "migrated.db"
    migrate_from_empty(migrated)
    assert schema(database_path(tmp_path / "new")) == schema(migrated)
    assert "settings" in schema(migrated)


def test_the_list_of_revisions_is_alembics() -> None:
    """The constant that saves importing Alembic names every migration file, in order."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    walked = [step.revision for step in script.walk_revisions()][::-1]
    assert tuple(walked) == REVISIONS
    assert script.get_current_head() == HEAD


async def test_an_older_database_is_moved_and_keeps_its_rows(data_dir: Path) -> None:
    """A database at the first revision comes to the newest, data kept."""
    data_dir.mkdir()
    path = database_path(data_dir)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, REVISIONS[0])
        connection.execute(insert(settings).values(name="kept", value=b"1"))
    engine.dispose()
    store = await Store.open(data_dir, CIPHER)
    assert await store.read(stored_names) == ["kept"]
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


async def test_a_newer_database_is_refused_and_left_alone(data_dir: Path) -> None:
    """A schema from the future stops the start with both revisions named; nothing changes."""
    await (await Store.open(data_dir, CIPHER)).close()
    path = database_path(data_dir)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = schema(path)
    with pytest.raises(SchemaTooNew, match=rf"9999.*{HEAD}.*newer release"):
        await Store.open(data_dir, CIPHER)
    assert schema(path) == before


async def test_a_database_of_another_program_is_refused(data_dir: Path) -> None:
    """Tables we did not make are not built upon."""
    data_dir.mkdir()
    with sqlite3.connect(database_path(data_dir)) as connection:
        connection.execute("CREATE TABLE settings (a)")
    with pytest.raises(StoreError, match="another program"):
        await Store.open(data_dir, CIPHER)


async def test_a_file_that_is_no_database_is_refused_by_name(data_dir: Path) -> None:
    """Garbage in place of the database gives one line that names the file."""
    data_dir.mkdir()
    database_path(data_dir).write_bytes(b"not a database at all, just text" * 100)
    with pytest.raises(StoreError, match=r"chatgpt-to-api\.db cannot be used: .*not a database"):
        await Store.open(data_dir, CIPHER)


async def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    """A data folder below a plain file is a clear error, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/data"):
        await Store.open(tmp_path / "file" / "data", CIPHER)


async def test_only_the_owner_may_read_the_database(data_dir: Path, store: Store) -> None:
    """The folder and every file the database makes are closed to other accounts."""
    await store.write(add_name("a"))
    files = [data_dir, *data_dir.glob("*.db*")]
    assert len(files) == 4
    assert not any(readable_by_others(file) for file in files)


async def test_a_failed_change_leaves_nothing(store: Store) -> None:
    """A transaction that breaks in the middle is undone whole."""

    def half(connection: Connection) -> None:
        add_name("half")(connection)
        add_name("half")(connection)

    with pytest.raises(IntegrityError):
        await store.write(half)
    assert await store.read(stored_names) == []


async def test_a_reader_is_not_held_up_by_a_writer(store: Store) -> None:
    """While one transaction writes, a read answers with the state before it."""
    inside, done = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        add_name("slow")(connection)
        inside.set()
        assert done.wait(10)

    writing = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(inside.wait, 10)
    assert await store.read(stored_names) == []
    done.set()
    await writing
    assert await store.read(stored_names) == ["slow"]


async def test_a_cancelled_caller_does_not_cut_a_transaction(store: Store) -> None:
    """Once begun a change is done whole, though nobody waits for it any more."""
    inside, done = threading.Event(), threading.Event()

    def pair(connection: Connection) -> None:
        add_name("one")(connection)
        inside.set()
        assert done.wait(10)
        add_name("two")(connection)

    writing = asyncio.create_task(store.write(pair))
    await asyncio.to_thread(inside.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    done.set()
    await store.write(lambda _connection: None)
    assert await store.read(stored_names) == ["one", "two"]


async def test_many_writers_lose_nothing(store: Store) -> None:
    """Two hundred changes asked for at once are all there afterwards."""
    await asyncio.gather(*(store.write(add_name(f"{n:03}")) for n in range(200)))
    assert await store.read(stored_names) == [f"{n:03}" for n in range(200)]


async def test_a_database_locked_by_others_is_a_503_without_the_statement(
    data_dir: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that cannot be done is told as the service's trouble, in the driver's words only."""
    await store.write(lambda c: c.execute(text("PRAGMA busy_timeout = 1")).close())
    other = sqlite3.connect(database_path(data_dir))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked") as caught:
        await store.write(add_name("secret-name"))
    other.rollback()
    other.close()
    assert caught.value.status == 503
    assert "secret-name" not in str(caught.value) and "INSERT" not in str(caught.value)
    await store.write(add_name("again"))
    assert await store.read(stored_names) == ["again"]


def test_opening_at_head_does_not_import_alembic_or_the_orm(tmp_path: Path) -> None:
    """Start-up pays neither for migrations nor for an ORM nobody uses, new folder or old."""
    code = """
import asyncio, sys, pathlib
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.secrets import Cipher
async def main():
    for _ in range(2):
        await (await Store.open(pathlib.Path(sys.argv[1]), Cipher(bytes(32), "test"))).close()
asyncio.run(main())
print(sorted({name.split(".")[0] for name in sys.modules} & {"alembic", "mako", "greenlet"}),
      "sqlalchemy.orm" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[0] == "[] False"
