"""A lock between processes that fetch into one folder; a killed process never leaves it taken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TRY_EVERY: Final = 0.2  # seconds; a blocking wait could not be interrupted on Windows


@contextmanager
def fetch_lock(folder: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``folder``; ``waiting`` is called once if another process has it."""
    file = os.open(folder / ".fetch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        told = False
        while not _take(file):
            if not told:
                waiting()
                told = True
            time.sleep(_TRY_EVERY)
        yield
    finally:
        os.close(file)  # frees the lock too


if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> bool:
        os.lseek(file, 0, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
