from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chatgpt_to_api.local_model.runtime import runtime_available


def test_the_runtime_of_this_platform_is_found() -> None:
    """The test environment has the runtime installed."""
    assert runtime_available()


def test_without_the_runtime_the_model_says_what_to_install(tmp_path: Path) -> None:
    """Where there is no wheel, the reason and the platforms that have one are told."""
    blocked = """
import sys
sys.modules["xllamacpp"] = None
from pathlib import Path
from chatgpt_to_api.config.settings import EmbeddedModelSettings
from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.runtime import runtime_available
from chatgpt_to_api.local_model.supervisor import LocalModel
assert not runtime_available()
try:
    LocalModel(Path("none"), EmbeddedModelSettings())
except ModelUnavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert "pip install 'chatgpt-to-api[local]'" in done.stdout, done.stderr
