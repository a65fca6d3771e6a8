"""A value set through the admin API, which holds until the configured one changes.

The configured value (an environment variable, say) is remembered by its digest beside the one set.
While it is the same, or not given at all, the one set holds; a new configured value is newer news.
"""

from __future__ import annotations

from typing import Self

import msgspec

from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.wire.secret import Secret


class _Stored(msgspec.Struct):
    value: str | None
    configured: str  # digest of the configured value when this was set, "" for none


class Override:
    """One such value, by name."""

    def __init__(
        self, store: Store, name: str, configured: Secret | None, stored: _Stored | None
    ) -> None:
        self._settings = StoredSettings(store)
        self._name = name
        self._configured = configured
        self._digest = store.cipher.digest(configured.reveal()) if configured else ""
        self._stored = stored

    @classmethod
    async def load(cls, store: Store, name: str, configured: Secret | None) -> Self:
        """Read what was set under ``name``; a set value that has been overtaken is dropped.

        Raises WrongKey if it was sealed with another key.
        """
        sealed = await StoredSettings(store).get_secret(name)
        stored = None
        if sealed is not None:
            stored = msgspec.json.decode(sealed.reveal(), type=_Stored)
        override = cls(store, name, configured, stored)
        if stored is not None and override._digest not in ("", stored.configured):
            await override.drop()
        return override

    @property
    def is_set(self) -> bool:
        """Whether a value set through the admin API holds."""
        return self._stored is not None

    @property
    def value(self) -> Secret | None:
        """The value that holds: the one set, else the configured one."""
        if self._stored is None:
            return self._configured or None
        return Secret(self._stored.value) if self._stored.value else None

    async def set(self, value: Secret | None) -> None:
        """Let ``value`` hold from now on, None being "none at all"; it is on the disk on return."""
        text = value.reveal() if value else None
        if self._stored is not None and not self._digest:
            # The variable is away at the moment; when it comes back unchanged it is still old news.
            stored = _Stored(text, self._stored.configured)
        else:
            stored = _Stored(text, self._digest)
        await self._settings.put_secret(self._name, Secret(msgspec.json.encode(stored).decode()))
        self._stored = stored

    async def drop(self) -> None:
        """Let the configured value hold again."""
        await self._settings.remove(self._name)
        self._stored = None
