"""How commands print: aligned tables for people, JSON for programs, times both can read."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from unicodedata import east_asian_width

import msgspec

_STEERING = dict.fromkeys([*(set(range(32)) - {9, 10}), *range(127, 160)])


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns; the last column is as wide as it likes."""
    lines = [head, *rows]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join(
            [*(_padded(cell, w) for cell, w in zip(line, widths, strict=False)), line[-1]]
        ).rstrip()
        for line in lines
    )


def for_terminal(text: str) -> str:
    """Return ``text`` without the characters that steer a terminal, where there is one.

    A model's words must not be able to move the cursor, rename the window or fill the clipboard.
    """
    return text.translate(_STEERING) if sys.stdout.isatty() else text


def moment(unix: float | None) -> str:
    """Show a Unix time in this machine's zone, "" for none."""
    return "" if unix is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(unix))


def span(seconds: float) -> str:
    """Say a length of time roughly: ``12 s``, ``5 min``, ``3 h``, ``9 days``."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def plural(count: int, one: str) -> str:
    """Say how many of something there are: ``1 token``, ``2 tokens``."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    return len(text) + sum(east_asian_width(c) in "WF" for c in text)
