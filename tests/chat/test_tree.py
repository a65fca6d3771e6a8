"""A conversation's tree: paths, broken trees, and what the model is shown of a path."""

from __future__ import annotations

from chatgpt_to_api.chat.request import Message, Text
from chatgpt_to_api.chat.tree import Node, Tree, messages_of, walk


def user(id: str, parent: str, text: str = "q") -> Node:
    return Node(id, parent, "user", text, 1.0)


def answer(id: str, parent: str, text: str = "a") -> Node:
    return Node(id, parent, "assistant", text, 1.0, "m", "m", "stop")


def tree(*nodes: Node) -> Tree:
    return Tree("c", "", 1.0, 1.0, "root", nodes[-1].id, nodes)


def said(role: str, text: str) -> Message:
    return Message(role, (Text(text),))  # type: ignore[arg-type]


def test_a_path_leads_from_the_root_to_the_leaf_past_its_alternatives() -> None:
    """Siblings of the path's nodes are not on it."""
    found = tree(user("u", "root"), answer("a1", "u"), answer("a2", "u"), user("v", "a2"))
    assert [node.id for node in found.path("v") or ()] == ["u", "a2", "v"]
    assert found.path("root") == ()
    assert found.path("nobody") is None


def test_parents_that_run_in_a_circle_are_no_path() -> None:
    """Broken data ends the walk; it never loops."""
    nodes = {"a": user("a", "b"), "b": user("b", "a")}
    assert walk(nodes, "root", "a") is None


def test_a_continued_answer_is_one_message_with_what_it_continues() -> None:
    """Answers under answers are joined with nothing between, an empty one included."""
    path = [
        user("u", "root"),
        answer("a", "u", "one, tw"),
        answer("b", "a", ""),
        answer("c", "b", "o, three"),
        user("v", "c", "and?"),
    ]
    assert messages_of(path) == (
        said("user", "q"),
        said("assistant", "one, two, three"),
        said("user", "and?"),
    )


def test_assistant_messages_a_client_brought_stay_apart() -> None:
    """Only what was generated here continues an answer; an empty answer adds no message."""
    path = [
        Node("a", "root", "assistant", "x", 1.0),
        Node("b", "a", "assistant", "y", 1.0),
        user("u", "b"),
        answer("c", "u", ""),
        answer("d", "c", "late"),
    ]
    assert messages_of(path) == (
        said("assistant", "x"),
        said("assistant", "y"),
        said("user", "q"),
        said("assistant", "late"),
    )
