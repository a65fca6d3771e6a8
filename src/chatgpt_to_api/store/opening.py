"""Open a data folder's database with its key."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.secrets import load_cipher
from chatgpt_to_api.store.settings import StoredSettings


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the data folder's database with its key. Raises StoreError."""
    folder = Path(settings.data_dir)
    cipher = load_cipher(folder, settings.store.secret_key, database=database_path(folder))
    store = await Store.open(folder, cipher)
    try:
        await StoredSettings(store).check_key()
        yield store
    finally:
        await store.close()
