"""The database: one SQLite file in the data folder, reached through SQLAlchemy Core.

A query is a plain function of a connection, run whole on a thread of the store's own: one thread
writes, another reads beside it (WAL). So a transaction has no ``await`` inside, and a caller that
is cancelled leaves it either done or not begun. Against the async engine on aiosqlite this also
saves the ORM's import (7 MB, 0.13 s of every start) and one thread hop per statement.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from chatgpt_to_api.store.errors import SchemaTooNew, StoreError, StoreUnavailable
from chatgpt_to_api.store.migrations import HEAD, REVISIONS
from chatgpt_to_api.store.private_files import make_private_folder
from chatgpt_to_api.store.secrets import Cipher
from chatgpt_to_api.store.tables import alembic_version, metadata

T = TypeVar("T")

DATABASE_NAME: Final = "chatgpt-to-api.db"
BUSY_TIMEOUT: Final = 5.0
"""Longest wait for a lock another program holds on the database, seconds."""


def database_path(data_dir: Path) -> Path:
    """Where the database of a data folder is."""
    return data_dir / DATABASE_NAME


class Store:
    """An open database at the newest schema, and the cipher for what is sealed in it."""

    def __init__(self, writer: Engine, reader: Engine, cipher: Cipher) -> None:
        self.cipher = cipher
        self._writer = writer
        self._reader = reader
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-read")

    @classmethod
    async def open(cls, data_dir: Path, cipher: Cipher) -> Self:
        """Open the database of ``data_dir``, made or brought to the newest schema if need be.

        Raises SchemaTooNew for a database of a newer release, StoreError for one that cannot be
        opened. Whether ``cipher`` is the right one is for ``StoredSettings.check_key`` to say.
        """
        path = database_path(data_dir)
        try:
            make_private_folder(data_dir)
            # Made here so that the file is its owner's alone; its -wal and -shm take after it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}.") from error
        url = URL.create("sqlite+pysqlite", database=str(path))
        store = cls(_engine(url, begin="BEGIN IMMEDIATE"), _engine(url, begin="BEGIN"), cipher)
        try:
            await store.write(lambda connection: _bring_to_head(connection, path))
        except StoreUnavailable as error:
            await store.close()
            raise StoreError(f"{path} cannot be used: {error.message}") from error
        except BaseException:
            await store.close()
            raise
        return store

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run ``change`` in one transaction; when this returns it is on the disk.

        All of it is done or, where ``change`` raises, nothing. Raises StoreUnavailable if the
        database cannot take it.
        """
        return await self._run(self._writing, self._writer, change)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run ``query`` on one consistent view of the database, beside any writer.

        Raises StoreUnavailable if the database cannot answer.
        """
        return await self._run(self._reading, self._reader, query)

    async def close(self) -> None:
        """Wait for what is running and close; a second call does nothing."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    async def _run(
        self, thread: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, _transact, engine, work)


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except IntegrityError:
        raise  # a broken rule of the schema is a bug or a clash, not the database's trouble
    except DBAPIError as error:
        # The driver's own words; SQLAlchemy's would add the statement.
        raise StoreUnavailable(f"The database said: {error.orig}.") from error


def _engine(url: URL, *, begin: str) -> Engine:
    # One thread uses it, so one connection; parameters stay out of errors and logs.
    engine = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, and DDL is part of them
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT * 1000:.0f}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit survives a power cut, not only a kill
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _bring_to_head(connection: Connection, path: Path) -> None:
    tables = inspect(connection).get_table_names()
    if not tables:
        metadata.create_all(connection)
        connection.execute(insert(alembic_version).values(version_num=HEAD))
        return
    if alembic_version.name not in tables:
        raise StoreError(f"{path} is a database of another program; move it away.")
    found = connection.execute(select(alembic_version.c.version_num)).scalar_one()
    if found == HEAD:
        return
    if found not in REVISIONS:
        raise SchemaTooNew(path, found, HEAD)
    # Alembic costs 0.2 s and 12 MB: only where there is something to move.
    from chatgpt_to_api.store.migrations.upgrade import upgrade

    upgrade(connection)
