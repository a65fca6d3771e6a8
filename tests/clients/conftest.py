"""One vendor and one gateway for every client of the OpenAI API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.vendor.serving import Served, serving


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("vendor") / "data") as served:
        yield served


@pytest.fixture
def served(standing: Served) -> Iterator[Served]:
    """The vendor behind the gateway, nothing asked yet; nobody may ask another host."""
    standing.forget()
    yield standing
    assert standing.left_the_machine() == []
