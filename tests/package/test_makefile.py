from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
STAMPS = (".place", ".product", ".runtime", ".tools")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout with what the Makefile reads, and no virtual environment."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "requirements", folder / "requirements")
    return folder


def make(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    # Not the flags and job server of the make that runs these tests.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return subprocess.run(
        [MAKE, "--no-print-directory", *arguments],
        cwd=clone,
        env=inherited | environ,
        capture_output=True,
        text=True,
    )


def finish_setup(clone: Path, place: Path) -> None:
    """Leave what a finished ``make setup`` leaves, as far as make can see."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for stamp in STAMPS:
        (clone / ".venv" / stamp).write_text(f"{place}\n")
    for client in (clone / "requirements").glob("clients/*.txt"):
        stamp_folder = clone / ".venvs" / client.stem
        stamp_folder.mkdir(parents=True)
        (stamp_folder / ".installed").write_text("")


def test_help_names_every_target(clone: Path) -> None:
    """make alone lists what there is, each with a line of its own."""
    listed = make(clone).stdout
    assert listed == make(clone, "help").stdout
    targets = ("setup", "run", "test", "lint", "format", "bench", "eval", "lock", "clean", "help")
    for target in targets:
        assert f"  {target}\t" in listed


def test_without_a_fit_python_it_says_what_to_do(clone: Path, tmp_path: Path) -> None:
    """No Python at all, or only an old one: a message and a failure, no half-made environment."""
    tools = tmp_path / "tools"
    tools.mkdir()
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(clone, "setup", PATH=str(tools))
    assert done.returncode != 0
    assert "No Python 3.11 or later with pip and venv was found." in done.stderr
    assert not (clone / ".venv").exists()


def test_a_second_run_installs_nothing(clone: Path) -> None:
    """Once set up, make run only starts the gateway: quick, and offline."""
    finish_setup(clone, clone)
    assert make(clone, "-n", "run").stdout == "exec .venv/bin/chatgpt-to-api serve\n"


def test_a_changed_lock_is_installed(clone: Path) -> None:
    """A newer lock than its stamp brings the environment up to date."""
    finish_setup(clone, clone)
    stamp = clone / ".venv" / ".product"
    os.utime(stamp, (0, 0))
    assert "--require-hashes -r requirements/build.txt -r requirements/run.txt" in (
        make(clone, "-n", "run").stdout
    )


def test_a_moved_checkout_gets_a_new_environment(clone: Path) -> None:
    """An environment that was made elsewhere would run code from there."""
    finish_setup(clone, clone.parent / "elsewhere")
    assert "-m venv --clear .venv" in make(clone, "-n", "run").stdout


def test_everything_is_installed_by_hash(clone: Path) -> None:
    """No step of the set-up fetches a package that is not locked."""
    said = make(clone, "-n", "test").stdout
    installs = [line for line in said.splitlines() if " install " in line]
    assert len(installs) >= 4
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line, line


def test_the_check_fails_if_either_half_fails(clone: Path) -> None:
    """.ci/run runs lint and tests, both, and its exit code says whether both passed."""
    shutil.copytree(REPOSITORY / ".ci", clone / ".ci")
    for lint, test, expected in ((0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)):
        (clone / "Makefile").write_text(
            f"lint:\n\t@echo linting; exit {lint}\ntest:\n\t@echo testing; exit {test}\n"
        )
        done = subprocess.run([clone / ".ci" / "run"], capture_output=True, text=True)
        assert done.returncode == expected
        assert "linting" in done.stdout
        assert "testing" in done.stdout
