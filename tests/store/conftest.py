"""A store in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.secrets import load_cipher


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(data_dir: Path) -> AsyncIterator[Store]:
    cipher = load_cipher(data_dir, None, database=database_path(data_dir))
    opened = await Store.open(data_dir, cipher)
    yield opened
    await opened.close()
