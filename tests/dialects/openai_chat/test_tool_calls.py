"""Pieces of tool calls, as loose as servers send them, assemble into the calls that were meant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import BlockStarted, ToolCallDelta
from chatgpt_to_api.dialects.openai_chat.messages import ToolCallPiece
from chatgpt_to_api.dialects.openai_chat.tool_calls import LatePiece, ToolCalls


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, args: Any = None
) -> ToolCallPiece:
    function = {"name": name, "arguments": args}
    made = msgspec.json.encode({"index": index, "id": id, "function": function})
    return msgspec.json.decode(made, type=ToolCallPiece)


def assembled(*pieces: ToolCallPiece, reply: str = "r1") -> list[tuple[str, str, str]]:
    tracker = BlockTracker()
    calls = ToolCalls(tracker, reply, 0)
    events = [event for each in pieces for event in calls.piece(each)] + calls.end()
    made: list[list[str]] = []
    for event in events:
        match event:
            case BlockStarted(tool_id=tool_id, tool_name=name):
                made.append([tool_id, name, ""])
            case ToolCallDelta(arguments):
                made[-1][2] += arguments
    return [(call[0], call[1], call[2]) for call in made]


TWO = [("a", "f", '{"x":1}'), ("b", "f", '{"y":2}')]


@pytest.mark.parametrize(
    "pieces",
    [
        # as the vendor sends them
        [piece(0, "a", "f", ""), piece(0, args='{"x"'), piece(0, args=":1}"),
         piece(1, "b", "f", ""), piece(1, args='{"y":2}')],
        # whole arguments in one piece
        [piece(0, "a", "f", '{"x":1}'), piece(1, "b", "f", '{"y":2}')],
        # index counted per chunk
        [piece(0, "a", "f", '{"x":1}'), piece(0, "b", "f", '{"y":2}')],
        # no index
        [piece(None, "a", "f", '{"x"'), piece(args=":1}"), piece(None, "b", "f", '{"y":2}')],
        # id and name with every piece
        [piece(0, "a", "f", '{"x"'), piece(0, "a", "f", ":1}"), piece(1, "b", "f", '{"y":2}')],
        # id with every piece, no index
        [piece(None, "a", "f", '{"x"'), piece(None, "a", args=":1}"),
         piece(None, "b", "f", '{"y":2}')],
        # the name comes after the first arguments
        [piece(0, "a", args='{"x"'), piece(0, name="f", args=":1}"), piece(1, "b", "f", '{"y":2}')],
        # a finished call is repeated without arguments
        [piece(0, "a", "f", '{"x":1}'), piece(1, "b", "f", '{"y":2}'), piece(0, args=""),
         piece(0, "a")],
    ],
)  # fmt: skip
def test_two_calls_of_one_function_assemble(pieces: list[ToolCallPiece]) -> None:
    """Traps 18, 20: by id, by index, by both or by one of them alone."""
    assert assembled(*pieces) == TWO


def test_an_index_counted_per_chunk_may_come_again() -> None:
    """A new id is a new call though its index was used before."""
    pieces = [piece(0, "a", "f", "1"), piece(1, "b", "f", "2"), piece(0, "c", "f", "3")]
    assert assembled(*pieces) == [("a", "f", "1"), ("b", "f", "2"), ("c", "f", "3")]


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, None, "f", '{"x":1}'), piece(1, None, "g", "{}")],
        [
            piece(None, None, "f", '{"x"'),
            piece(None, None, "f", ":1}"),
            piece(None, None, "g", "{}"),
        ],
        [piece(None, None, "f", '{"x":1}'), piece(None, None, "g", "{}")],
        [piece(0, "", "f", '{"x":1}'), piece(0, "", "g", "{}")],
    ],
)
def test_calls_without_ids_get_unique_ones(pieces: list[ToolCallPiece]) -> None:
    """Told apart by index or name; the ids differ between calls and between replies."""
    calls = assembled(*pieces)
    assert [call[1:] for call in calls] == [("f", '{"x":1}'), ("g", "{}")]
    ids = {call[0] for call in calls} | {call[0] for call in assembled(*pieces, reply="r2")}
    assert len(ids) == 4
    assert all(call_id.startswith("call_") for call_id in ids)
    assert assembled(*pieces) == calls


def test_nameless_repetition_is_a_new_call_once_the_arguments_are_whole() -> None:
    """Two calls of one function with nothing to tell them apart but their arguments."""
    pieces = [piece(name="f", args='{"x":'), piece(name="f", args="1}"), piece(name="f", args="{}")]
    assert [call[1:] for call in assembled(*pieces)] == [("f", '{"x":1}'), ("f", "{}")]


def test_arguments_that_come_as_an_object_become_their_json() -> None:
    """Trap 22: some servers send the finished object, or all of it at once."""
    assert assembled(piece(0, "a", "f", {"x": [1, "y"]})) == [("a", "f", '{"x":[1,"y"]}')]


def test_a_freeform_call_is_a_call() -> None:
    """Its text is what the arguments are to others; pieces without the name go on with it."""
    first = b'{"index":0,"id":"a","type":"custom","custom":{"name":"patch","input":"*** "}}'
    second = b'{"index":0,"custom":{"input":"Begin"}}'
    pieces = [msgspec.json.decode(raw, type=ToolCallPiece) for raw in (first, second)]
    assert assembled(*pieces) == [("a", "patch", "*** Begin")]


def test_a_call_that_never_got_a_name_is_not_lost() -> None:
    """It is handed on without one, with its arguments."""
    assert assembled(piece(0, "a", args="{}")) == [("a", "", "{}")]


def test_arguments_for_a_call_that_has_ended_are_a_failure() -> None:
    """They can go nowhere: blocks do not open twice."""
    tracker = BlockTracker()
    calls = ToolCalls(tracker, "r", 0)
    for each in (piece(0, "a", "f", "{"), piece(1, "b", "f", "{")):
        calls.piece(each)
    with pytest.raises(LatePiece):
        calls.piece(piece(0, args="}"))
