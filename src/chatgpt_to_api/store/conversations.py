"""Kept conversations: trees of messages, each visible to its owner alone.

Titles and messages are somebody's private words, so they are sealed like secrets; ids, times and
sizes are not. Every query names the owner: a conversation of another owner does not exist.
What is kept is bounded by the settings; the longest unused conversations make room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from chatgpt_to_api.chat.events import FinishReason
from chatgpt_to_api.chat.request import Role
from chatgpt_to_api.chat.tree import Node, Summary, Tree, walk
from chatgpt_to_api.config.settings import ConversationSettings
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import StoreUnavailable, WrongKey
from chatgpt_to_api.store.tables import conversation_nodes as nodes_table
from chatgpt_to_api.store.tables import conversations as table

DAY: Final = 86400.0

HIDDEN_FOR: Final = 30 * DAY
"""How long a hidden (deleted) conversation can still be shown again, seconds."""

SWEEP_EVERY: Final = 600.0
"""How often conversations that have expired are looked for, seconds."""

SWEEP_AT_ONCE: Final = 200
"""Most conversations one sweep removes: nobody's turn shall wait for a large one."""

RECOUNT_AT: Final = 64
"""All bytes are counted anew when this part of ``max_bytes_in_all`` was added: one 64th."""


class Thread(msgspec.Struct, frozen=True):
    """What a turn needs of a conversation.

    ``path`` leads from the root to the message asked for, None where that is unknown. ``known``
    holds the messages that exist among the ids asked about. ``size`` is in bytes.
    """

    root: str
    current: str
    nodes: int
    size: int
    path: tuple[Node, ...] | None
    known: dict[str, Node]


class _Sealed(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Role
    text: str
    model: str = ""
    asked_model: str = ""
    finish: FinishReason | None = None


_READ_SEALED: Final = msgspec.json.Decoder(_Sealed)


class StoredConversations:
    """Reads and writes conversations. Times are Unix seconds, handed in."""

    def __init__(self, store: Store, bounds: ConversationSettings) -> None:
        self.bounds = bounds
        self._store = store
        # Both are used on the one thread that writes.
        self._swept = float("-inf")
        self._added = 0

    # -- reading -----------------------------------------------------------------------------

    async def thread(
        self, owner: str, conversation: str, leaf: str | None, ids: Sequence[str] = ()
    ) -> Thread | None:
        """The path to ``leaf`` (None: to the current message); None if there is no such chat."""
        return await self._store.read(lambda c: self._thread(c, owner, conversation, leaf, ids))

    async def tree(self, owner: str, conversation: str) -> Tree | None:
        """A whole conversation, or None."""
        return await self._store.read(lambda c: self._tree(c, owner, conversation))

    async def listing(self, owner: str, offset: int, limit: int) -> tuple[list[Summary], int]:
        """A page of the owner's conversations, latest first, and how many there are in all."""
        return await self._store.read(lambda c: self._listing(c, owner, offset, limit))

    # -- writing -----------------------------------------------------------------------------

    async def save(
        self, owner: str, conversation: str, root: str, nodes: Sequence[Node], now: float
    ) -> None:
        """Add messages; the last becomes the current one. The conversation is made if need be.

        A message whose id is already there stays as it is, so that saving twice is saving once.
        """
        await self._store.write(lambda c: self._save(c, owner, conversation, root, nodes, now))

    async def retitle(self, owner: str, conversation: str, title: str) -> bool:
        """Give a title; False where there is no such conversation."""
        sealed = self._seal_title(conversation, title)
        return await self._change(_mine(owner, conversation), title=sealed)

    async def hide(self, owner: str, conversation: str, now: float) -> bool:
        """Take a conversation from sight; False where there is none."""
        return await self._change(_mine(owner, conversation), hidden=now)

    async def show(self, owner: str, conversation: str) -> bool:
        """Undo :meth:`hide`; False where there is no such conversation."""
        return await self._change(
            and_(table.c.owner == owner, table.c.id == conversation), hidden=None
        )

    async def hide_all(self, owner: str, now: float) -> None:
        """Take all of an owner's conversations from sight."""
        await self._change(and_(table.c.owner == owner, table.c.hidden.is_(None)), hidden=now)

    async def _change(self, which: ColumnElement[bool], **values: Any) -> bool:
        statement = update(table).where(which).values(**values)
        return await self._store.write(lambda c: c.execute(statement).rowcount > 0)

    # -- queries -----------------------------------------------------------------------------

    def _thread(
        self,
        connection: Connection,
        owner: str,
        conversation: str,
        leaf: str | None,
        ids: Sequence[str],
    ) -> Thread | None:
        found = connection.execute(select(table).where(_mine(owner, conversation))).first()
        if found is None:
            return None
        leaf = found.current if leaf is None else leaf
        way = self._up(connection, conversation, leaf, found.nodes)
        known = _nodes_of(conversation).where(nodes_table.c.id.in_(ids))
        rows = connection.execute(known).all() if ids else []
        return Thread(
            found.root,
            found.current,
            found.nodes,
            found.size,
            walk(way, found.root, leaf),
            {row.id: self._node(conversation, row) for row in rows},
        )

    def _up(
        self, connection: Connection, conversation: str, leaf: str, most: int
    ) -> dict[str, Node]:
        """The messages above ``leaf``, itself included, at most ``most`` steps up."""
        up = (
            select(nodes_table.c.id, nodes_table.c.parent, literal(1).label("depth"))
            .where(nodes_table.c.conversation == conversation, nodes_table.c.id == leaf)
            .cte("up", recursive=True)
        )
        above = nodes_table.alias("above")
        up = up.union_all(
            select(above.c.id, above.c.parent, up.c.depth + 1).where(
                above.c.conversation == conversation,
                above.c.id == up.c.parent,
                up.c.depth < most,
            )
        )
        statement = _nodes_of(conversation).where(nodes_table.c.id.in_(select(up.c.id)))
        rows = connection.execute(statement)
        return {row.id: self._node(conversation, row) for row in rows}

    def _tree(self, connection: Connection, owner: str, conversation: str) -> Tree | None:
        found = connection.execute(select(table).where(_mine(owner, conversation))).first()
        if found is None:
            return None
        rows = connection.execute(_nodes_of(conversation).order_by(nodes_table.c.position))
        return Tree(
            conversation,
            self._title(found),
            found.created,
            found.updated,
            found.root,
            found.current,
            tuple(self._node(conversation, row) for row in rows),
        )

    def _listing(
        self, connection: Connection, owner: str, offset: int, limit: int
    ) -> tuple[list[Summary], int]:
        mine = and_(table.c.owner == owner, table.c.hidden.is_(None))
        total = connection.execute(select(func.count()).select_from(table).where(mine)).scalar_one()
        page = (
            select(table)
            .where(mine)
            .order_by(table.c.updated.desc(), table.c.id)
            .offset(offset)
            .limit(limit)
        )
        found = [
            Summary(row.id, self._title(row), row.created, row.updated)
            for row in connection.execute(page)
        ]
        return found, total

    def _save(
        self,
        connection: Connection,
        owner: str,
        conversation: str,
        root: str,
        nodes: Sequence[Node],
        now: float,
    ) -> None:
        here = and_(table.c.owner == owner, table.c.id == conversation)
        found = connection.execute(select(table).where(here)).first()
        if found is None:
            if nodes[0].parent != root:  # it was removed to make room while this turn ran
                return
            begun = {"id": conversation, "owner": owner, "root": root, "current": root}
            times = {"created": now, "updated": now}
            connection.execute(insert(table).values(**begun, **times, nodes=0, size=0))
        ids = [node.id for node in nodes]
        statement = select(nodes_table.c.id).where(
            nodes_table.c.conversation == conversation, nodes_table.c.id.in_(ids)
        )
        there = set(connection.execute(statement).scalars())
        count = found.nodes if found is not None else 0
        added = 0
        for node in nodes:
            if node.id not in there:
                sealed = self._seal(conversation, node)
                connection.execute(
                    insert(nodes_table).values(
                        conversation=conversation,
                        id=node.id,
                        parent=node.parent,
                        position=count,
                        created=node.created,
                        sealed=sealed,
                    )
                )
                count += 1
                added += len(sealed)
        connection.execute(
            update(table)
            .where(here)
            .values(current=ids[-1], updated=now, nodes=count, size=table.c.size + added)
        )
        self._make_room(connection, owner, conversation, added, now)

    # -- bounds ------------------------------------------------------------------------------

    def _make_room(
        self, connection: Connection, owner: str, conversation: str, added: int, now: float
    ) -> None:
        """Remove what has expired, and the longest unused where there is too much."""
        bounds = self.bounds
        self._added += added
        others = table.c.id != conversation
        sweep = not 0 <= now - self._swept < SWEEP_EVERY  # also where the clock was set back
        if sweep:
            self._swept = now
            expired = table.c.hidden < now - HIDDEN_FOR
            if bounds.keep:
                expired = or_(expired, table.c.updated < now - bounds.keep * DAY)
            gone = select(table.c.id).where(expired, others).limit(SWEEP_AT_ONCE)
            _remove(connection, connection.execute(gone).scalars())
        mine = table.c.owner == owner
        counts = select(func.count(), func.sum(table.c.size)).select_from(table)
        count, size = connection.execute(counts.where(mine)).one()
        _remove_oldest(
            connection,
            and_(mine, others),
            count - bounds.max_count,
            size - bounds.max_bytes,
        )
        if sweep or self._added >= bounds.max_bytes_in_all // RECOUNT_AT:
            self._added = 0
            _, size = connection.execute(counts).one()
            _remove_oldest(connection, others, 0, size - bounds.max_bytes_in_all)

    # -- sealing -----------------------------------------------------------------------------

    def _seal(self, conversation: str, node: Node) -> bytes:
        inside = _Sealed(node.role, node.text, node.model, node.asked_model, node.finish)
        text = msgspec.json.encode(inside).decode()
        return self._store.cipher.seal(text, _node_place(conversation, node.id))

    def _node(self, conversation: str, row: Any) -> Node:
        inside = _READ_SEALED.decode(self._open(row.sealed, _node_place(conversation, row.id)))
        return Node(
            row.id,
            row.parent,
            inside.role,
            inside.text,
            row.created,
            inside.model,
            inside.asked_model,
            inside.finish,
        )

    def _seal_title(self, conversation: str, title: str) -> bytes | None:
        return self._store.cipher.seal(title, _title_place(conversation)) if title else None

    def _title(self, row: Any) -> str:
        return self._open(row.title, _title_place(row.id)) if row.title is not None else ""

    def _open(self, sealed: bytes, place: str) -> str:
        try:
            return self._store.cipher.unseal(sealed, place)
        except WrongKey as error:
            raise StoreUnavailable(f"The conversation cannot be read: {error}") from error


def _remove_oldest(
    connection: Connection, which: ColumnElement[bool], count: int, size: int
) -> None:
    """Remove at least ``count`` conversations and ``size`` bytes, longest unused first."""
    if count <= 0 and size <= 0:
        return
    statement = select(table.c.id, table.c.size).where(which).order_by(table.c.updated)
    chosen = []
    with connection.execute(statement) as oldest:
        for row in oldest:
            if count <= 0 and size <= 0:
                break
            chosen.append(row.id)
            count -= 1
            size -= row.size
    _remove(connection, chosen)


def _remove(connection: Connection, ids: Iterable[str]) -> None:
    for conversation in list(ids):
        connection.execute(delete(table).where(table.c.id == conversation))


def _mine(owner: str, conversation: str) -> ColumnElement[bool]:
    return and_(table.c.owner == owner, table.c.id == conversation, table.c.hidden.is_(None))


def _nodes_of(conversation: str) -> Any:
    return select(nodes_table).where(nodes_table.c.conversation == conversation)


def _node_place(conversation: str, node: str) -> str:
    return f"conversation_nodes.sealed:{conversation}/{node}"


def _title_place(conversation: str) -> str:
    return f"conversations.title:{conversation}"
