"""The rig for every end-to-end test."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.rig import Rigging, rigging


@pytest.fixture
def rigged(tmp_path: Path) -> Rigging:
    """Make a rig: a script, the tokens to use, and the gateway's environment."""
    return rigging(tmp_path / "data")
