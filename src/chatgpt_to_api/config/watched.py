"""Files that are read at start and again when they change.

Looked at, not notified of: a bind mount or a network volume tells nobody of a change. A file is
taken once it stands still for two looks, so that one caught while being written is not.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

log = logging.getLogger(__name__)

INTERVAL: Final = 0.5
"""Time between two looks, seconds."""

MAX_FILE: Final = 64 * 1024 * 1024
"""Largest file that is read, bytes."""

Apply: TypeAlias = Callable[[bytes | None], Awaitable[Sequence[str]]]
"""Takes a file's content (None: the file is gone) and returns what is wrong with it, for people.

Content that cannot be used must leave the last good one in force. If it raises, the content counts
as not taken and is offered again at the next look.
"""

_Signature: TypeAlias = tuple[int, int, int, int]

_UNKNOWN: Final[_Signature] = (-1, -1, -1, -1)


class _Unreadable(Exception):
    """The file is there and cannot be read; the message says why."""


class _File:
    def __init__(self, path: Path, apply: Apply) -> None:
        self.path = path
        self.apply = apply
        self.seen: _Signature | None = None
        self.taken: _Signature | None = None
        self.complaints: tuple[str, ...] = ()


class Watcher:
    """Some files, each with what is to be done with its content."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def add(self, path: Path, apply: Apply) -> None:
        """Watch one more file, which need not exist."""
        self._files.append(_File(path, apply))

    def follow(self, path: Path, apply: Apply) -> None:
        """Watch a file whose content as it stands now is in force already."""
        file = _File(path, apply)
        file.seen = file.taken = _signature(path)
        self._files.append(file)

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the files at present, one line each, for start-up and admins."""
        return [f"{file.path}: {line}" for file in self._files for line in file.complaints]

    async def load(self) -> None:
        """Take every file as it stands now; the first thing at start. A missing one is no news.

        What is wrong is not logged: the start tells it from :attr:`warnings`, in its few lines.
        """
        for file in self._files:
            file.seen = _signature(file.path)
            if file.seen is not None:
                file.complaints = await self._take(file)

    async def look(self) -> None:
        """Look at every file once, and take those that changed and have settled."""
        for file in self._files:
            found = _signature(file.path)
            settled, file.seen = found == file.seen, found
            if settled and found != file.taken:
                complaints = await self._take(file)
                for line in complaints:
                    if line not in file.complaints:
                        log.warning("%s: %s", file.path, line)
                file.complaints = complaints

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def _take(self, file: _File) -> tuple[str, ...]:
        """Take a file's content; return what is wrong with it."""
        try:
            content = None if file.seen is None else await asyncio.to_thread(_read, file.path)
            if _signature(file.path) != file.seen:
                return file.complaints  # it changed while it was read; the next look sees it
            complaints = tuple(await file.apply(content))
            file.taken = file.seen
        except _Unreadable as error:
            file.taken = file.seen
            return (str(error),)
        except Exception as error:  # one file's trouble must not end the watching
            log.debug("%s could not be taken", file.path, exc_info=error)
            return (f"it could not be taken and is tried again ({error})",)
        return complaints


def _signature(path: Path) -> _Signature | None:
    """Return what changes when the file does; None if there is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _UNKNOWN  # reading it says why
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _Unreadable("it is a folder (a bind mount of a missing file makes one)")
        if not stat.S_ISREG(found.st_mode):
            raise _Unreadable("it is not a plain file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _Unreadable(f"it cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise _Unreadable(f"it is larger than {MAX_FILE} bytes")
    return content
