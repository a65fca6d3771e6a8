"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop

if TYPE_CHECKING:
    from chatgpt_to_api.config.load import Loaded

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file.", show_default=False),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", "-d", help="Folder of tokens, keys, store and model.", show_default=False
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Tell more; show the trace of an unexpected error."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        help="A running gateway, such as http://127.0.0.1:8080; else the one of the data folder.",
        show_default=False,
    ),
]


def new_app(help: str | None = None) -> typer.Typer:
    """Make the app of one command, or with ``help`` of one group of commands."""
    return typer.Typer(
        help=help,
        add_completion=False,
        no_args_is_help=help is not None,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=CODES if help is not None else None,
    )


def settings(
    config: Path | None = None, data_dir: Path | None = None, **options: str | None
) -> Loaded:
    """Load the settings, or end the command with every problem they have.

    ``options``: setting keys with ``__`` for the dot → the text given on the command line.
    """
    from chatgpt_to_api.config.errors import ConfigError

    try:
        return load_settings(config, data_dir, **options)
    except ConfigError as error:
        listed = [f"  {problem}" for problem in error.problems]
        stop(Exit.CONFIG, "The configuration has to be mended first:", *listed)


def load_settings(
    config: Path | None = None, data_dir: Path | None = None, **options: str | None
) -> Loaded:
    """Load the settings. Raises ConfigError; ``options`` as in :func:`settings`."""
    from chatgpt_to_api.config.load import load

    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    if config is not None:
        given["config_file"] = str(config)
    if data_dir is not None:
        given["data_dir"] = str(data_dir)
    return load(options=given)
