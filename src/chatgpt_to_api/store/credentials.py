"""The access tokens of upstreams, in their order, sealed.

Everything about a credential but its id and position stands in one sealed value: a label is an
e-mail address, and a stolen database should not tell it either.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.secrets import Cipher
from chatgpt_to_api.store.settings import write_setting
from chatgpt_to_api.store.tables import credential_states, credentials
from chatgpt_to_api.wire.jwt import read_claims
from chatgpt_to_api.wire.secret import Access, Secret


class StoredCredential(msgspec.Struct, frozen=True):
    """One credential of an upstream. ``added`` and ``expires`` are Unix times.

    ``label`` is the name it was given, else the token's e-mail address, else the masked token.
    """

    upstream: str
    id: str
    access: Access
    label: str
    added: float
    expires: float | None


class Change(msgspec.Struct, frozen=True):
    """What a change did: how many credentials there are now, and how many came and went."""

    total: int
    added: int = 0
    removed: int = 0


class _Sealed(msgspec.Struct, omit_defaults=True):
    token: str
    label: str
    puid: str | None = None
    account: str | None = None
    expires: float | None = None


def credential_id(access: Access) -> str:
    """Name a credential by its token and account: the same one keeps its id, whoever sends it."""
    token = access.token.fingerprint if access.token is not None else ""
    if access.account is None:
        return token[:16]
    return hashlib.sha256(f"{token} {access.account}".encode()).hexdigest()[:16]


class Credentials:
    """Reads and changes them; every change is one transaction, on the disk when it returns."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def replace(
        self,
        upstream: str,
        entries: Sequence[TokenEntry],
        *,
        settings: Mapping[str, str] | None = None,
    ) -> Change:
        """Make ``entries`` the whole set of ``upstream``, in their order.

        ``settings`` are plain settings to be kept in the same transaction.
        """
        now = self._now()

        def change(connection: Connection) -> Change:
            mine = credentials.c.upstream == upstream
            found = connection.execute(select(credentials.c.id, credentials.c.added).where(mine))
            added: dict[str, float] = dict(found.all())
            rows = _rows(self._store.cipher, upstream, entries, added, now)
            connection.execute(delete(credentials).where(mine))
            if rows:
                connection.execute(insert(credentials), rows)
            _forget_states(connection, upstream)
            for name, value in (settings or {}).items():
                write_setting(connection, name, value.encode())
            kept = sum(row["id"] in added for row in rows)
            return Change(len(rows), len(rows) - kept, len(added) - kept)

        return await self._store.write(change)

    async def add(self, upstream: str, entries: Sequence[TokenEntry]) -> Change:
        """Put ``entries`` behind the others; one that stands takes the new PUID and label."""
        now = self._now()

        def change(connection: Connection) -> Change:
            mine = credentials.c.upstream == upstream
            standing = set(connection.execute(select(credentials.c.id).where(mine)).scalars())
            last = connection.execute(select(func.max(credentials.c.position)).where(mine)).scalar()
            rows = _rows(self._store.cipher, upstream, entries, {}, now)
            new = [row for row in rows if row["id"] not in standing]
            for offset, row in enumerate(new, 1):
                row["position"] = (-1 if last is None else last) + offset
            if new:
                connection.execute(insert(credentials), new)
            for row in rows:
                if row["id"] in standing:
                    connection.execute(
                        update(credentials)
                        .where(mine, credentials.c.id == row["id"])
                        .values(sealed=row["sealed"])
                    )
            return Change(len(standing) + len(new), len(new))

        return await self._store.write(change)

    async def remove(self, upstream: str, ids: Collection[str]) -> Change:
        """Take these out; ids that are not there do no harm."""

        def change(connection: Connection) -> Change:
            mine = credentials.c.upstream == upstream
            removed = 0
            for id in ids:
                removed += connection.execute(
                    delete(credentials).where(mine, credentials.c.id == id)
                ).rowcount
            _forget_states(connection, upstream)
            total = connection.execute(select(func.count()).where(mine)).scalar_one()
            return Change(total, removed=removed)

        return await self._store.write(change)

    async def of(self, upstream: str) -> list[StoredCredential]:
        """Return the credentials of ``upstream`` in order. Raises WrongKey if one does not open."""

        def query(connection: Connection) -> list[StoredCredential]:
            found = connection.execute(
                select(credentials.c.id, credentials.c.added, credentials.c.sealed)
                .where(credentials.c.upstream == upstream)
                .order_by(credentials.c.position)
            )
            return [
                _open(self._store.cipher, upstream, id, added, sealed)
                for id, added, sealed in found
            ]

        return await self._store.read(query)


def _rows(
    cipher: Cipher,
    upstream: str,
    entries: Sequence[TokenEntry],
    added: Mapping[str, float],
    now: float,
) -> list[dict[str, object]]:
    """Make the rows of ``entries``, each credential once; the first of its kind counts."""
    rows: dict[str, dict[str, object]] = {}
    for entry in entries:
        id = credential_id(entry.access)
        if id not in rows:
            rows[id] = {
                "upstream": upstream,
                "id": id,
                "position": len(rows),
                "added": added.get(id, now),
                "sealed": cipher.seal(_plain(entry), _place(upstream, id)),
            }
    return list(rows.values())


def _plain(entry: TokenEntry) -> str:
    claims = read_claims(entry.token.reveal())
    sealed = _Sealed(
        token=entry.token.reveal(),
        label=entry.label or claims.email or entry.token.masked,
        puid=entry.access.puid.reveal() if entry.access.puid else None,
        account=entry.access.account,
        expires=claims.expires,
    )
    return msgspec.json.encode(sealed).decode()


def _open(cipher: Cipher, upstream: str, id: str, added: float, sealed: bytes) -> StoredCredential:
    plain = msgspec.json.decode(cipher.unseal(sealed, _place(upstream, id)), type=_Sealed)
    access = Access(Secret(plain.token), Secret(plain.puid) if plain.puid else None, plain.account)
    return StoredCredential(upstream, id, access, plain.label, added, plain.expires)


def _forget_states(connection: Connection, upstream: str) -> None:
    """Drop what is known of credentials that are gone, so that states do not pile up."""
    standing = select(credentials.c.id).where(credentials.c.upstream == upstream)
    connection.execute(
        delete(credential_states).where(
            credential_states.c.upstream == upstream,
            credential_states.c.credential != "",  # the upstream's own
            credential_states.c.credential.not_in(standing),
        )
    )


def _place(upstream: str, id: str) -> str:
    return f"credentials.sealed:{upstream}:{id}"
