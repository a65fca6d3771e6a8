"""Exit codes, the same for every command, and how a command ends with one."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import NoReturn

import typer


class Exit(IntEnum):
    """What a command's exit code says."""

    OK = 0
    FOUND = 1
    """The command did its work and found something wrong, or a part of it failed."""
    USAGE = 2
    """The command line itself is wrong."""
    CONFIG = 3
    """A setting or a file of settings is wrong; nothing was started."""
    UNAVAILABLE = 4
    """Something needed is not there: the port, the data folder, the model, a running gateway."""
    REFUSED = 5
    """The gateway said no: a wrong password, a refused request."""
    BUG = 70
    """Something nobody foresaw went wrong; with -v the whole trace is shown."""
    INTERRUPTED = 130
    """Ctrl-C."""


CODES = (
    "Exit codes: 0 well; 1 something was found wrong; 2 wrong usage; 3 wrong configuration; "
    "4 something needed is not there (the port, the data folder, the model, a gateway); "
    "5 the gateway refused; 70 a bug; 130 interrupted."
)
"""The codes in words, for the end of every help text."""


def stop(code: Exit, *lines: str) -> NoReturn:
    """End the command, with these lines on standard error."""
    for line in lines:
        print(line, file=sys.stderr)
    raise typer.Exit(code)
