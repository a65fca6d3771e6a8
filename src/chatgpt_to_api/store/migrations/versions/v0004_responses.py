"""Stored responses, and conversations made of their items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "response_threads",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("notes", sa.LargeBinary),
    )
    op.create_index("response_threads_of_owner", "response_threads", ["owner", "used"])
    op.create_index("response_threads_by_use", "response_threads", ["used"])
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("thread", sa.Text, _of_thread(), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_responses_thread", "responses", ["thread"])
    op.create_table(
        "response_items",
        sa.Column("thread", sa.Text, _of_thread(), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("response_items_by_id", "response_items", ["id"])


def _of_thread() -> sa.ForeignKey:
    return sa.ForeignKey("response_threads.id", ondelete="CASCADE")
