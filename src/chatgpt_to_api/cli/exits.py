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


def stop(code: Exit, *lines: str) -> NoReturn:
    """End the command, with these lines on standard error."""
    for line in lines:
        print(line, file=sys.stderr)
    raise typer.Exit(code)
