"""What can be wrong with the data folder, each error said so that a person can act on it."""

from __future__ import annotations

from pathlib import Path

from chatgpt_to_api.errors import Unavailable


class StoreError(Exception):
    """The data folder cannot be used; the message names the file and the way out."""


class WrongKey(StoreError):
    """The key at hand is not the one the stored secrets were sealed with."""


class SchemaTooNew(StoreError):
    """The database was written by a newer release."""

    def __init__(self, path: Path, found: str, known: str) -> None:
        super().__init__(
            f"{path} has schema {found}, newer than this release knows ({known}). "
            "Start the newer release, or restore a backup made before the upgrade."
        )


class StoreUnavailable(Unavailable):
    """The database refused a read or a write (full disk, lost volume): a 503 for the caller."""

    code = "store_unavailable"
