"""The access tokens of upstreams, in their order, sealed.

Everything about a credential but its id and position stands in one sealed value: a label is an
e-mail address, and a stolen database should not tell it either.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from msgspec import structs
from sqlalchemy import Connection, delete, func, insert, select, update

from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.store.database import Store
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
    ) -> tuple[Change, list[StoredCredential]]:
        """Make ``entries`` the whole set of ``upstream``, in their order; return it as it stands.

        ``settings`` are plain settings to be kept in the same transaction.
        """
        now = self._now()

        def change(connection: Connection) -> tuple[Change, list[StoredCredential]]:
            mine = credentials.c.upstream == upstream
            found = connection.execute(select(credentials.c.id, credentials.c.added).where(mine))
            added: dict[str, float] = dict(found.all())
            stored = _identify(upstream, entries, added, now)
            connection.execute(delete(credentials).where(mine))
            if stored:
                connection.execute(insert(credentials), self._rows(stored, 0))
            _forget_states(connection, upstream)
            for name, value in (settings or {}).items():
                write_setting(connection, name, value.encode())
            kept = sum(one.id in added for one in stored)
            return Change(len(stored), len(stored) - kept, len(added) - kept), stored

        return await self._store.write(change)

    async def add(self, upstream: str, entries: Sequence[TokenEntry]) -> Change:
        """Put ``entries`` behind the others; one that stands takes the new PUID and label."""
        now = self._now()

        def change(connection: Connection) -> Change:
            mine = credentials.c.upstream == upstream
            standing = set(connection.execute(select(credentials.c.id).where(mine)).scalars())
            last = connection.execute(select(func.max(credentials.c.position)).where(mine)).scalar()
            sent = _identify(upstream, entries, {}, now)
            new = [one for one in sent if one.id not in standing]
            if new:
                first = 0 if last is None else last + 1
                connection.execute(insert(credentials), self._rows(new, first))
            for one in sent:
                if one.id in standing:
                    connection.execute(
                        update(credentials)
                        .where(mine, credentials.c.id == one.id)
                        .values(sealed=self._seal(one))
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

    async def relabel(self, upstream: str, id: str, label: str) -> None:
        """Give one another label; an id that is not there does no harm."""

        def change(connection: Connection) -> None:
            this = (credentials.c.upstream == upstream, credentials.c.id == id)
            columns = select(credentials.c.added, credentials.c.sealed)
            found = connection.execute(columns.where(*this)).one_or_none()
            if found is not None:
                stored = self._unseal(upstream, id, found.added, found.sealed)
                sealed = self._seal(structs.replace(stored, label=label))
                connection.execute(update(credentials).where(*this).values(sealed=sealed))

        await self._store.write(change)

    async def of(self, upstream: str) -> list[StoredCredential]:
        """Return the credentials of ``upstream`` in order. Raises WrongKey if one does not open."""

        def query(connection: Connection) -> list[StoredCredential]:
            found = connection.execute(
                select(credentials.c.id, credentials.c.added, credentials.c.sealed)
                .where(credentials.c.upstream == upstream)
                .order_by(credentials.c.position)
            )
            return [self._unseal(upstream, id, added, sealed) for id, added, sealed in found]

        return await self._store.read(query)

    def _rows(self, stored: Sequence[StoredCredential], first: int) -> list[dict[str, object]]:
        return [
            {
                "upstream": one.upstream,
                "id": one.id,
                "position": position,
                "added": one.added,
                "sealed": self._seal(one),
            }
            for position, one in enumerate(stored, first)
        ]

    def _seal(self, stored: StoredCredential) -> bytes:
        access = stored.access
        plain = _Sealed(
            token=access.token.reveal() if access.token else "",
            label=stored.label,
            puid=access.puid.reveal() if access.puid else None,
            account=access.account,
            expires=stored.expires,
        )
        text = msgspec.json.encode(plain).decode()
        return self._store.cipher.seal(text, _place(stored.upstream, stored.id))

    def _unseal(self, upstream: str, id: str, added: float, sealed: bytes) -> StoredCredential:
        text = self._store.cipher.unseal(sealed, _place(upstream, id))
        plain = msgspec.json.decode(text, type=_Sealed)
        puid = Secret(plain.puid) if plain.puid else None
        access = Access(Secret(plain.token), puid, plain.account)
        return StoredCredential(upstream, id, access, plain.label, added, plain.expires)


def _identify(
    upstream: str, entries: Sequence[TokenEntry], added: Mapping[str, float], now: float
) -> list[StoredCredential]:
    """Name, label and date ``entries``, each credential once; the first of its kind counts."""
    stored: dict[str, StoredCredential] = {}
    for entry in entries:
        id = credential_id(entry.access)
        if id not in stored:
            claims = read_claims(entry.token.reveal())
            label = entry.label or claims.email or entry.token.masked
            stored[id] = StoredCredential(
                upstream, id, entry.access, label, added.get(id, now), claims.expires
            )
    return list(stored.values())


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
