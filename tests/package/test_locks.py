from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKS = sorted(REQUIREMENTS.rglob("*.txt"))


def locked(name: str) -> set[str]:
    text = (REQUIREMENTS / name).read_text()
    return {match[1].lower() for match in re.finditer(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def named(requirements: list[Any]) -> set[str]:
    texts = [text for text in requirements if isinstance(text, str)]
    return {re.split(r"[\[<>=;~! ]", text)[0].lower() for text in texts}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_host(lock: Path) -> None:
    """Names, versions and hashes: packages come from whatever index the user has set."""
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes(lock: Path) -> None:
    """Each pinned version is followed by the hashes of its files."""
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE):
        if not entry.startswith("#"):
            assert "==" in entry
            assert "--hash=sha256:" in entry


def test_the_locks_hold_what_the_project_declares() -> None:
    """Every declared dependency is locked; make lock was run after the last change."""
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    assert named(project["project"]["dependencies"]) <= locked("run.txt")
    assert named(project["project"]["optional-dependencies"]["local"]) <= locked("local.txt")
    assert named(groups["build"]) <= locked("build.txt")
    assert named(groups["dev"]) <= locked("dev.txt")
