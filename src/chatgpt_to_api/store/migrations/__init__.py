"""The schema's history. Alembic is imported only where a database has to be moved along it.

A new migration is a file in ``versions/`` and its name at the end of REVISIONS.
"""

from __future__ import annotations

from typing import Final

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""Every revision, oldest first."""

HEAD: Final = REVISIONS[-1]
