"""Upstreams and routes that are managed at run time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make their tables."""
    for table, key in (("managed_upstreams", "name"), ("managed_routes", "id")):
        op.create_table(
            table,
            sa.Column(key, sa.Text, primary_key=True),
            sa.Column("position", sa.Integer, nullable=False),
            sa.Column("changed", sa.Float, nullable=False),
            sa.Column("sealed", sa.LargeBinary, nullable=False),
        )
