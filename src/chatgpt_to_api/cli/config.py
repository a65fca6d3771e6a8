"""``config``: every setting, its value and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec import structs

from chatgpt_to_api.cli.exits import CODES, Exit
from chatgpt_to_api.cli.folder_check import missing_token_file
from chatgpt_to_api.cli.options import (
    Config,
    DataDir,
    Json,
    Verbose,
    load_settings,
    new_app,
    settings,
)
from chatgpt_to_api.cli.output import plural, print_json, table
from chatgpt_to_api.config.errors import ConfigError
from chatgpt_to_api.config.load import Loaded
from chatgpt_to_api.config.show import rows
from chatgpt_to_api.config.sources import DEFAULT

app = new_app("The configuration: show it, check it.")


@app.command(epilog=CODES)
def show(
    config: Config = None,
    data_dir: DataDir = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not at its default.")
    ] = False,
    as_json: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell what each setting means, too.")
    ] = False,
) -> None:
    """Show every setting, its value and where it came from.

    Secrets are masked.
    """
    loaded = settings(config, data_dir)
    found = [row for row in rows(loaded) if not changed or row.origin != DEFAULT]
    if as_json:
        print_json(
            {"settings": [structs.asdict(row) for row in found], "warnings": loaded.warnings}
        )
        return
    head = ["SETTING", "VALUE", "FROM", "VARIABLE"]
    lines = [[row.key, row.value, row.origin, ", ".join(row.env)] for row in found]
    if verbose:
        head.append("MEANING")
        lines = [[*line, row.description] for line, row in zip(lines, found, strict=True)]
    print(table(head, lines) if lines else "Every setting is at its default.")
    for warning in loaded.warnings:
        print(f"warning: {warning}")


@app.command(epilog=CODES)
def check(
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Check the configuration, and name every problem.

    Exit code 3 if it cannot be used.
    """
    if as_json:
        _check_for_programs(config, data_dir)
        return
    loaded = settings(config, data_dir)
    file = loaded.settings.config_file or None
    print(f"The configuration is good ({file or 'no configuration file'}).")
    warnings = _warnings(loaded)
    if warnings:
        print(f"{plural(len(warnings), 'warning')}:")
    for warning in warnings:
        print(f"  {warning}")


def _check_for_programs(config: Path | None, data_dir: Path | None) -> None:
    """Print what is wrong as JSON; exit code 3 if anything is."""
    try:
        loaded = load_settings(config, data_dir)
    except ConfigError as error:
        print_json({"ok": False, "problems": error.problems})
        raise typer.Exit(Exit.CONFIG) from None
    file = loaded.settings.config_file or None
    print_json({"ok": True, "config_file": file, "warnings": _warnings(loaded)})


def _warnings(loaded: Loaded) -> list[str]:
    """What works, but hardly as it was meant."""
    missing = missing_token_file(loaded.settings)
    return [*loaded.warnings, *([missing] if missing else [])]
