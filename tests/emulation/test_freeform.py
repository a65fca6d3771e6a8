"""Freeform tools as functions: wrapped in JSON there, plain text here, in the past as well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    BlockStarted,
    ChatEvent,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import (
    ChatRequest,
    Grammar,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.emulation.features import EMULATED
from chatgpt_to_api.emulation.freeform import (
    MOST_HELD,
    FreeformCalls,
    Unwrapper,
    as_functions,
    has_freeform,
)
from chatgpt_to_api.emulation.pipeline import Pipeline
from chatgpt_to_api.emulation.prompt import needed, prompted

PATCH = Tool("apply_patch", "Edits files.", freeform=True, grammar=Grammar("lark", 'start: "x"'))
WEATHER = Tool("weather", schema={"type": "object"})
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
CUTS = st.sets(st.integers(0, 300), max_size=12)


def unwrap(pieces: Iterable[str]) -> str:
    unwrapper = Unwrapper()
    return "".join([*map(unwrapper.feed, pieces), unwrapper.end()])


def cut(text: str, cuts: Iterable[int]) -> list[str]:
    places = sorted(place for place in cuts if place <= len(text))
    return [text[a:b] for a, b in pairwise([0, *places, len(text)])]


@given(TEXT, st.sampled_from([None, 1]), st.booleans(), CUTS)
def test_the_text_comes_out_as_it_went_in(
    text: str, indent: int | None, ascii_only: bool, cuts: set[int]
) -> None:
    """Trap 50: raw text, whatever is in it and however its JSON is written and cut."""
    wrapped = json.dumps({"input": text}, indent=indent, ensure_ascii=ascii_only)
    assert unwrap(cut(wrapped, cuts)) == text


@given(st.text(alphabet='{}[]":,\\ \ninputab1u0d8é😀', max_size=60), CUTS)
def test_any_chunking_gives_the_same_text(text: str, cuts: set[int]) -> None:
    """Also of what is no JSON, or another's: never an exception, never half a character."""
    whole = unwrap([text])
    assert unwrap(cut(text, cuts)) == whole
    whole.encode()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("{}", ""),
        ('{"input": ""}', ""),
        ('{"input": "a", "more": "b"}', "a"),
        ('{"more": 1, "input": "a"}', "a"),
        ('{"input": ["a", 1]}', '["a",1]'),
        ('{"patch": "a"}', "a"),
        ('{"a": "b", "c": "d"}', '{"a": "b", "c": "d"}'),
        ('"a\\nb"', "a\nb"),
        ('"use strict"; f()', '"use strict"; f()'),
        ("*** Begin Patch\n", "*** Begin Patch\n"),
        ("\n  x", "\n  x"),
        ("  ", "  "),
        ("{ return 1 }", "{ return 1 }"),
        ('{"input": "a\nb"}', "a\nb"),
        ("{'input': 'it's'}", "it's"),
        ('{"input": "a', "a"),
        ('{"input"' + " " * 99 + ': "a"}', "a"),
        ('{"inputs": {}, "input": "a"', "a"),
    ],
)
def test_what_models_make_of_it(written: str, meant: str) -> None:
    """Wrapped otherwise, or not at all; whole and letter by letter."""
    assert unwrap([written]) == meant
    assert unwrap(written) == meant


def test_text_leaves_as_soon_as_it_is_sure() -> None:
    """A caller sees a patch being written: nothing but half an escape waits."""
    unwrapper = Unwrapper()
    assert unwrapper.feed('{"inp') == ""
    assert unwrapper.feed('ut": "*** Be') == "*** Be"
    assert unwrapper.feed("gin\\") == "gin"
    assert unwrapper.feed("n+") == "\n+"
    assert unwrapper.feed('"}') == ""
    assert unwrapper.end() == ""


def test_what_is_held_has_a_bound() -> None:
    """An object whose text never comes goes on as it is, and is held no longer."""
    unwrapper = Unwrapper()
    piece = '{"other": "' + "x" * (MOST_HELD - 20)
    assert unwrapper.feed(piece) == ""
    assert unwrapper.feed("y" * 20) == piece + "y" * 20
    assert unwrapper.feed("z") == "z"
    assert unwrapper.end() == ""


# -- requests ----------------------------------------------------------------------------------


def request(*messages: Message, tools: Sequence[Tool] = (PATCH, WEATHER)) -> ChatRequest:
    return ChatRequest(
        model="m", messages=messages or (Message("user", (Text("hi"),)),), tools=tuple(tools)
    )


def test_the_tool_becomes_a_function_with_one_string() -> None:
    """Its grammar is told in the description; functions stay as they are."""
    patch, weather = as_functions(request()).tools
    assert weather is WEATHER
    assert not patch.freeform and patch.grammar is None
    assert patch.schema == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    assert patch.description is not None
    assert patch.description.startswith("Edits files.\n\n")
    assert patch.description.endswith('lark grammar:\n\nstart: "x"')


@given(TEXT)
def test_calls_of_the_past_are_wrapped(text: str) -> None:
    """What was called is told as the function would have been called; the result stays."""
    said = Message("assistant", (ToolCall("c", "apply_patch", text, freeform=True),))
    result = Message("tool", (ToolResult("c", (Text("ok"),)),))
    asked = as_functions(request(said, result, tools=()))
    [call] = asked.messages[0].parts
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.freeform) == ("c", "apply_patch", False)
    assert json.loads(call.arguments) == {"input": text}
    assert unwrap([call.arguments]) == text
    assert asked.messages[1] is result


def test_only_a_request_with_freeform_tools_needs_it() -> None:
    """Tools in words need it too, and nothing else does; a call of the past counts."""
    past = Message("assistant", (ToolCall("c", "f", "x", freeform=True),))
    only = frozenset({"freeform"})
    assert needed(request(), EMULATED) == ("tools", "freeform")
    assert needed(request(), {"tools"}) == ("tools", "freeform")
    assert needed(request(), only) == ("freeform",)
    assert needed(request(past, tools=()), only) == ("freeform",)
    assert needed(request(tools=[WEATHER]), EMULATED) == ("tools",)
    assert needed(request(), set()) == ()
    assert not has_freeform(request(tools=[WEATHER]))


def test_tools_in_words_are_told_of_it_as_a_function() -> None:
    """The tool stands in the list with its one string, and its past calls are wrapped."""
    past = Message("assistant", (ToolCall("c", "apply_patch", "*** Begin", freeform=True),))
    user = Message("user", (Text("hi"),))
    asked = prompted(request(user, past, user), {"tools", "freeform"})
    told = [part.text for message in asked.messages for part in message.parts]  # type: ignore[union-attr]
    assert '{"name":"apply_patch","description":"Edits files.' in told[0]
    assert '"properties":{"input":{"type":"string"}}' in told[0]
    assert '{"name": "apply_patch", "arguments": {"input":"*** Begin"}}' in told[2]
    assert asked.tools == ()


# -- replies -----------------------------------------------------------------------------------


def meaning(events: Iterable[ChatEvent]) -> list[tuple[str, str, bool, str]]:
    """The blocks: kind, tool, whether plain text, and what they hold."""
    blocks: list[tuple[str, str, bool, str]] = []
    for event in events:
        match event:
            case BlockStarted(kind=kind, tool_name=name, freeform=freeform):
                blocks.append((kind, name, freeform, ""))
            case TextDelta(piece) | ToolCallDelta(piece):
                assert piece
                kind, name, freeform, text = blocks[-1]
                blocks[-1] = (kind, name, freeform, text + piece)
    return blocks


@given(TEXT, CUTS)
def test_a_call_comes_back_as_plain_text(text: str, cuts: set[int]) -> None:
    """Trap 50: several calls in one answer, of functions among them, keep their own."""
    tracker = BlockTracker()
    events = [*tracker.text("Well."), *tracker.tool_call("1", "weather")]
    events += [*tracker.arguments('{"input": "x"}'), *tracker.tool_call("2", "apply_patch")]
    for piece in cut(json.dumps({"input": text}), cuts):
        events += tracker.arguments(piece)
    events += [*tracker.tool_call("3", "apply_patch"), *tracker.finish("tool_calls")]
    stage = FreeformCalls({"apply_patch"})
    assert meaning(e for event in events for e in stage.feed([event])) == [
        ("text", "", False, "Well."),
        ("tool_call", "weather", False, '{"input": "x"}'),
        ("tool_call", "apply_patch", True, text),
        ("tool_call", "apply_patch", True, ""),
    ]


def test_calls_in_words_come_back_as_plain_text() -> None:
    """The stages work on each other: a call is found in the text, then unwrapped."""
    pipeline = Pipeline.for_request(request(), {"tools", "freeform"}, len)
    assert pipeline is not None
    tracker = BlockTracker()
    call = '{"name": "apply_patch", "arguments": {"input": "*** Begin\\n+a"}}'
    events = [*tracker.text(f"So.<tool_call>{call}</tool_call>"), *tracker.finish("stop")]
    assert meaning(pipeline.feed(events)) == [
        ("text", "", False, "So."),
        ("tool_call", "apply_patch", True, "*** Begin\n+a"),
    ]
