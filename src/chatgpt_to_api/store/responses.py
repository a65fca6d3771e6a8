"""Stored responses and conversations of items, each visible to its owner alone.

What was asked and answered is somebody's private words, so it is sealed like secrets; ids, times
and sizes are not. Every query names the owner: a response of another owner does not exist.
Responses that follow each other are a *thread*: it is kept, and forgotten, as a whole, counted from
its last use. A conversation is a thread of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from chatgpt_to_api.config.settings import ResponseSettings
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.store.errors import StoreUnavailable, WrongKey
from chatgpt_to_api.store.tables import response_items as items_table
from chatgpt_to_api.store.tables import response_threads as threads
from chatgpt_to_api.store.tables import responses as table

DAY: Final = 86400.0

SWEEP_AT_ONCE: Final = 200
"""Most threads one sweep removes in a transaction: nobody's response shall wait for all of them."""

LONGEST_THREAD: Final = 4000
"""Most responses that can follow each other."""


class KeptResponse(msgspec.Struct, frozen=True):
    """A response: what every reader sees of it, the items it was asked with, those it answered.

    ``response`` is the object without its ``output``. ``input`` is what this response alone
    brought; what preceded it is in the responses before.
    """

    response: Raw
    input: list[Raw]
    output: list[Raw]


class Item(NamedTuple):
    """An item with the id it is known by."""

    id: str
    json: Raw


class Before(NamedTuple):
    """What precedes a response: the thread it joins, and all items of it, oldest first."""

    thread: str
    items: list[Raw]


class KeptConversation(NamedTuple):
    """A conversation, without its items; ``notes`` is the JSON its owner noted on it."""

    id: str
    created: float
    notes: Raw


_READ: Final = msgspec.json.Decoder(KeptResponse)


class StoredResponses:
    """Reads and writes them. Times are Unix seconds, handed in."""

    def __init__(self, store: Store, bounds: ResponseSettings) -> None:
        self.bounds = bounds
        self._store = store

    # -- responses ---------------------------------------------------------------------------

    async def save(
        self,
        owner: str,
        id: str,
        kept: KeptResponse,
        *,
        thread: str,
        previous: str | None,
        now: float,
    ) -> None:
        """Keep a response at the end of ``thread``, which is made if need be."""
        await self._store.write(
            lambda c: self._save(c, owner, id, kept, thread=thread, previous=previous, now=now)
        )

    def _save(
        self,
        connection: Connection,
        owner: str,
        id: str,
        kept: KeptResponse,
        *,
        thread: str,
        previous: str | None,
        now: float,
    ) -> None:
        sealed = self._seal(msgspec.json.encode(kept), _response_place(id))
        self._use(connection, owner, thread, len(sealed), now)
        row = {"id": id, "thread": thread, "owner": owner, "previous": previous}
        connection.execute(insert(table).values(**row, created=now, sealed=sealed))
        self._make_room(connection, owner, thread)

    async def response(self, owner: str, id: str) -> KeptResponse | None:
        """One response, or None."""
        return await self._store.read(lambda c: self._response(c, owner, id))

    async def before(self, owner: str, id: str) -> Before | None:
        """All items up to the end of a response; None where it, or one before it, is not there."""
        return await self._store.read(lambda c: self._before(c, owner, id))

    async def drop(self, owner: str, id: str) -> bool:
        """Forget a response; False where there is none."""

        def change(connection: Connection) -> bool:
            found = connection.execute(_mine(table, owner, id)).first()
            if found is None:
                return False
            connection.execute(delete(table).where(table.c.id == id))
            left = select(func.count()).select_from(table).where(table.c.thread == found.thread)
            if connection.execute(left).scalar_one():
                self._grow(connection, found.thread, -len(found.sealed))
            else:
                connection.execute(delete(threads).where(threads.c.id == found.thread))
            return True

        return await self._store.write(change)

    def _response(self, connection: Connection, owner: str, id: str) -> KeptResponse | None:
        row = connection.execute(_mine(table, owner, id)).first()
        return None if row is None else self._open(row)

    def _before(self, connection: Connection, owner: str, id: str) -> Before | None:
        up = (
            select(table.c.id, table.c.previous, literal(1).label("depth"))
            .where(table.c.id == id, table.c.owner == owner)
            .cte("up", recursive=True)
        )
        above = table.alias("above")
        up = up.union_all(
            select(above.c.id, above.c.previous, up.c.depth + 1).where(
                above.c.owner == owner, above.c.id == up.c.previous, up.c.depth < LONGEST_THREAD
            )
        )
        statement = (
            select(table, up.c.depth).join(up, table.c.id == up.c.id).order_by(up.c.depth.desc())
        )
        rows = connection.execute(statement).all()
        if not rows or rows[0].previous is not None:
            return None
        items: list[Raw] = []
        for row in rows:
            kept = self._open(row)
            items += kept.input
            items += kept.output
        return Before(rows[0].thread, items)

    # -- conversations -----------------------------------------------------------------------

    async def begin(
        self, owner: str, id: str, notes: bytes, items: Sequence[Item], now: float
    ) -> None:
        """Make a conversation."""
        sealed = self._seal(notes, _notes_place(id))

        def change(connection: Connection) -> None:
            self._use(connection, owner, id, len(sealed), now)
            connection.execute(update(threads).where(threads.c.id == id).values(notes=sealed))
            self._append(connection, id, items)
            self._make_room(connection, owner, id)

        await self._store.write(change)

    async def conversation(self, owner: str, id: str) -> KeptConversation | None:
        """One conversation, or None."""
        row = await self._store.read(lambda c: c.execute(_conversation(owner, id)).first())
        if row is None:
            return None
        return KeptConversation(id, row.created, self._unseal(row.notes, _notes_place(id)))

    async def note(self, owner: str, id: str, notes: bytes) -> bool:
        """Replace what is noted on a conversation; False where there is none."""
        sealed = self._seal(notes, _notes_place(id))

        def change(connection: Connection) -> bool:
            found = connection.execute(_conversation(owner, id)).first()
            if found is None:
                return False
            size = found.size + len(sealed) - len(found.notes)
            changed = update(threads).where(threads.c.id == id).values(notes=sealed, size=size)
            connection.execute(changed)
            return True

        return await self._store.write(change)

    async def end(self, owner: str, id: str) -> bool:
        """Forget a conversation and its items; False where there is none."""

        def change(connection: Connection) -> bool:
            if connection.execute(_conversation(owner, id)).first() is None:
                return False
            connection.execute(delete(threads).where(threads.c.id == id))
            return True

        return await self._store.write(change)

    async def items(self, owner: str, id: str) -> list[Item] | None:
        """All items of a conversation, oldest first; None where there is no such conversation."""

        def query(connection: Connection) -> list[Item] | None:
            if connection.execute(_conversation(owner, id)).first() is None:
                return None
            statement = select(items_table).where(items_table.c.thread == id)
            rows = connection.execute(statement.order_by(items_table.c.position))
            return [self._item(row) for row in rows]

        return await self._store.read(query)

    async def append(
        self,
        owner: str,
        id: str,
        items: Sequence[Item],
        now: float,
        response: tuple[str, KeptResponse] | None = None,
    ) -> bool:
        """Add items to a conversation; False where there is none. One that is there stays.

        The ``response`` that brought them is kept in the same transaction, by itself.
        """

        def change(connection: Connection) -> bool:
            if response is not None:
                name, kept = response
                self._save(connection, owner, name, kept, thread=name, previous=None, now=now)
            if connection.execute(_conversation(owner, id)).first() is None:
                return False
            self._use(connection, owner, id, 0, now)
            self._append(connection, id, items)
            self._make_room(connection, owner, id)
            return True

        return await self._store.write(change)

    async def drop_item(self, owner: str, id: str, item: str) -> bool:
        """Take an item out of a conversation; False where there is none."""

        def change(connection: Connection) -> bool:
            if connection.execute(_conversation(owner, id)).first() is None:
                return False
            here = and_(items_table.c.thread == id, items_table.c.id == item)
            found = connection.execute(select(items_table).where(here)).first()
            if found is None:
                return False
            connection.execute(delete(items_table).where(here))
            self._grow(connection, id, -len(found.sealed))
            return True

        return await self._store.write(change)

    async def item(self, owner: str, item: str) -> Raw | None:
        """The item with an id, of any conversation."""

        def query(connection: Connection) -> Raw | None:
            statement = (
                select(items_table)
                .join(threads, threads.c.id == items_table.c.thread)
                .where(items_table.c.id == item, threads.c.owner == owner)
            )
            row = connection.execute(statement).first()
            return None if row is None else self._item(row).json

        return await self._store.read(query)

    # -- bounds ------------------------------------------------------------------------------

    async def prune(self, now: float) -> int:
        """Remove threads that have not been used for too long; return how many."""
        if not self.bounds.keep:
            return 0
        old = threads.c.used < now - self.bounds.keep * DAY
        statement = select(threads.c.id).where(old).limit(SWEEP_AT_ONCE)

        def change(connection: Connection) -> int:
            ids = list(connection.execute(statement).scalars())
            for id in ids:
                connection.execute(delete(threads).where(threads.c.id == id))
            return len(ids)

        removed = 0
        while swept := await self._store.write(change):
            removed += swept
        return removed

    def _use(self, connection: Connection, owner: str, thread: str, added: int, now: float) -> None:
        """Note that a thread is used now and has grown; it is made if need be."""
        grown = (
            update(threads)
            .where(threads.c.id == thread, threads.c.owner == owner)
            .values(used=now, size=threads.c.size + added)
        )
        if not connection.execute(grown).rowcount:
            begun = {"id": thread, "owner": owner, "created": now, "used": now, "size": added}
            connection.execute(insert(threads).values(**begun))

    def _grow(self, connection: Connection, thread: str, added: int) -> None:
        grown = update(threads).where(threads.c.id == thread)
        connection.execute(grown.values(size=threads.c.size + added))

    def _append(self, connection: Connection, thread: str, items: Sequence[Item]) -> None:
        mine = items_table.c.thread == thread
        last = select(func.coalesce(func.max(items_table.c.position), -1)).where(mine)
        position = connection.execute(last).scalar_one()
        ids = select(items_table.c.id).where(mine, items_table.c.id.in_([i.id for i in items]))
        there = set(connection.execute(ids).scalars())
        added = 0
        for item in items:
            if item.id in there:
                continue
            there.add(item.id)
            position += 1
            sealed = self._seal(bytes(item.json), _item_place(thread, item.id))
            row = {"thread": thread, "id": item.id, "position": position, "sealed": sealed}
            connection.execute(insert(items_table).values(**row))
            added += len(sealed)
        self._grow(connection, thread, added)

    def _make_room(self, connection: Connection, owner: str, thread: str) -> None:
        """Remove the longest unused threads where there is too much; never ``thread``."""
        others = threads.c.id != thread
        size = select(func.coalesce(func.sum(threads.c.size), 0))
        mine = threads.c.owner == owner
        over = connection.execute(size.where(mine)).scalar_one() - self.bounds.max_bytes
        _remove_oldest(connection, and_(mine, others), over)
        over = connection.execute(size).scalar_one() - self.bounds.max_bytes_in_all
        _remove_oldest(connection, others, over)

    # -- sealing -----------------------------------------------------------------------------

    def _open(self, row: Any) -> KeptResponse:
        return _READ.decode(self._unseal(row.sealed, _response_place(row.id)))

    def _item(self, row: Any) -> Item:
        return Item(row.id, self._unseal(row.sealed, _item_place(row.thread, row.id)))

    def _seal(self, json: bytes, place: str) -> bytes:
        return self._store.cipher.seal(json.decode(), place)

    def _unseal(self, sealed: bytes, place: str) -> Raw:
        try:
            return Raw(self._store.cipher.unseal(sealed, place).encode())
        except WrongKey as error:
            raise StoreUnavailable(f"The response cannot be read: {error}") from error


def _remove_oldest(connection: Connection, which: ColumnElement[bool], size: int) -> None:
    if size <= 0:
        return
    statement = select(threads.c.id, threads.c.size).where(which).order_by(threads.c.used)
    chosen = []
    with connection.execute(statement) as oldest:
        for row in oldest:
            if size <= 0:
                break
            chosen.append(row.id)
            size -= row.size
    for id in chosen:
        connection.execute(delete(threads).where(threads.c.id == id))


def _mine(source: Any, owner: str, id: str) -> Any:
    return select(source).where(source.c.id == id, source.c.owner == owner)


def _conversation(owner: str, id: str) -> Any:
    return _mine(threads, owner, id).where(threads.c.notes.is_not(None))


def _response_place(id: str) -> str:
    return f"responses.sealed:{id}"


def _notes_place(id: str) -> str:
    return f"response_threads.notes:{id}"


def _item_place(thread: str, id: str) -> str:
    return f"response_items.sealed:{thread}/{id}"
