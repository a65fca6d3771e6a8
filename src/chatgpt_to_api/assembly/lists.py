"""What files of the data folder hold beside the configuration: tokens, client keys, proxies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chatgpt_to_api.admin.token_import import TokenImport
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.config.list_files import parse_api_keys, parse_proxies
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.watched import Watcher
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.store.database import Store

_KEYS_STAY: Final = "no line of it is a key: those from before hold, and without any nobody gets in"

_PROXIES_STAY: Final = "no line of it is a proxy: those from before, if any, are used on"


def watch_lists(watcher: Watcher, settings: Settings, keys: ClientKeys, pool: Pool) -> None:
    """Watch the client keys and outbound proxies of the data folder."""
    folder = Path(settings.data_dir)
    configured = [key.reveal() for key in settings.server.api_keys]

    async def take_keys(content: bytes | None) -> Sequence[str]:
        file = parse_api_keys(content or b"")
        complaints = [str(skipped) for skipped in file.skipped]
        if complaints and not file.keys:
            return [*complaints, _KEYS_STAY]
        keys.replace([*configured, *(key.reveal() for key in file.keys)])
        return complaints

    async def take_proxies(content: bytes | None) -> Sequence[str]:
        file = parse_proxies(content or b"")
        complaints = [str(skipped) for skipped in file.skipped]
        if complaints and not file.proxies:
            return [*complaints, _PROXIES_STAY]
        pool.set_proxies(file.proxies)
        return complaints

    if not configured and os.path.lexists(folder / "api_keys.txt"):
        # Until its lines are known: a file that cannot be read must not open the doors.
        keys.refuse_all()
    watcher.add(folder / "api_keys.txt", take_keys)
    watcher.add(folder / "proxies.txt", take_proxies)


async def take_up_tokens(
    watcher: Watcher, settings: Settings, store: Store, tokens: TokenAdmin
) -> Sequence[str]:
    """Import the configured tokens, and those of the watched file now and whenever it changes.

    Returns what is wrong with the configured ones.
    """
    importer = TokenImport(store, tokens)
    complaints = await importer.offer_configured(settings.tokens.access_tokens)

    async def offer(content: bytes | None) -> Sequence[str]:
        return await importer.offer("file", content)

    watcher.add(Path(settings.token_file), offer)
    await watcher.load()
    await importer.begin()
    return complaints
