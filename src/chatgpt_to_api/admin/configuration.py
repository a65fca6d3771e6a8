"""What the admin API asks of the configuration that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.managed import Managed

Edit: TypeAlias = Callable[[Managed], Managed]
"""Makes what is to be managed from what is; a GatewayError it raises is the answer."""


class Rejected(msgspec.Struct, frozen=True):
    """When the file was read and not taken (Unix time), and why."""

    at: float
    because: tuple[str, ...]


class Configuration(Protocol):
    """The configuration in force. ``configured`` is the file's and the variables' part of it."""

    @property
    def configured(self) -> Loaded:
        """What the file and the variables give."""
        ...

    @property
    def loaded(self) -> Loaded:
        """All of it: that, and what is managed."""
        ...

    @property
    def managed(self) -> Managed:
        """What is managed at run time."""
        ...

    @property
    def version(self) -> int:
        """Counts the changes to what is managed."""
        ...

    @property
    def applied_at(self) -> float:
        """When it was put in force, Unix time."""
        ...

    @property
    def rejected(self) -> Rejected | None:
        """The last reading of the file, if it was not taken."""
        ...

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Settings that the file changed and a restart will put in force."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is stored and could not be taken at the start, a sentence each."""
        ...

    async def change(self, edit: Edit, expected: int | None = None) -> None:
        """Change what is managed, whole or not at all. Raises Unfit, PreconditionFailed."""
        ...

    async def reload(self) -> None:
        """Read the file and the variables again."""
        ...
