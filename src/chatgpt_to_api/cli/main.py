"""The command ``chatgpt-to-api``: its subcommands."""

from __future__ import annotations

import typer

from chatgpt_to_api.cli import serve

app = typer.Typer(
    name="chatgpt-to-api",
    help="A self-hosted gateway between the API dialects your apps speak and the access you own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 well; 1 something was found wrong; 2 wrong usage; 3 wrong "
    "configuration; 4 something needed is not there; 5 the gateway refused.",
)
app.command()(serve.serve)


@app.command()
def version() -> None:
    """Print the version."""
    from chatgpt_to_api import __version__

    typer.echo(f"chatgpt-to-api {__version__}")


def main() -> None:
    """Run the command line."""
    app()
