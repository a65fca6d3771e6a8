"""An admin API of its own for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.admin_rig import Rig, open_rig


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def rig(data_dir: Path) -> AsyncIterator[Rig]:
    async with open_rig(data_dir) as opened:
        yield opened
