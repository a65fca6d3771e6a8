"""A gateway that all tests of one file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stage import Stage, stage


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway in front of a scripted backend, with one token."""
    folder: Path = tmp_path_factory.mktemp("stage") / "data"
    with stage(folder) as standing:
        standing.put_tokens("tok-a")
        yield standing


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"
