"""Alembic's entry: run the migrations on the connection that the caller hands in."""

from __future__ import annotations

from alembic import context

# The caller's transaction holds all migrations: one that fails leaves the schema as it was.
context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
