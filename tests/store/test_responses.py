"""Stored responses: each owner's own, kept as threads, bounded, forgotten when unused."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
from msgspec import Raw

from chatgpt_to_api.config.settings import ResponseSettings
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.responses import DAY, Item, KeptResponse, StoredResponses

BOUNDS = ResponseSettings()


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def kept(*, asked: str = "hi", said: str = "hello", filler: int = 0) -> KeptResponse:
    response = {"id": "x", "filler": "y" * filler}
    return KeptResponse(
        raw(response), [raw({"in": asked})], [raw({"id": f"m {said}", "out": said})]
    )


def texts(items: list[Raw]) -> list[object]:
    return [msgspec.json.decode(item) for item in items]


async def save(
    stored: StoredResponses,
    id: str,
    *,
    owner: str = "ann",
    thread: str = "t",
    previous: str | None = None,
    now: float = 0.0,
    response: KeptResponse | None = None,
) -> None:
    given = response or kept()
    await stored.save(owner, id, given, thread=thread, previous=previous, now=now)


async def test_a_response_reads_back_as_it_was(store: Store) -> None:
    """Response, input and output; nothing of another id."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1")
    assert await stored.response("ann", "r1") == kept()
    assert await stored.response("ann", "r2") is None


async def test_another_owners_response_does_not_exist(store: Store) -> None:
    """Neither to read, nor to follow, nor to delete; nor does a conversation or its items."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1")
    await stored.begin("ann", "c1", b"{}", [Item("i1", raw({"id": "i1"}))], 0.0)
    assert await stored.response("bob", "r1") is None
    assert await stored.before("bob", "r1") is None
    assert not await stored.drop("bob", "r1")
    assert await stored.conversation("bob", "c1") is None
    assert await stored.items("bob", "c1") is None
    assert await stored.item("bob", "i1") is None
    assert not await stored.append("bob", "c1", [Item("i2", raw({}))], 0.0)
    assert not await stored.end("bob", "c1")
    assert await stored.response("ann", "r1") == kept()
    assert await stored.item("ann", "i1") == raw({"id": "i1"})


async def test_what_precedes_a_response_is_all_of_its_chain(store: Store) -> None:
    """Oldest first, input before output, along one branch alone."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1", response=kept(asked="1", said="one"))
    await save(stored, "r2", previous="r1", response=kept(asked="2", said="two"))
    await save(stored, "other", previous="r1", response=kept(asked="-", said="-"))
    await save(stored, "r3", previous="r2", response=kept(asked="3", said="three"))
    found = await stored.before("ann", "r3")
    assert found is not None
    assert found.thread == "t"
    assert texts(found.items) == [
        {"in": "1"},
        {"id": "m one", "out": "one"},
        {"in": "2"},
        {"id": "m two", "out": "two"},
        {"in": "3"},
        {"id": "m three", "out": "three"},
    ]


async def test_a_chain_with_a_gap_cannot_be_followed(store: Store) -> None:
    """Half a history would be another question: who deleted a part has to begin anew."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1")
    await save(stored, "r2", previous="r1")
    assert await stored.drop("ann", "r1")
    assert await stored.before("ann", "r2") is None
    assert await stored.response("ann", "r2") == kept()


async def test_the_last_response_takes_its_thread_along(store: Store, data_dir: Path) -> None:
    """Nothing is left of a thread whose responses were all deleted."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1")
    await save(stored, "r2", previous="r1")
    assert await stored.drop("ann", "r2")
    assert await stored.drop("ann", "r1")
    assert not await stored.drop("ann", "r1")
    assert rows(data_dir, "response_threads") == rows(data_dir, "responses") == 0


def rows(data_dir: Path, table: str) -> int:
    with sqlite3.connect(database_path(data_dir)) as connection:
        [count] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


async def test_a_conversation_keeps_its_items_in_order(store: Store) -> None:
    """Made, grown, noted, an item taken out, ended; an item that is there is not added again."""
    stored = StoredResponses(store, BOUNDS)
    await stored.begin("ann", "c1", b'{"a":"b"}', [Item("i1", raw(1))], 5.0)
    response = ("r1", kept())
    assert await stored.append("ann", "c1", [Item("i2", raw(2)), Item("i1", raw(9))], 6.0, response)
    assert await stored.items("ann", "c1") == [Item("i1", raw(1)), Item("i2", raw(2))]
    assert await stored.response("ann", "r1") == kept()
    found = await stored.conversation("ann", "c1")
    assert found is not None
    assert (found.created, bytes(found.notes)) == (5.0, b'{"a":"b"}')
    assert await stored.note("ann", "c1", b"{}")
    assert await stored.drop_item("ann", "c1", "i1")
    assert not await stored.drop_item("ann", "c1", "i1")
    assert await stored.append("ann", "c1", [Item("i3", raw(3))], 7.0)
    assert await stored.items("ann", "c1") == [Item("i2", raw(2)), Item("i3", raw(3))]
    assert await stored.end("ann", "c1")
    assert await stored.conversation("ann", "c1") is None
    assert await stored.response("ann", "r1") == kept(), "a response outlives its conversation"


async def test_a_threads_size_is_what_hangs_on_it(store: Store, data_dir: Path) -> None:
    """Adding and taking away leave the count right: bounds rest on it."""
    stored = StoredResponses(store, BOUNDS)
    await stored.begin("ann", "c1", b"{}", [Item("i1", raw("x" * 99))], 0.0)
    await stored.append("ann", "c1", [Item("i2", raw("y" * 50))], 0.0)
    await stored.drop_item("ann", "c1", "i1")
    await stored.note("ann", "c1", b'{"some":"thing longer"}')
    await save(stored, "r1")
    await save(stored, "r2", previous="r1")
    await stored.drop("ann", "r2")
    with sqlite3.connect(database_path(data_dir)) as connection:
        told = connection.execute("SELECT id, size FROM response_threads ORDER BY id").fetchall()
        [[notes]] = connection.execute(
            "SELECT length(notes) FROM response_threads WHERE notes IS NOT NULL"
        )
        [[items]] = connection.execute("SELECT sum(length(sealed)) FROM response_items")
        [[responses]] = connection.execute("SELECT sum(length(sealed)) FROM responses")
    assert told == [("c1", notes + items), ("t", responses)]


async def test_what_nobody_used_for_long_is_forgotten(store: Store, data_dir: Path) -> None:
    """Counted from a thread's last use; for ever where the setting says so."""
    stored = StoredResponses(store, ResponseSettings(keep=30))
    await save(stored, "old", thread="a", now=0.0)
    await save(stored, "first", thread="b", now=0.0)
    await save(stored, "next", thread="b", previous="first", now=29 * DAY)
    await stored.begin("ann", "c1", b"{}", [Item("i1", raw(1))], 0.0)
    assert await StoredResponses(store, ResponseSettings(keep=0)).prune(1000 * DAY) == 0
    assert await stored.prune(30 * DAY + 1) == 2
    assert await stored.response("ann", "old") is None
    assert await stored.conversation("ann", "c1") is None
    assert rows(data_dir, "response_items") == 0
    assert await stored.before("ann", "next") is not None


async def test_one_sweep_removes_any_number(store: Store) -> None:
    """However many have expired, they are removed in steps that let others write between."""
    stored = StoredResponses(store, ResponseSettings(keep=1))
    await asyncio.gather(*(save(stored, f"r{n}", thread=f"t{n}") for n in range(450)))
    assert await stored.prune(2 * DAY) == 450


async def test_the_longest_unused_make_room(store: Store) -> None:
    """Of one owner, and of all; never what is being kept right now."""
    bounds = ResponseSettings(max_bytes=4000, max_bytes_in_all=7000)
    stored = StoredResponses(store, bounds)
    big = kept(filler=1500)
    await save(stored, "a1", thread="a1", now=1.0, response=big)
    await save(stored, "a2", thread="a2", now=2.0, response=big)
    await save(stored, "a3", thread="a3", now=3.0, response=big)
    assert [await stored.response("ann", id) is not None for id in ("a1", "a2", "a3")] == [
        False,
        True,
        True,
    ]
    await save(stored, "b1", owner="bob", thread="b1", now=4.0, response=big)
    await save(stored, "b2", owner="bob", thread="b2", now=5.0, response=big)
    await save(stored, "c1", owner="cid", thread="c1", now=6.0, response=big)
    assert await stored.response("ann", "a2") is None
    assert await stored.response("cid", "c1") is not None
    await save(stored, "huge", owner="cid", thread="h", now=7.0, response=kept(filler=9000))
    assert await stored.response("cid", "huge") is not None


async def test_nothing_said_is_readable_in_the_file(store: Store, data_dir: Path) -> None:
    """What was asked, answered and noted is sealed."""
    stored = StoredResponses(store, BOUNDS)
    await save(stored, "r1", response=kept(asked="MY-QUESTION", said="THE-ANSWER"))
    await stored.begin("ann", "c1", b'{"a":"MY-NOTE"}', [Item("i1", raw("MY-ITEM"))], 0.0)
    await store.close()
    written = b"".join(path.read_bytes() for path in data_dir.glob("*.db*"))
    for secret in (b"MY-QUESTION", b"THE-ANSWER", b"MY-NOTE", b"MY-ITEM"):
        assert secret not in written
