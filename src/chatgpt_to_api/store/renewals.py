"""Refresh tokens and the access tokens they gave, sealed: each is spent once, over restarts too."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from sqlalchemy import Connection, delete

from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.store.tables import settings
from chatgpt_to_api.wire.secret import Secret

_NAME: Final = "renewal:"

Spending: TypeAlias = Literal["no", "begun", "told"]
"""Whether the refresh token may be spent: ``begun`` is written before it is shown to anybody, and
``told`` once a person has been told that nobody knows what came of it."""


class Renewal(msgspec.Struct, frozen=True):
    """The newest link of a chain: the refresh token that counts, and the access token it follows.

    ``expires`` and ``since`` are Unix times: the access token's end, and when it was given.
    """

    refresh: Secret
    access: Secret | None = None
    expires: float | None = None
    since: float = 0.0
    spending: Spending = "no"


class _Sealed(msgspec.Struct, omit_defaults=True):
    refresh: str
    access: str | None = None
    expires: float | None = None
    since: float = 0.0
    spending: Spending = "no"


class Renewals:
    """Reads and writes the chains, by upstream and the credential's id."""

    def __init__(self, store: Store) -> None:
        self._values = StoredSettings(store)

    async def load(self, upstream: str, id: str) -> Renewal | None:
        """Return what is kept of a chain. Raises WrongKey, StoreUnavailable."""
        value = await self._values.get_secret(_name(upstream, id))
        if value is None:
            return None
        plain = msgspec.json.decode(value.reveal(), type=_Sealed)
        access = Secret(plain.access) if plain.access is not None else None
        return Renewal(Secret(plain.refresh), access, plain.expires, plain.since, plain.spending)

    async def save(self, upstream: str, id: str, renewal: Renewal) -> None:
        """Keep the newest link; when this returns it is on the disk. Raises StoreUnavailable."""
        plain = _Sealed(
            renewal.refresh.reveal(),
            renewal.access.reveal() if renewal.access is not None else None,
            renewal.expires,
            renewal.since,
            renewal.spending,
        )
        text = Secret(msgspec.json.encode(plain).decode())
        await self._values.put_secret(_name(upstream, id), text)


def forget_renewals(connection: Connection, upstream: str) -> None:
    """Forget an upstream's chains, inside a larger transaction."""
    mine = settings.c.name.startswith(_name(upstream, ""), autoescape=True)
    connection.execute(delete(settings).where(mine))


def _name(upstream: str, id: str) -> str:
    return f"{_NAME}{upstream}:{id}"
