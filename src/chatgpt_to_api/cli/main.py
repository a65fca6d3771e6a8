"""The command ``chatgpt-to-api``: its subcommands, and what becomes of an error nobody foresaw."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from chatgpt_to_api.cli.exits import CODES, Exit
from chatgpt_to_api.cli.lazy import LazyCommands


class _Commands(LazyCommands):
    modules = {  # noqa: RUF012  # declared a ClassVar where it comes from
        name: (f"chatgpt_to_api.cli.{name}", about)
        for name, about in {
            "serve": "Run the gateway until Ctrl-C or SIGTERM.",
            "chat": "Talk to a running gateway.",
            "tokens": "Access tokens: list, add, import, remove, check.",
            "doctor": "Examine the whole set-up, and say what to do.",
            "models": "List the models that can be asked for.",
            "upstreams": "List the upstreams, their credentials and their state.",
            "explain": "Show where a model's name leads, and why.",
            "model": "The embedded model: fetch its file.",
            "config": "The configuration: show it, check it.",
        }.items()
    }


app = typer.Typer(
    name="chatgpt-to-api",
    cls=_Commands,
    help="A self-hosted gateway between the API dialects your apps speak and the access you own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=CODES,
)


def _print_version(wanted: bool) -> None:  # typer calls it with the option's value
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def version() -> None:
    """Print the version."""
    from chatgpt_to_api import __version__

    typer.echo(f"chatgpt-to-api {__version__}")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception as error:  # the outermost edge: told in a line, or raised
        if {"-v", "--verbose"} & set(sys.argv):
            raise
        from chatgpt_to_api.wire.secret import scrubbed

        said = f"{type(error).__name__}: {scrubbed(str(error))}"
        print(f"chatgpt-to-api failed unexpectedly: {said}", file=sys.stderr)
        print("With -v it shows the whole trace, for a report.", file=sys.stderr)
        sys.exit(Exit.BUG)
