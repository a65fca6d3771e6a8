"""Files that are read again when they change."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from chatgpt_to_api.config.watched import MAX_FILE, Watcher


class Taken:
    """Records what was handed over; says of it what the test wants said."""

    def __init__(self) -> None:
        self.contents: list[bytes | None] = []
        self.complaints: Sequence[str] = ()
        self.error: Exception | None = None
        self.arrived = asyncio.Event()

    async def __call__(self, content: bytes | None) -> Sequence[str]:
        if self.error is not None:
            raise self.error
        self.contents.append(content)
        self.arrived.set()
        return self.complaints


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api_keys.txt"


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def watcher(path: Path, taken: Taken) -> Watcher:
    made = Watcher()
    made.add(path, taken)
    return made


async def test_a_file_is_taken_at_start_and_once(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """What stands there at start is taken at once; an unchanged file is not taken again."""
    path.write_bytes(b"one")
    await watcher.load()
    for _ in range(3):
        await watcher.look()
    assert taken.contents == [b"one"]


async def test_a_missing_file_is_no_news_and_a_new_one_is(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """A file that comes later is taken once it stands still."""
    await watcher.load()
    await watcher.look()
    assert taken.contents == []
    path.write_bytes(b"new")
    await watcher.look()
    assert taken.contents == []
    await watcher.look()
    assert taken.contents == [b"new"]


async def test_a_file_caught_while_written_is_not_taken(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """Truncated first and filled after: only the settled content is seen."""
    path.write_bytes(b"one\ntwo")
    await watcher.load()
    path.write_bytes(b"")
    await watcher.look()
    path.write_bytes(b"one\nthr")
    await watcher.look()
    path.write_bytes(b"one\nthree")
    await watcher.look()
    await watcher.look()
    assert taken.contents == [b"one\ntwo", b"one\nthree"]


async def test_a_replaced_file_of_the_same_size_and_time_is_seen(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """An editor's rename, with the old time put back, is a change all the same."""
    path.write_bytes(b"one")
    await watcher.load()
    times = path.stat()
    beside = path.with_suffix(".new")
    beside.write_bytes(b"two")
    os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    beside.replace(path)
    await watcher.look()
    await watcher.look()
    assert taken.contents == [b"one", b"two"]


async def test_a_removed_file_is_told_once(watcher: Watcher, path: Path, taken: Taken) -> None:
    """Gone for two looks is gone; the short absence of an editor's save is not."""
    path.write_bytes(b"one")
    await watcher.load()
    path.unlink()
    await watcher.look()
    path.write_bytes(b"two")
    await watcher.look()
    await watcher.look()
    assert taken.contents == [b"one", b"two"]
    path.unlink()
    for _ in range(3):
        await watcher.look()
    assert taken.contents == [b"one", b"two", None]


async def test_complaints_stand_until_the_file_is_mended(
    watcher: Watcher, path: Path, taken: Taken, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong shows with its path, is logged once when new, and goes with a good file."""
    caplog.set_level(logging.WARNING)
    path.write_bytes(b"bad")
    taken.complaints = ["line 1: it is masked"]
    await watcher.load()
    await watcher.look()
    assert watcher.warnings == [f"{path}: line 1: it is masked"]
    assert not caplog.records  # the start tells it, in its own lines
    for content in (b"bad again", b"bad for ever"):
        taken.complaints = ["line 2: it is masked"]
        path.write_bytes(content)
        await watcher.look()
        await watcher.look()
    assert len(caplog.records) == 1
    taken.complaints = []
    path.write_bytes(b"good")
    await watcher.look()
    await watcher.look()
    assert watcher.warnings == []


async def test_content_that_could_not_be_applied_is_offered_again(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """A database that is away for a moment does not lose the change."""
    path.write_bytes(b"one")
    taken.error = RuntimeError("away")
    await watcher.load()
    assert watcher.warnings == [f"{path}: it could not be taken and is tried again (away)"]
    taken.error = None
    await watcher.look()
    assert taken.contents == [b"one"] and watcher.warnings == []


async def test_a_folder_in_its_place_is_explained(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """What a bind mount of a missing file leaves is told as what it is, and its mending is seen."""
    path.mkdir()
    await watcher.load()
    assert "it is a folder" in watcher.warnings[0]
    path.rmdir()
    path.write_bytes(b"one")
    await watcher.look()
    await watcher.look()
    assert taken.contents == [b"one"] and watcher.warnings == []


async def test_a_huge_file_or_a_pipe_is_not_read(
    watcher: Watcher, path: Path, taken: Taken
) -> None:
    """Neither exhausts memory nor blocks."""
    with path.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    await watcher.load()
    assert "larger than" in watcher.warnings[0]
    path.unlink()
    os.mkfifo(path)
    await watcher.look()
    await watcher.look()
    assert "not a plain file" in watcher.warnings[0]
    assert taken.contents == []


async def test_the_loop_sees_changes_by_itself(watcher: Watcher, path: Path, taken: Taken) -> None:
    """Running, it needs nobody to call it, and one file's trouble does not end it."""
    await watcher.load()
    running = asyncio.create_task(watcher.run())
    path.write_bytes(b"one")
    async with asyncio.timeout(10):
        await taken.arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert taken.contents == [b"one"]


async def test_a_followed_file_is_taken_only_when_it_changes(path: Path, taken: Taken) -> None:
    """What stood there was read by others; a change, a new file and none are news."""
    watcher = Watcher()
    path.write_bytes(b"one")
    watcher.follow(path, taken)
    for _ in range(3):
        await watcher.look()
    assert taken.contents == []
    path.write_bytes(b"two!")
    for _ in range(3):
        await watcher.look()
    path.unlink()
    for _ in range(3):
        await watcher.look()
    assert taken.contents == [b"two!", None]
