"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatgpt_to_api.cli.exits import Exit, stop
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import load

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
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every request too.")]


def settings(
    config: Path | None = None, data_dir: Path | None = None, **options: str | None
) -> Loaded:
    """Load the settings, or end the command with every problem they have.

    ``options``: setting keys with ``__`` for the dot → the text given on the command line.
    """
    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    if config is not None:
        given["config_file"] = str(config)
    if data_dir is not None:
        given["data_dir"] = str(data_dir)
    try:
        return load(options=given)
    except ConfigError as error:
        stop(Exit.CONFIG, "The configuration has to be mended first:", *_listed(error))


def _listed(error: ConfigError) -> list[str]:
    return [f"  {problem}" for problem in error.problems]
