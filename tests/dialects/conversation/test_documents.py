"""Delta operations on documents: what each does, what is carried over, what bounds them."""

from __future__ import annotations

from typing import Any

import pytest

from chatgpt_to_api.dialects.conversation import documents as documents_module
from chatgpt_to_api.dialects.conversation.documents import Document, Documents, find
from chatgpt_to_api.dialects.conversation.reading import Rope
from chatgpt_to_api.errors import ReplyTooLong

SMALL = 100
"""Length of an event's JSON, as far as these tests care."""


def plain(value: Any) -> Any:
    """A value with its ropes as strings."""
    if isinstance(value, Rope):
        return value.text
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def built(root: Any, *events: dict[str, Any]) -> tuple[Documents, Document]:
    found = Documents()
    document, _ = found.apply({"p": "", "o": "add", "v": root, "c": 0}, SMALL)
    assert document is not None
    for event in events:
        found.apply(event, SMALL)
    return found, document


@pytest.mark.parametrize(
    ("root", "event", "expected"),
    [
        ({"a": "x"}, {"p": "/a", "o": "append", "v": "y"}, {"a": "xy"}),
        ({"a": None}, {"p": "/a", "o": "append", "v": "y"}, {"a": "y"}),
        ({}, {"p": "/a", "o": "append", "v": "y"}, {"a": "y"}),
        ({"a": {"b": 1}}, {"p": "/a", "o": "append", "v": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1]}, {"p": "/a", "o": "append", "v": [2, 3]}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"p": "/a", "o": "append", "v": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"p": "/a", "o": "append", "v": "y"}, {"a": 1}),
        ({"a": 1}, {"p": "/a", "o": "replace", "v": "y"}, {"a": "y"}),
        ({}, {"p": "/a", "o": "replace", "v": 1}, {"a": 1}),
        ({"a": [1, 2]}, {"p": "/a/1", "o": "replace", "v": 9}, {"a": [1, 9]}),
        ({"a": [1, 2]}, {"p": "/a/2", "o": "replace", "v": 9}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"p": "/a/0", "o": "add", "v": 9}, {"a": [9, 1, 2]}),
        ({"a": [1]}, {"p": "/a/-", "o": "add", "v": 9}, {"a": [1, 9]}),
        ({"a": [1]}, {"p": "/a/1", "o": "add", "v": 9}, {"a": [1, 9]}),
        ({"a": [1]}, {"p": "/a/2", "o": "add", "v": 9}, {"a": [1]}),
        ({"a": [1]}, {"p": "/a/01", "o": "add", "v": 9}, {"a": [1]}),
        ({"a": [1, 2]}, {"p": "/a/0", "o": "remove"}, {"a": [2]}),
        ({"a": 1, "b": 2}, {"p": "/a", "o": "remove"}, {"b": 2}),
        ({"a": 1}, {"p": "/b", "o": "remove"}, {"a": 1}),
        ({"a": "abc"}, {"p": "/a", "o": "truncate", "v": 2}, {"a": "ab"}),
        ({"a": "abc"}, {"p": "/a", "o": "truncate", "v": 9}, {"a": "abc"}),
        ({"a": "abc"}, {"p": "/a", "o": "truncate", "v": -1}, {"a": "abc"}),
        ({"a": [1, 2]}, {"p": "/a", "o": "truncate", "v": 1}, {"a": [1]}),
        ({"a/b": 1, "c~d": 1}, {"p": "/a~1b", "o": "replace", "v": 2}, {"a/b": 2, "c~d": 1}),
        ({"a/b": 1, "c~d": 1}, {"p": "/c~0d", "o": "replace", "v": 2}, {"a/b": 1, "c~d": 2}),
        ({"a": 1}, {"p": "", "o": "replace", "v": {"b": 2}}, {"b": 2}),
        ({"a": {}}, {"p": "/a/l/0", "o": "append", "v": "x"}, {"a": {"l": ["x"]}}),
        ({"a": {}}, {"p": "/a/b/c", "o": "add", "v": "x"}, {"a": {}}),
    ],
)
def test_each_operation_does_what_it_says(
    root: dict[str, Any], event: dict[str, Any], expected: Any
) -> None:
    """On objects, lists and strings; what fits nothing changes nothing."""
    found, _ = built(root)
    document, _ = found.apply(event, SMALL)
    assert document is not None
    assert plain(document.root) == expected


def test_what_is_missing_is_carried_over_each_key_by_itself() -> None:
    """Path and operation from the operation before; the value never."""
    _, document = built(
        {"a": "", "b": ""},
        {"p": "/a", "o": "append", "v": "1"},
        {"v": "2"},
        {"p": "/b", "v": "3"},
        {"o": "replace", "v": "4"},
    )
    assert plain(document.root) == {"a": "12", "b": "4"}


def test_entries_of_a_batch_carry_nothing() -> None:
    """Neither between them nor out of them."""
    batch = [{"p": "/a", "o": "append", "v": "1"}, {"v": "lost"}, {"p": "/b", "o": "add", "v": "2"}]
    found, document = built({"a": "", "c": ""}, {"p": "", "o": "patch", "v": batch})
    assert plain(document.root) == {"a": "1", "b": "2", "c": ""}
    found.apply({"v": [{"p": "/c", "o": "append", "v": "3"}]}, SMALL)
    assert plain(document.root) == {"a": "1", "b": "2", "c": "3"}
    assert found.ignored == 1


def test_a_batch_may_be_relative_to_a_path() -> None:
    """Its entries' paths begin there."""
    batch = [{"p": "/b", "o": "replace", "v": 2}]
    _, document = built({"a": {"b": 1}}, {"p": "/a", "o": "patch", "v": batch})
    assert document.root == {"a": {"b": 2}}


def test_a_message_opens_a_document_whatever_is_carried() -> None:
    """Only a document has one."""
    found, _ = built({"a": ""}, {"p": "/a", "o": "append", "v": "x"})
    document, changes = found.apply({"v": {"message": {}}, "c": 1}, SMALL)
    assert document is not None
    assert document.channel == 1
    assert changes[0][1] == ()


def test_operations_go_to_the_channel_they_name() -> None:
    """Also to an older one."""
    found, first = built({"a": ""}, {"v": {"message": {}, "a": ""}, "c": 1})
    found.apply({"p": "/a", "o": "append", "v": "x", "c": 0}, SMALL)
    assert plain(first.root) == {"a": "x"}


def test_only_so_many_documents_are_kept() -> None:
    """The oldest goes first; what was for it goes to the newest."""
    found, first = built({"message": {}, "a": ""})
    for channel in range(1, documents_module.MAX_DOCUMENTS + 1):
        newest, _ = found.apply({"v": {"message": {}, "a": ""}, "c": channel}, SMALL)
    assert newest is not None
    found.apply({"p": "/a", "o": "append", "v": "x", "c": 0}, SMALL)
    assert plain(first.root)["a"] == ""
    assert plain(newest.root)["a"] == "x"


def test_what_documents_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones are forgotten for new ones; one that is too large alone ends the reply."""
    monkeypatch.setattr(documents_module, "MAX_WEIGHT", 10_000)
    found = Documents()
    for channel in range(50):
        found.apply({"v": {"message": "x" * 4000}, "c": channel}, 4100)

    def grow() -> None:
        for _ in range(10):
            found.apply({"p": "/message", "o": "append", "v": "y" * 4000}, 4100)

    with pytest.raises(ReplyTooLong):
        grow()


def test_what_is_replaced_or_removed_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that changes for ever does not grow for ever."""
    monkeypatch.setattr(documents_module, "MAX_WEIGHT", 10_000)
    found, document = built({"message": {}})
    for count in range(500):
        found.apply({"p": "/message/a", "o": "add", "v": ["x" * 100]}, SMALL)
        found.apply({"p": "/message/a", "o": "append", "v": [count]}, SMALL)
        found.apply({"p": "/message/m", "o": "append", "v": {"k": {"l": count}}}, SMALL)
        found.apply({"p": "/message/a", "o": "remove"}, SMALL)
    assert document.root == {"message": {"m": {"k": {"l": 499}}}}


def test_cutting_a_long_text_again_and_again_ends_the_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each cut costs the text's length, however short the operation is."""
    monkeypatch.setattr(documents_module, "MAX_WORK", 100_000)
    found, _ = built({"message": {"a": "x" * 1000}})

    def cut() -> None:
        for keep in range(999, 0, -1):
            found.apply({"p": "/message/a", "o": "truncate", "v": keep}, SMALL)

    with pytest.raises(ReplyTooLong):
        cut()


def test_pointers_are_found_without_growing_anything() -> None:
    """A huge index allocates nothing."""
    root = {"a": [1, {"b": 2}]}
    assert find(root, ("a", "1", "b")) == 2
    assert find(root, ("a", "999999999")) is None
    assert find(root, ("a", "99999999999999999999")) is None
    assert find(root, ("a", "0", "b")) is None


def test_a_text_that_grows_by_pieces_is_not_copied_for_each() -> None:
    """100,000 appended pieces end in one rope."""
    found, document = built({"message": {"a": ""}}, {"p": "/message/a", "o": "append", "v": ""})
    for _ in range(100_000):
        found.apply({"v": "xy"}, SMALL)
    assert find(document.root, ("message", "a")).size == 200_000
