"""Every table of the newest schema, as queries see it.

A new database is made from here, an old one is moved by the migrations; a test holds both equal.
So a change to a table is made twice: here, and as a migration.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata: Final = MetaData()

alembic_version: Final = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own: which revision the database is at."""

settings: Final = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("added", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""``sealed`` holds everything else about a credential, token and label alike."""

credential_states: Final = Table(
    "credential_states",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("credential", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
    Column("changed", Float, nullable=False),
)
"""What the pool learned of a credential; those given by the configuration have states too."""

managed_upstreams: Final = Table(
    "managed_upstreams",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("changed", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Upstreams given at run time; ``sealed`` holds their fields, headers and proxies among them."""

managed_routes: Final = Table(
    "managed_routes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("changed", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Routes given at run time, in their order."""

conversations: Final = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("hidden", Float),
    Column("root", Text, nullable=False),
    Column("current", Text, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("title", LargeBinary),
    Index("conversations_of_owner", "owner", "updated"),
    Index("conversations_by_age", "updated"),
)
"""``owner`` is a keyed digest, ``hidden`` when it was hidden, ``size`` the bytes of its nodes."""

conversation_nodes: Final = Table(
    "conversation_nodes",
    metadata,
    Column(
        "conversation",
        Text,
        ForeignKey("conversations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("id", Text, primary_key=True),
    Column("parent", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""One message each; ``sealed`` holds who wrote it and what it says."""

response_threads: Final = Table(
    "response_threads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("size", Integer, nullable=False),
    Column("notes", LargeBinary),
    Index("response_threads_of_owner", "owner", "used"),
    Index("response_threads_by_use", "used"),
)
"""What is kept and forgotten together: responses that follow each other, or a conversation, which
alone has ``notes``. ``owner`` is a keyed digest, ``size`` the bytes of all that hangs on it."""

responses: Final = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "thread",
        Text,
        ForeignKey("response_threads.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("owner", Text, nullable=False),
    Column("previous", Text),
    Column("created", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""One response each; ``sealed`` holds what was asked and answered."""

response_items: Final = Table(
    "response_items",
    metadata,
    Column(
        "thread",
        Text,
        ForeignKey("response_threads.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("response_items_by_id", "id"),
)
"""The items of conversations, in their order; ``sealed`` holds the item."""
