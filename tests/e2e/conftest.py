"""The rigs for every end-to-end test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.rig import Rigging, rigging, sharing


@pytest.fixture
def rigged(tmp_path: Path) -> Rigging:
    """Make a rig: a script, the tokens to use, and the gateway's environment."""
    return rigging(tmp_path / "data")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_rigs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rigging]:
    """The same, but tests of a module that set nothing have one gateway, not one each."""
    async with sharing(tmp_path_factory.mktemp("rigs")) as rigs:
        yield rigs
