"""Clients nobody here wrote: their own environments, and a program run in one of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from support.gateway_process import clean_environment

ENVIRONMENTS: Final = Path(__file__).resolve().parents[2] / ".venvs"

QUIET: Final = {
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONIOENCODING": "utf-8",
}
"""Telemetry and look-ups elsewhere off, by the switches the packages have."""


def program_of(client: str, name: str = "python") -> str:
    """A program in a client's environment."""
    folder = ENVIRONMENTS / client
    program = folder / (f"Scripts/{name}.exe" if os.name == "nt" else f"bin/{name}")
    assert program.exists(), f"{folder} is missing: `make test` makes it"
    return str(program)


def node() -> str:
    """The path of Node; a test that needs it is skipped where there is none."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("Node is not here")
    return found


def node_modules(lock: Path, folder: Path) -> Path:
    """Install what ``lock`` (a folder with a package-lock.json) names into ``folder``."""
    node()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock / name, folder / name)
    npm = shutil.which("npm") or ""
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "node_modules"


def run_client(
    home: Path, *command: str, input: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a client's program at home in ``home``, where it finds no settings of anybody."""
    home.mkdir(exist_ok=True)
    at_home = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CONFIG_HOME": str(home)}
    return subprocess.run(
        command,
        env=clean_environment(**{**QUIET, **at_home, **environment}),
        cwd=home,
        input=input,
        capture_output=True,
        timeout=180,
        text=True,
        encoding="utf-8",
    )


def told_by(home: Path, *command: str, **environment: str) -> Any:
    """Run a driver; return the JSON of its last line."""
    done = run_client(home, *command, **environment)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout.strip().splitlines()[-1])
