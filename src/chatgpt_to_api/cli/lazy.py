"""Subcommands that are imported when they run, so that ``serve`` pays for none of the others."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context


class LazyCommands(TyperGroup):
    """A group whose commands live in modules of their own, each with an ``app``."""

    modules: ClassVar[Mapping[str, str]] = {}
    """Command name → module, in the order the help shows them."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Name every command; nothing is imported for it."""
        return [*self.modules, *(name for name in self.commands if name not in self.modules)]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import the command asked for."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            command = typer.main.get_command(import_module(self.modules[cmd_name]).app)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        """Find the command; for a wrong name all are loaded, to suggest what may be meant."""
        if args and args[0] not in self.list_commands(ctx):
            for name in self.modules:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)
