"""A kept conversation: a tree of messages, of which one path is what the model is shown.

Several children of a node are alternatives: answers to one question, or edits of a question. The
root holds no message; its id is what the first request named as its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from chatgpt_to_api.chat.events import FinishReason
from chatgpt_to_api.chat.request import Message, Role, Text


class Node(msgspec.Struct, frozen=True):
    """One message of a conversation. ``created`` is Unix time in seconds.

    The other fields are set on answers only. ``model`` is what answered, ``asked_model`` the name
    it was asked by; ``finish`` is why the answer ended, None where it was cut off.
    """

    id: str
    parent: str
    role: Role
    text: str
    created: float
    model: str = ""
    asked_model: str = ""
    finish: FinishReason | None = None

    @property
    def answered(self) -> bool:
        """Whether a model wrote this here; a client can bring assistant messages of its own."""
        return self.role == "assistant" and bool(self.asked_model)


class Summary(msgspec.Struct, frozen=True):
    """A conversation in a list. ``title`` is "" until somebody gives it one; times are Unix."""

    id: str
    title: str
    created: float
    updated: float


class Tree(msgspec.Struct, frozen=True):
    """A whole conversation, ``nodes`` in order of arrival; ``current`` is the leaf shown last."""

    id: str
    title: str
    created: float
    updated: float
    root: str
    current: str
    nodes: tuple[Node, ...]

    def path(self, leaf: str) -> tuple[Node, ...] | None:
        """The messages from the root down to ``leaf``; () for the root, None for an unknown one."""
        return walk({node.id: node for node in self.nodes}, self.root, leaf)


def walk(nodes: Mapping[str, Node], root: str, leaf: str) -> tuple[Node, ...] | None:
    """The messages from ``root`` down to ``leaf``; None for an unknown leaf or a broken tree."""
    path: list[Node] = []
    at = leaf
    while at != root:
        node = nodes.get(at)
        if node is None or len(path) >= len(nodes):  # the second: parents that run in a circle
            return None
        path.append(node)
        at = node.parent
    return tuple(reversed(path))


def messages_of(path: Iterable[Node]) -> tuple[Message, ...]:
    """A path as the messages of a request.

    An answer that continues the one above it is one message with it, joined with nothing between.
    Empty messages are left out: they say nothing, and many backends refuse them.
    """
    messages: list[Message] = []
    above: Node | None = None
    for node in path:
        if node.text:
            continues = above is not None and above.answered and node.answered
            if continues and messages and messages[-1].role == "assistant":
                begun = messages.pop()
                joined = "".join(part.text for part in begun.parts if isinstance(part, Text))
                messages.append(Message("assistant", (Text(joined + node.text),)))
            else:
                messages.append(Message(node.role, (Text(node.text),)))
        above = node
    return tuple(messages)
