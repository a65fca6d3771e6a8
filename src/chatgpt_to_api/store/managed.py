"""Upstreams and routes given at run time, in their order, sealed.

They are few and are written whole: what a change leaves behind is what was sent, never a mixture.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select

from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.renewals import forget_renewals
from chatgpt_to_api.store.settings import read_setting, write_setting
from chatgpt_to_api.store.tables import (
    credential_states,
    credentials,
    managed_routes,
    managed_upstreams,
    settings,
)

_VERSION: Final = "managed_version"


class StoredEntry(msgspec.Struct, frozen=True):
    """One of them: its name or id, its fields as JSON has them, and when it changed (Unix time)."""

    key: str
    table: Mapping[str, Any]
    changed: float


class StoredManaged(msgspec.Struct, frozen=True):
    """All of them. ``version`` counts the changes so far."""

    version: int = 0
    upstreams: tuple[StoredEntry, ...] = ()
    routes: tuple[StoredEntry, ...] = ()


class ManagedEntries:
    """Reads and writes them; a change is one transaction, on the disk when it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> StoredManaged:
        """Return all of them. Raises WrongKey if one does not open."""

        def query(connection: Connection) -> StoredManaged:
            version = read_setting(connection, _VERSION)
            return StoredManaged(
                int(version or 0),
                self._read(connection, managed_upstreams),
                self._read(connection, managed_routes),
            )

        return await self._store.read(query)

    async def save(self, managed: StoredManaged, *, gone: Collection[str] = ()) -> None:
        """Make these all there are; of the upstreams that are ``gone`` nothing else stays either:
        no credential, no state, no PUID.
        """

        def change(connection: Connection) -> None:
            self._write(connection, managed_upstreams, managed.upstreams)
            self._write(connection, managed_routes, managed.routes)
            write_setting(connection, _VERSION, str(managed.version).encode())
            for name in gone:
                for table in (credentials, credential_states):
                    connection.execute(delete(table).where(table.c.upstream == name))
                connection.execute(delete(settings).where(settings.c.name == f"puid:{name}"))
                forget_renewals(connection, name)

        await self._store.write(change)

    def _read(self, connection: Connection, table: Table) -> tuple[StoredEntry, ...]:
        key = table.primary_key.columns[0]
        found = connection.execute(
            select(key, table.c.sealed, table.c.changed).order_by(table.c.position)
        )
        return tuple(
            StoredEntry(
                name,
                msgspec.json.decode(self._store.cipher.unseal(sealed, _place(table, name))),
                at,
            )
            for name, sealed, at in found
        )

    def _write(self, connection: Connection, table: Table, entries: Sequence[StoredEntry]) -> None:
        connection.execute(delete(table))
        if entries:
            key = table.primary_key.columns[0].name
            rows = [
                {
                    key: entry.key,
                    "position": position,
                    "changed": entry.changed,
                    "sealed": self._store.cipher.seal(
                        msgspec.json.encode(entry.table).decode(), _place(table, entry.key)
                    ),
                }
                for position, entry in enumerate(entries)
            ]
            connection.execute(insert(table), rows)


def _place(table: Table, key: str) -> str:
    return f"{table.name}.sealed:{key}"
