"""Conversations that are kept in memory only: those whose client asked for no history.

They can be continued while the process lives and are looked at, but stand in no list. They are
bounded, expire when unused, and make room longest unused first. All calls are plain: nothing here
waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from chatgpt_to_api.chat.tree import Node, Tree
from chatgpt_to_api.store.conversations import Thread

EXPIRY: Final = 6 * 3600.0
"""How long an unused conversation is kept, seconds."""

MOST: Final = 1000
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of all conversations together, counted as UTF-8 text."""

_NODE_COST: Final = 500
"""What a message costs beside its text, roughly, bytes."""


class UnsavedConversations:
    """The conversations in memory. Times are Unix seconds, handed in."""

    def __init__(
        self, *, expiry: float = EXPIRY, most: int = MOST, most_bytes: int = MOST_BYTES
    ) -> None:
        self._expiry = expiry
        self._most = most
        self._most_bytes = most_bytes
        # Longest unused first.
        self._trees: OrderedDict[tuple[str, str], Tree] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._trees)

    def thread(
        self,
        owner: str,
        conversation: str,
        leaf: str | None,
        ids: Sequence[str],
        now: float,
    ) -> Thread | None:
        """The path to ``leaf`` (None: to the current message); None if there is no such chat."""
        tree = self.tree(owner, conversation, now)
        if tree is None:
            return None
        wanted = set(ids)
        return Thread(
            tree.root,
            tree.current,
            len(tree.nodes),
            sum(map(_cost, tree.nodes)),
            tree.path(tree.current if leaf is None else leaf),
            {node.id: node for node in tree.nodes if node.id in wanted},
        )

    def tree(self, owner: str, conversation: str, now: float) -> Tree | None:
        """A whole conversation, or None."""
        self._expire(now)
        return self._trees.get((owner, conversation))

    def save(
        self, owner: str, conversation: str, root: str, nodes: Sequence[Node], now: float
    ) -> None:
        """Add messages; the last becomes the current one. Those that are there stay as they are."""
        self._expire(now)
        key = owner, conversation
        tree = self._trees.pop(key, None)
        if tree is None:
            tree = Tree(conversation, "", now, now, root, root, ())
        there = {node.id for node in tree.nodes}
        added = tuple(node for node in nodes if node.id not in there)
        self._trees[key] = msgspec.structs.replace(
            tree, updated=now, current=nodes[-1].id, nodes=tree.nodes + added
        )
        self._bytes += sum(map(_cost, added))
        while len(self._trees) > 1 and (
            len(self._trees) > self._most or self._bytes > self._most_bytes
        ):
            self._forget_oldest()

    def retitle(self, owner: str, conversation: str, title: str, now: float) -> bool:
        """Give a title; False where there is no such conversation."""
        tree = self.tree(owner, conversation, now)
        if tree is None:
            return False
        self._trees[owner, conversation] = msgspec.structs.replace(tree, title=title)
        return True

    def drop(self, owner: str, conversation: str) -> bool:
        """Forget a conversation; False where there is none."""
        tree = self._trees.pop((owner, conversation), None)
        if tree is None:
            return False
        self._bytes -= sum(map(_cost, tree.nodes))
        return True

    def drop_all(self, owner: str) -> None:
        """Forget all of an owner's conversations."""
        for key in [key for key in self._trees if key[0] == owner]:
            self.drop(*key)

    def _expire(self, now: float) -> None:
        while self._trees and now - next(iter(self._trees.values())).updated > self._expiry:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self.drop(*next(iter(self._trees)))


def _cost(node: Node) -> int:
    return len(node.text.encode("utf-8", "surrogatepass")) + _NODE_COST
