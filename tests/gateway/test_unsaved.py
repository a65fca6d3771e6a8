"""Conversations in memory: bounded, expiring, each its owner's alone."""

from __future__ import annotations

from chatgpt_to_api.chat.tree import Node
from chatgpt_to_api.gateway.unsaved import UnsavedConversations


def turn(name: str, parent: str = "root", text: str = "q") -> list[Node]:
    return [
        Node(f"u{name}", parent, "user", text, 1.0),
        Node(f"a{name}", f"u{name}", "assistant", "a", 1.0, "m", "m", "stop"),
    ]


def test_a_thread_is_read_as_from_the_store() -> None:
    """Path, current message, known ids; saving twice is saving once."""
    kept = UnsavedConversations()
    kept.save("alice", "c", "root", turn("1"), 1.0)
    kept.save("alice", "c", "root", [*turn("1"), *turn("2", "a1")], 2.0)
    thread = kept.thread("alice", "c", None, ["u1", "x"], 3.0)
    assert thread is not None
    assert thread.path == (*turn("1"), *turn("2", "a1"))
    assert (thread.current, thread.nodes, list(thread.known)) == ("a2", 4, ["u1"])
    shorter = kept.thread("alice", "c", "a1", [], 3.0)
    assert shorter is not None
    assert shorter.path == tuple(turn("1"))
    assert kept.thread("bob", "c", None, [], 3.0) is None


def test_what_is_unused_expires() -> None:
    """A turn keeps a conversation for as long again."""
    kept = UnsavedConversations(expiry=10)
    kept.save("alice", "old", "root", turn("1"), 0.0)
    kept.save("alice", "used", "root", turn("1"), 1.0)
    kept.save("alice", "used", "root", turn("2", "a1"), 9.0)
    assert kept.tree("alice", "old", 11.0) is None
    assert kept.tree("alice", "used", 19.0) is not None
    assert kept.tree("alice", "used", 20.0) is None
    assert len(kept) == 0


def test_the_longest_unused_makes_room() -> None:
    """By number and by bytes; the newest always stays."""
    kept = UnsavedConversations(most=2)
    for i in range(4):
        kept.save("alice", f"c{i}", "root", turn("1"), float(i))
    assert [i for i in range(4) if kept.tree("alice", f"c{i}", 4.0)] == [2, 3]
    small = UnsavedConversations(most_bytes=5000)
    for i in range(4):
        small.save("alice", f"c{i}", "root", turn("1", text="x" * 1400), float(i))
    assert [i for i in range(4) if small.tree("alice", f"c{i}", 4.0)] == [2, 3]
    small.save("alice", "huge", "root", turn("1", text="x" * 9000), 5.0)
    assert small.tree("alice", "huge", 5.0) is not None
    assert len(small) == 1


def test_dropping_touches_ones_own_only() -> None:
    """All of an owner's go, none of another's; room is given back."""
    kept = UnsavedConversations(most_bytes=5000)
    kept.save("alice", "c", "root", turn("1", text="x" * 1400), 1.0)
    kept.save("bob", "d", "root", turn("1"), 2.0)
    assert not kept.drop("bob", "c")
    kept.drop_all("alice")
    assert kept.tree("alice", "c", 3.0) is None
    assert kept.tree("bob", "d", 3.0) is not None
    kept.save("alice", "e", "root", turn("1", text="x" * 2500), 4.0)
    assert kept.tree("bob", "d", 4.0) is not None
