"""The pages, and what can be read out of them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from support.pages import REPOSITORY


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    """docs/generate.py, which is a script and in no package."""
    sys.path.insert(0, str(REPOSITORY / "docs"))  # as for a script that is run from there
    spec = importlib.util.spec_from_file_location("docs_generate", REPOSITORY / "docs/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
