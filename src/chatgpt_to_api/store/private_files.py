"""Small files that only their owner may read, written so that a crash never leaves half of one."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Make ``path`` and its missing parents; a folder made here is its owner's alone (0700)."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def create_private(path: Path, content: bytes) -> bool:
    """Create ``path`` (0600) with ``content`` unless it exists; tell whether it was created.

    Whoever finds the file finds it whole: it is written under another name first.
    """
    written = _write_beside(path, content)
    try:
        try:
            os.link(written, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            written.replace(path)
        _sync_folder(path.parent)
        return True
    finally:
        written.unlink(missing_ok=True)


def replace_private(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` (0600), whether it exists or not."""
    written = _write_beside(path, content)
    try:
        written.replace(path)
    except OSError:
        written.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def readable_by_others(path: Path) -> bool:
    """Whether accounts other than the owner may read ``path``; False where modes mean nothing."""
    if os.name == "nt":
        return False
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _write_beside(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with 0600
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open a folder; some mounts cannot sync one
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
