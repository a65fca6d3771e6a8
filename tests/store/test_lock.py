"""One gateway per data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatgpt_to_api.store.errors import StoreError
from chatgpt_to_api.store.lock import FolderLock, FolderLocked
from chatgpt_to_api.store.private_files import readable_by_others

HOLDER = """
import pathlib, sys
from chatgpt_to_api.store.lock import FolderLock
lock = FolderLock.take(pathlib.Path(sys.argv[1]))
lock.announce("http://127.0.0.1:8080")
print(lock.run_key, flush=True)
sys.stdin.read()
"""


def test_a_second_gateway_is_told_who_is_there(data_dir: Path) -> None:
    """A held lock is refused with pid and URL, the run key is found, and kill -9 frees it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        run_key = other.stdout.readline().strip()
        with pytest.raises(FolderLocked) as caught:
            FolderLock.take(data_dir)
        assert f"process {other.pid}, listening on http://127.0.0.1:8080" in str(caught.value)
        assert "--data-dir" in str(caught.value)
        holder = caught.value.holder
        assert holder is not None and holder.run_key == run_key
        assert run_key not in str(caught.value) + repr(holder)
        other.kill()
        other.wait()
    with FolderLock.take(data_dir) as lock:
        assert lock.run_key != run_key


def test_a_command_holds_the_folder_without_a_url(data_dir: Path) -> None:
    """A lock that listens nowhere says only its process."""
    with FolderLock.take(data_dir), pytest.raises(FolderLocked, match=rf"process {os.getpid()}\."):
        FolderLock.take(data_dir)
    assert not readable_by_others(data_dir / "gateway.lock")


def test_a_released_lock_can_be_taken_again_and_leaves_no_key(data_dir: Path) -> None:
    """After release the folder is free and the file tells nothing; a second release is harmless."""
    lock = FolderLock.take(data_dir)
    lock.release()
    lock.release()
    assert (data_dir / "gateway.lock").read_bytes() == b""
    with FolderLock.take(data_dir):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error says which folder, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/data cannot be written") as error:
        FolderLock.take(tmp_path / "file" / "data")
    assert "a file stands in its place" in str(error.value)
    assert "--data-dir" in str(error.value)
