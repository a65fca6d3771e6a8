from __future__ import annotations

import io

from chatgpt_to_api.local_model.progress import Bar, Lines, progress_on


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_come_at_the_beginning_and_every_five_seconds() -> None:
    """A log shows that something goes on without being filled by it."""
    now = 0.0
    stream = io.StringIO()
    with Lines(stream, clock=lambda: now).stage("Fetching", 100_000_000) as at:
        for now in (1.0, 4.9, 5.0, 6.0, 9.9, 10.0):
            at(int(now * 10_000_000))
    assert stream.getvalue().splitlines() == [
        "Fetching (100 MB) …",
        "Fetching: 50 of 100 MB",
        "Fetching: 100 of 100 MB",
    ]


def test_lines_do_without_a_total() -> None:
    """Where the size is not known the line says what has come."""
    now = 0.0
    stream = io.StringIO()
    with Lines(stream, clock=lambda: now).stage("Fetching", 0) as at:
        now = 5.0
        at(7_000_000)
    assert stream.getvalue() == "Fetching …\nFetching: 7 MB\n"


def test_a_terminal_gets_a_bar_that_fills() -> None:
    """The bar shows what is done and how long it took."""
    stream = Terminal()
    progress = progress_on(stream)
    assert isinstance(progress, Bar)
    with progress.stage("Fetching", 2_000_000) as at:
        at(2_000_000)
    progress.note("[done]")
    assert "Fetching" in stream.getvalue()
    assert "2.0/2.0 MB" in stream.getvalue()
    assert "[done]" in stream.getvalue()


def test_a_pipe_gets_lines() -> None:
    """Nobody's log file is filled with control sequences."""
    assert isinstance(progress_on(io.StringIO()), Lines)
