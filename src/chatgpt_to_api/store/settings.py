"""Small values that outlive the process, by name; secret ones are sealed."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select

from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import WrongKey
from chatgpt_to_api.store.tables import settings as settings_table
from chatgpt_to_api.wire.secret import Secret

_KEY_CHECK: Final = "key_check"


class StoredSettings:
    """Reads and writes the values. Names are the program's own, never a caller's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check_key(self) -> None:
        """Make sure the store's cipher is the one this database was made with.

        The first call on a new database fixes the key. Raises WrongKey, naming its source.
        """
        cipher = self._store.cipher
        sealed = await self._store.read(lambda connection: read_setting(connection, _KEY_CHECK))
        if sealed is None:
            await self._put(_KEY_CHECK, cipher.seal(_KEY_CHECK, _place(_KEY_CHECK)))
            return
        try:
            cipher.unseal(sealed, _place(_KEY_CHECK))
        except WrongKey:
            raise WrongKey(
                f"The key from {cipher.source} is not the one the stored secrets were sealed "
                "with. Put the former SECRET_KEY or secret.key back, or move the database away "
                "to start anew."
            ) from None

    async def get(self, name: str) -> str | None:
        """Return the plain value under ``name``, or None."""
        value = await self._store.read(lambda connection: read_setting(connection, name))
        return None if value is None else value.decode()

    async def put(self, name: str, value: str) -> None:
        """Keep a plain value."""
        await self._put(name, value.encode())

    async def get_secret(self, name: str) -> Secret | None:
        """Return the sealed value under ``name``, or None. Raises WrongKey if it does not open."""
        sealed = await self._store.read(lambda connection: read_setting(connection, name))
        if sealed is None:
            return None
        return Secret(self._store.cipher.unseal(sealed, _place(name)))

    async def put_secret(self, name: str, value: Secret) -> None:
        """Keep a value sealed."""
        await self._put(name, self._store.cipher.seal(value.reveal(), _place(name)))

    async def remove(self, name: str) -> None:
        """Forget what is under ``name``, if anything."""
        statement = delete(settings_table).where(settings_table.c.name == name)
        await self._store.write(lambda connection: connection.execute(statement).close())

    async def _put(self, name: str, value: bytes) -> None:
        await self._store.write(lambda connection: write_setting(connection, name, value))


def read_setting(connection: Connection, name: str) -> bytes | None:
    """Read a plain value inside a larger transaction."""
    statement = select(settings_table.c.value).where(settings_table.c.name == name)
    return connection.execute(statement).scalar()


def write_setting(connection: Connection, name: str, value: bytes) -> None:
    """Write a plain value inside a larger transaction."""
    connection.execute(delete(settings_table).where(settings_table.c.name == name))
    connection.execute(insert(settings_table).values(name=name, value=value))


def _place(name: str) -> str:
    return f"settings.value:{name}"
