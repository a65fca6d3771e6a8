"""Tokens that files and the environment hold, imported whenever their content changes.

The sources together (ACCESS_TOKENS, the tokens file) are one set. It is imported if its content
differs from the last import, over restarts too; else the stored set stands, with whatever an admin
changed since. A source that says nothing does not count; one that cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.config.token_files import TokenFile, parse_tokens
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.wire.secret import Secret

SHOWN: Final = 5
"""Most complaints about one source that are shown one by one."""


class _Source(msgspec.Struct, frozen=True):
    digest: str
    file: TokenFile


class TokenImport:
    """The sources of one upstream's tokens, and the import of what they hold."""

    def __init__(self, store: Store, admin: TokenAdmin) -> None:
        self._settings = StoredSettings(store)
        self._admin = admin
        self._mark = f"imported_tokens:{admin.upstream}"
        self._sources: dict[str, _Source] = {}
        self._unread: set[str] = set()
        self._begun = False
        self._lock = asyncio.Lock()

    async def offer(self, name: str, content: bytes | None) -> Sequence[str]:
        """Take a source's content (None: it is gone); return what is wrong with it, for people.

        Before :meth:`begin` it is only read; afterwards it is imported if it is new.
        """
        async with self._lock:
            file = await asyncio.to_thread(parse_tokens, content or b"")
            if _is_broken(file):
                if name not in self._sources:
                    self._unread.add(name)
            else:
                self._unread.discard(name)
                if file.entries or file.clears:
                    digest = hashlib.sha256(content or b"").hexdigest()
                    self._sources[name] = _Source(digest, file)
                else:
                    self._sources.pop(name, None)
            if self._begun:
                await self._import()
            return _complaints(file)

    async def offer_configured(self, tokens: Sequence[Secret]) -> Sequence[str]:
        """Take the tokens of the variable ACCESS_TOKENS; return what is wrong with them."""
        if not tokens:
            return ()
        lines = "\n".join(token.reveal() for token in tokens)
        said = await self.offer("ACCESS_TOKENS", lines.encode())
        return [f"ACCESS_TOKENS: {line}" for line in said]

    async def begin(self) -> None:
        """Import what was offered so far, if it is new; from now on every offer is."""
        async with self._lock:
            self._begun = True
            await self._import()

    async def _import(self) -> None:
        # A source that was never readable may hold what was imported before: without it the rest
        # is not the set.
        if not self._sources or self._unread:
            return
        parts = [f"{name} {self._sources[name].digest}" for name in sorted(self._sources)]
        mark = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        if await self._settings.get(self._mark) == mark:
            return
        entries = [entry for source in self._sources.values() for entry in source.file.entries]
        await self._admin.replace(entries, settings={self._mark: mark})


def _is_broken(file: TokenFile) -> bool:
    return bool(file.skipped) and not file.entries


def _complaints(file: TokenFile) -> list[str]:
    lines = [str(skipped) for skipped in file.skipped[:SHOWN]]
    if len(file.skipped) > SHOWN:
        lines.append(f"and {len(file.skipped) - SHOWN} more that were not taken")
    if _is_broken(file):
        lines.append("nothing was imported; the tokens stay as they were")
    return lines
