"""Show how far a fetch is: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, TextIO, TypeAlias

At: TypeAlias = Callable[[int], None]
"""Tells that so many bytes are done."""

_LINE_EVERY: Final = 5.0
"""Seconds between the lines that stand for a bar where there is no terminal."""


class Progress(Protocol):
    """Something that shows stages of work, one after the other."""

    def stage(self, text: str, total: int) -> AbstractContextManager[At]:
        """Show a stage of ``total`` bytes (0: not known) for as long as the block runs."""
        ...

    def note(self, text: str) -> None:
        """Show one line."""
        ...


class Lines:
    """Progress for log files and pipes: a line when a stage begins, and every few seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[At]:
        """Write a line now, and one every five seconds of the work."""
        self.note(f"{text} ({_megabytes(total)} MB) …" if total else f"{text} …")
        next_line = self._clock() + _LINE_EVERY

        def at(done: int) -> None:
            nonlocal next_line
            if self._clock() >= next_line:
                next_line = self._clock() + _LINE_EVERY
                of = f" of {_megabytes(total)}" if total else ""
                self.note(f"{text}: {_megabytes(done)}{of} MB")

        yield at

    def note(self, text: str) -> None:
        """Write one line."""
        self._stream.write(text + "\n")
        self._stream.flush()


class Bar:
    """Progress for a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # only where there is something to show

        self._console = Console(file=stream)

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[At]:
        """Draw a bar with bytes, speed and elapsed time."""
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeElapsedColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=self._console) as bar:
            task = bar.add_task(text, total=total or None)
            yield lambda done: bar.update(task, completed=done)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, highlight=False)


def progress_on(stream: TextIO | None = None) -> Progress:
    """Return the kind of progress that suits ``stream`` (default: standard error)."""
    stream = sys.stderr if stream is None else stream
    return Bar(stream) if stream.isatty() else Lines(stream)


def _megabytes(count: int) -> int:
    return round(count / 1_000_000)
