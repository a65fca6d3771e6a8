from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder]
    subprocess.run([*command, REPOSITORY], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_whole_package_and_nothing_else(built: Path) -> None:
    """Every module of the source tree, the migrations with it, and no test or tool."""
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
    source = REPOSITORY / "src"
    modules = {
        path.relative_to(source).as_posix()
        for path in (source / "chatgpt_to_api").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert modules <= names
    assert any("store/migrations/" in name for name in names)
    assert {name.split("/")[0] for name in names - modules} == {
        next(name.split("/")[0] for name in names if ".dist-info/" in name)
    }


def test_the_installed_wheel_gives_the_command(built: Path, tmp_path: Path) -> None:
    """From the wheel alone, away from the checkout, the command runs and tells its version."""
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "-t", tmp_path, built], check=True)
    script = next((tmp_path / "bin").glob("chatgpt-to-api*"))
    done = subprocess.run(
        [sys.executable, script, "version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import chatgpt_to_api; print(chatgpt_to_api.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path))
