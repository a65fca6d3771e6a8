"""The lock of a data folder: one gateway per folder, and how a command finds that gateway.

``gateway.lock`` is held by an operating-system lock, so a killed gateway never leaves it taken.
Its text says who holds it: process id, URL and the *run key*, a random password that the admin API
takes for as long as this gateway runs. Whoever can read the folder (the file is 0600) could read
the stored secrets too, so the run key opens nothing that was closed; it lets a command on the same
folder work without asking for the password.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from chatgpt_to_api.store.errors import StoreError
from chatgpt_to_api.store.private_files import make_private_folder

LOCK_NAME: Final = "gateway.lock"

# Windows locks bytes and lets nobody read a locked one, so the lock lies far behind the text.
_LOCKED_BYTE: Final = 1 << 30


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a data folder. ``url`` is "" until it listens, or for a command."""

    pid: int
    url: str = ""
    run_key: str = ""

    def __repr__(self) -> str:
        return f"Holder(pid={self.pid}, url={self.url!r})"


class FolderLocked(StoreError):
    """Another process works on this data folder."""

    def __init__(self, data_dir: Path, holder: Holder | None) -> None:
        self.holder = holder
        who = "another process"
        if holder is not None:
            listening = f", listening on {holder.url}" if holder.url else ""
            who = f"process {holder.pid}{listening}"
        super().__init__(
            f"The data folder {data_dir} is in use by {who}. Stop it first, "
            "or choose another folder with --data-dir or CHATGPT_TO_API_DATA_DIR."
        )


def _why(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands in its place"
    return error.strerror or type(error).__name__


class FolderLock:
    """A held lock; leaving the ``with`` block, :meth:`release` or the process's end frees it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.run_key: str = secrets.token_urlsafe(32)

    @classmethod
    def take(cls, data_dir: Path) -> Self:
        """Lock ``data_dir``, making the folder if need be.

        Raises FolderLocked if another process holds it, StoreError if it cannot be written.
        """
        path = data_dir / LOCK_NAME
        try:
            make_private_folder(data_dir)
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StoreError(
                f"The data folder {data_dir} cannot be written: {_why(error)}. Make it this "
                "user's, or choose another with --data-dir or CHATGPT_TO_API_DATA_DIR."
            ) from error
        try:
            _lock(file)
        except OSError as error:
            os.close(file)
            raise FolderLocked(data_dir, _read_holder(path)) from error
        lock = cls(file)
        lock.announce("")
        return lock

    def announce(self, url: str) -> None:
        """Write down who holds the folder and where it listens, for commands to find."""
        holder = Holder(pid=os.getpid(), url=url, run_key=self.run_key)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, msgspec.json.encode(holder))

    def release(self) -> None:
        """Free the folder; a second call does nothing."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            _unlock(self._file)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def find_holder(data_dir: Path) -> Holder | None:
    """Return who holds ``data_dir`` now, None if nobody does; makes nothing.

    Where the holder has not written itself down yet, its ``pid`` is 0.
    """
    path = data_dir / LOCK_NAME
    try:
        file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None  # what cannot be opened for writing, this user's gateway does not hold
    try:
        _lock(file)
    except OSError:
        return _read_holder(path) or Holder(pid=0)
    else:
        _unlock(file)
        return None
    finally:
        os.close(file)


def _read_holder(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None  # caught between being locked and being written


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        # flock belongs to the open file: a second open in this very process is refused too.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
