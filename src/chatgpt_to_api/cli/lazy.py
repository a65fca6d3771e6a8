"""Subcommands that are imported when they run, so that ``serve`` pays for none of the others."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context


class LazyCommands(TyperGroup):
    """A group whose commands live in modules of their own, each with an ``app``.

    Lists and completion show a command by its name and a line about it; only the one that is
    meant is imported.
    """

    modules: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Command name → module and a line about it, in the order the help shows them."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Name every command."""
        return [*self.modules, *(name for name in self.commands if name not in self.modules)]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return the command, or what stands for it in lists until it is meant."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            return self._stand_in(cmd_name)
        return super().get_command(ctx, cmd_name)

    def _stand_in(self, name: str) -> Command:
        return TyperCommand(name, help=self.modules[name][1], rich_markup_mode=None)

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        """Import the command that is meant; a wrong name is told with the ones it resembles."""
        name = args[0]
        if name in self.modules and name not in self.commands:
            module = import_module(self.modules[name][0])
            command = typer.main.get_command(module.app)
            command.name = name
            self.commands[name] = command
        if name not in self.commands:
            for known in self.modules:
                self.commands.setdefault(known, self._stand_in(known))
        return super().resolve_command(ctx, args)
