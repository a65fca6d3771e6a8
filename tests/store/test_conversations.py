"""Kept conversations: trees, owners, sealing, bounds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from chatgpt_to_api.chat.tree import Node, Tree
from chatgpt_to_api.config.settings import ConversationSettings
from chatgpt_to_api.store.conversations import (
    DAY,
    HIDDEN_FOR,
    SWEEP_EVERY,
    StoredConversations,
)
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import StoreUnavailable

ALICE, BOB = "a" * 64, "b" * 64


@pytest.fixture
async def kept(store: Store) -> StoredConversations:
    return StoredConversations(store, ConversationSettings())


def turn(parent: str, name: str, at: float = 100.0) -> list[Node]:
    """A question and its answer under ``parent``."""
    return [
        Node(f"u{name}", parent, "user", f"question {name}", at),
        Node(f"a{name}", f"u{name}", "assistant", f"answer {name} 潮", at, "real", "m", "stop"),
    ]


async def ids(kept: StoredConversations, owner: str) -> list[str]:
    page, total = await kept.listing(owner, 0, 100)
    assert total == len(page)
    return [summary.id for summary in page]


async def test_what_was_saved_is_read_back_whole(kept: StoredConversations) -> None:
    """Messages, their order, times and ends; the last answer is the current message."""
    first, second = turn("root", "1"), turn("a1", "2", 200.0)
    await kept.save(ALICE, "c", "root", first, 100.0)
    await kept.save(ALICE, "c", "root", second, 200.0)
    assert await kept.tree(ALICE, "c") == Tree(
        "c", "", 100.0, 200.0, "root", "a2", (*first, *second)
    )


async def test_a_thread_is_the_path_to_one_message(kept: StoredConversations) -> None:
    """Branches beside the path are not in it; ids asked about are told if they exist."""
    question, answer = turn("root", "1")
    other = Node("b1", "u1", "assistant", "another", 150.0, "real", "m", None)
    await kept.save(ALICE, "c", "root", [question, answer], 100.0)
    await kept.save(ALICE, "c", "root", [question, other], 150.0)
    thread = await kept.thread(ALICE, "c", "a1", ["u1", "nobody"])
    assert thread is not None
    assert thread.path == (question, answer)
    assert thread.known == {"u1": question}
    assert (thread.root, thread.current, thread.nodes) == ("root", "b1", 3)
    latest = await kept.thread(ALICE, "c", None)
    assert latest is not None
    assert latest.path == (question, other)
    unknown = await kept.thread(ALICE, "c", "nobody")
    assert unknown is not None
    assert unknown.path is None
    top = await kept.thread(ALICE, "c", "root")
    assert top is not None
    assert top.path == ()


async def test_a_long_thread_is_whole(kept: StoredConversations) -> None:
    """Nothing is lost of a chat of many turns."""
    parent = "root"
    for i in range(60):
        await kept.save(ALICE, "c", "root", turn(parent, str(i)), float(i))
        parent = f"a{i}"
    thread = await kept.thread(ALICE, "c", None)
    assert thread is not None
    assert thread.path is not None
    assert [node.id for node in thread.path] == [f"{r}{i}" for i in range(60) for r in "ua"]


async def test_parents_in_a_circle_are_no_thread(
    store: Store, kept: StoredConversations, data_dir: Path
) -> None:
    """A damaged database gives an unknown message, not an endless query."""
    await kept.save(ALICE, "c", "root", turn("root", "1"), 1.0)
    with sqlite3.connect(database_path(data_dir)) as connection:
        connection.execute("UPDATE conversation_nodes SET parent = 'a1' WHERE id = 'u1'")
    thread = await kept.thread(ALICE, "c", "a1")
    assert thread is not None
    assert thread.path is None


async def test_saving_twice_is_saving_once(kept: StoredConversations) -> None:
    """A turn settled twice stands once, as it was first."""
    first = turn("root", "1")
    await kept.save(ALICE, "c", "root", first, 100.0)
    before = await kept.thread(ALICE, "c", None)
    await kept.save(ALICE, "c", "root", first, 100.0)
    assert await kept.thread(ALICE, "c", None) == before


async def test_a_conversation_does_not_exist_for_another_owner(kept: StoredConversations) -> None:
    """Reading, listing, renaming, hiding: nothing reaches another owner's conversation."""
    await kept.save(ALICE, "c", "root", turn("root", "1"), 1.0)
    assert await kept.thread(BOB, "c", None) is None
    assert await kept.tree(BOB, "c") is None
    assert await ids(kept, BOB) == []
    assert not await kept.retitle(BOB, "c", "mine")
    assert not await kept.hide(BOB, "c", 2.0)
    assert not await kept.show(BOB, "c")
    await kept.hide_all(BOB, 2.0)
    tree = await kept.tree(ALICE, "c")
    assert tree is not None
    assert tree.title == ""
    assert await ids(kept, ALICE) == ["c"]


async def test_the_list_is_latest_first_and_in_pages(kept: StoredConversations) -> None:
    """Order is by the last turn; the total counts all pages."""
    for i, name in enumerate(["x", "y", "z"]):
        await kept.save(ALICE, name, "root", turn("root", "1"), float(i))
    await kept.save(ALICE, "x", "root", turn("a1", "2"), 9.0)
    await kept.retitle(ALICE, "z", "潮 tides")
    page, total = await kept.listing(ALICE, 0, 2)
    assert [(s.id, s.title, s.created, s.updated) for s in page] == [
        ("x", "", 0.0, 9.0),
        ("z", "潮 tides", 2.0, 2.0),
    ]
    assert total == 3
    page, total = await kept.listing(ALICE, 2, 2)
    assert ([s.id for s in page], total) == (["y"], 3)


async def test_hidden_is_gone_until_it_is_shown(kept: StoredConversations) -> None:
    """Hiding takes from every view; showing brings back; hiding all takes all."""
    await kept.save(ALICE, "c", "root", turn("root", "1"), 1.0)
    await kept.save(ALICE, "d", "root", turn("root", "1"), 2.0)
    assert await kept.hide(ALICE, "c", 3.0)
    assert await ids(kept, ALICE) == ["d"]
    assert await kept.tree(ALICE, "c") is None
    assert await kept.thread(ALICE, "c", None) is None
    assert not await kept.hide(ALICE, "c", 3.0)
    assert await kept.show(ALICE, "c")
    assert await ids(kept, ALICE) == ["d", "c"]
    await kept.hide_all(ALICE, 4.0)
    assert await ids(kept, ALICE) == []


async def test_words_are_sealed_on_the_disk(
    store: Store, kept: StoredConversations, data_dir: Path
) -> None:
    """Neither messages nor titles can be read from the files."""
    await kept.save(ALICE, "c", "root", turn("root", "1"), 1.0)
    await kept.retitle(ALICE, "c", "a title of mine")
    await store.close()
    raw = b"".join(path.read_bytes() for path in data_dir.glob("*.db*"))
    assert b"question 1" not in raw
    assert b"answer 1" not in raw
    assert b"title of mine" not in raw


async def test_a_message_moved_elsewhere_does_not_open(
    kept: StoredConversations, data_dir: Path
) -> None:
    """A sealed message belongs to its place; another's is a clear 503, not its text."""
    await kept.save(ALICE, "c", "root", turn("root", "1"), 1.0)
    with sqlite3.connect(database_path(data_dir)) as connection:
        connection.execute(
            "UPDATE conversation_nodes SET sealed ="
            " (SELECT sealed FROM conversation_nodes WHERE id = 'u1') WHERE id = 'a1'"
        )
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await kept.tree(ALICE, "c")


async def test_too_many_conversations_make_room_by_age(store: Store) -> None:
    """The owner's longest unused goes; another owner's and the current one stay."""
    kept = StoredConversations(store, ConversationSettings(max_count=2))
    await kept.save(BOB, "bobs", "root", turn("root", "1"), 0.0)
    await kept.save(ALICE, "one", "root", turn("root", "1"), 1.0)
    await kept.save(ALICE, "two", "root", turn("root", "1"), 2.0)
    await kept.save(ALICE, "one", "root", turn("a1", "2"), 3.0)
    await kept.save(ALICE, "three", "root", turn("root", "1"), 4.0)
    assert await ids(kept, ALICE) == ["three", "one"]
    assert await ids(kept, BOB) == ["bobs"]


async def test_too_many_bytes_of_an_owner_make_room(store: Store) -> None:
    """Bytes count too, and the conversation being written is never the one that goes."""
    kept = StoredConversations(store, ConversationSettings(max_bytes=3000))
    big = [Node("u", "root", "user", "x" * 1200, 1.0)]
    for i, name in enumerate(["one", "two", "three"]):
        await kept.save(ALICE, name, "root", big, float(i))
    assert await ids(kept, ALICE) == ["three", "two"]
    await kept.save(ALICE, "huge", "root", [Node("u", "root", "user", "x" * 9000, 1.0)], 9.0)
    assert await ids(kept, ALICE) == ["huge"]


async def test_too_many_bytes_in_all_make_room(store: Store) -> None:
    """With any bearer an owner, only a bound over all owners keeps the disk free."""
    kept = StoredConversations(store, ConversationSettings(max_bytes_in_all=5000))
    for i in range(10):
        await kept.save(f"{i}" * 64, f"c{i}", "root", [Node("u", "root", "user", "x" * 1200, 1)], i)
    left = [i for i in range(10) if await ids(kept, f"{i}" * 64)]
    assert left == [7, 8, 9]


async def test_what_is_removed_leaves_no_message_behind(store: Store, data_dir: Path) -> None:
    """Messages go with their conversation."""
    kept = StoredConversations(store, ConversationSettings(max_count=1))
    for i in range(3):
        await kept.save(ALICE, f"c{i}", "root", turn("root", "1"), float(i))
    with sqlite3.connect(database_path(data_dir)) as connection:
        rows = connection.execute("SELECT DISTINCT conversation FROM conversation_nodes").fetchall()
    assert rows == [("c2",)]


async def test_conversations_expire(store: Store) -> None:
    """Unused ones after their time, hidden ones after theirs; 0 keeps for ever."""
    kept = StoredConversations(store, ConversationSettings(keep=90))
    for name in ("old", "hidden", "used"):
        await kept.save(ALICE, name, "root", turn("root", "1"), 0.0)
    await kept.hide(ALICE, "hidden", 1.0)
    later = HIDDEN_FOR + 2 * SWEEP_EVERY
    await kept.save(ALICE, "new", "root", turn("root", "1"), later)
    assert not await kept.show(ALICE, "hidden")
    assert sorted(await ids(kept, ALICE)) == ["new", "old", "used"]
    await kept.save(ALICE, "used", "root", turn("a1", "2"), 60 * DAY)
    await kept.save(ALICE, "newer", "root", turn("root", "1"), 91 * DAY)
    assert sorted(await ids(kept, ALICE)) == ["new", "newer", "used"]
    forever = StoredConversations(store, ConversationSettings(keep=0))
    await forever.save(ALICE, "newest", "root", turn("root", "1"), 9000 * DAY)
    assert sorted(await ids(forever, ALICE)) == ["new", "newer", "newest", "used"]


async def test_a_turn_of_a_conversation_that_is_gone_is_not_kept_in_pieces(
    store: Store,
) -> None:
    """If room was made while it ran, its answer has nothing to hang under."""
    kept = StoredConversations(store, ConversationSettings())
    await kept.save(ALICE, "gone", "root", turn("a1", "2"), 1.0)
    assert await ids(kept, ALICE) == []
