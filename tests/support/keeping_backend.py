"""A scripted conversation backend that keeps conversations as trees, each for its account alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.scripted_backend import Play, Seen, conversation, json_play


@dataclass
class Tree:
    """One conversation: whose it is, and each message's parent and text."""

    owner: str
    messages: dict[str, tuple[str, str]] = field(default_factory=dict)
    visible: bool = True

    def path(self, leaf: str) -> list[str]:
        """What was said up to a message, oldest first."""
        said: list[str] = []
        while leaf in self.messages:
            leaf, text = self.messages[leaf]
            said.insert(0, text)
        return said


def not_found() -> Play:
    """What a backend says of a conversation that it does not have, or not for this account."""
    return json_play(
        {"detail": {"message": "Conversation not found", "code": "conversation_not_found"}}, 404
    )


class KeepingBackend:
    """A script for :class:`ScriptedBackend`.

    ``answers`` makes the answer from the whole path of texts; by default answers are numbered.
    ``trees`` may be changed by a test, as an account's owner may delete a conversation.
    """

    def __init__(self, answers: Callable[[list[str]], str] | None = None) -> None:
        self.trees: dict[str, Tree] = {}
        self.asked: list[dict[str, Any]] = []
        """Bodies of the questions, in order."""
        self.patched: list[str] = []
        """Conversations that were asked to be hidden, in order."""
        self._answers = answers
        self._numbers = itertools.count(1)

    def __call__(self, seen: Seen) -> Play:
        if seen.method == "PATCH":
            return self._hide(seen)
        asked = seen.json
        self.asked.append(asked)
        number = next(self._numbers)
        conversation_id = asked.get("conversation_id") or f"conversation-{number}"
        parent = asked["parent_message_id"]
        if asked.get("conversation_id"):
            tree = self.trees.get(conversation_id)
            if tree is None or tree.owner != seen.token or parent not in tree.messages:
                return not_found()
        else:
            tree = self.trees[conversation_id] = Tree(seen.token)
        for message in asked["messages"]:
            tree.messages[message["id"]] = parent, message["content"]["parts"][0]
            parent = message["id"]
        path = tree.path(parent)
        text = self._answers(path) if self._answers is not None else f"answer {number}"
        answer_id = f"message-{number}"
        tree.messages[answer_id] = parent, text
        return conversation(text, conversation_id=conversation_id, message_id=answer_id)

    def _hide(self, seen: Seen) -> Play:
        conversation_id = seen.path.rpartition("/")[2]
        tree = self.trees.get(conversation_id)
        if tree is None or tree.owner != seen.token:
            return not_found()
        assert seen.json == {"is_visible": False}
        tree.visible = False
        self.patched.append(conversation_id)
        return json_play({"success": True})

    def sent(self) -> list[str]:
        """The texts of all questions, each with its messages joined."""
        return [
            "\n".join(message["content"]["parts"][0] for message in asked["messages"])
            for asked in self.asked
        ]
