"""Tool calls out of text: what the parser of the prompted protocol makes of a reply."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.emulation.tool_calls import MOST_FAILED, ToolCalls
from chatgpt_to_api.errors import UpstreamFailed
from support.json_values import JSON

TOOLS = frozenset({"weather", "now", "search_web"})


def reply(pieces: Iterable[str], reason: FinishReason = "stop") -> list[ChatEvent]:
    """A reply of one text block, in these pieces."""
    texts: list[ChatEvent] = [TextDelta(piece) for piece in pieces if piece]
    return [Started("m"), BlockStarted(0, "text"), *texts, BlockEnded(0), Finished(reason)]


def read(events: Sequence[ChatEvent], *, one: bool = False) -> list[ChatEvent]:
    """What the parser makes of events that come one by one, in legal order."""
    parser = ToolCalls(TOOLS, one=one)
    out = [e for event in events for e in parser.feed([event])]
    in_order(out)
    return out


def in_order(events: Sequence[ChatEvent]) -> None:
    """Blocks are numbered from 0, one open at a time, fed by their kind; one end comes, last."""
    begun, kind = 0, ""
    for place, event in enumerate(events):
        match event:
            case BlockStarted(block, opened):
                assert not kind
                assert block == begun
                begun, kind = begun + 1, opened
            case TextDelta(text):
                assert kind == "text"
                assert text
            case ToolCallDelta(arguments):
                assert kind == "tool_call"
                assert arguments
            case BlockEnded(block):
                assert kind
                assert block == begun - 1
                kind = ""
            case Finished():
                assert not kind
                assert place == len(events) - 1


def said(events: Iterable[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls(events: Iterable[ChatEvent]) -> list[tuple[str, str]]:
    """The calls: names and arguments."""
    found: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, BlockStarted) and event.kind == "tool_call":
            found.append((event.tool_name, ""))
        elif isinstance(event, ToolCallDelta):
            name, arguments = found[-1]
            found[-1] = (name, arguments + event.arguments)
    return found


def meaning(events: Sequence[ChatEvent]) -> tuple[object, ...]:
    return said(events), calls(events), events[-1]


def call(name: str, arguments: object, **layout: Any) -> str:
    return (
        f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, **layout)}\n</tool_call>"
    )


PARIS = call("weather", {"city": "Paris"})


def test_text_before_a_call_streams_on() -> None:
    """Only what may be the beginning of a call waits."""
    parser = ToolCalls(TOOLS)
    assert (
        said(parser.feed([BlockStarted(0, "text"), TextDelta("Let me look: ")])) == "Let me look:"
    )
    assert said(parser.feed([TextDelta("a < b")])) == " a < b"
    assert said(parser.feed([TextDelta("\n<tool")])) == ""
    assert said(parser.feed([TextDelta("box> is")])) == "\n<toolbox> is"


def test_arguments_stream_as_they_come() -> None:
    """A call opens with its name; each piece of its arguments leaves at once."""
    parser = ToolCalls(TOOLS)
    parser.feed([BlockStarted(0, "text"), TextDelta('<tool_call>{"name": "weather", "argu')])
    assert calls(parser.feed([TextDelta('ments": {"city"')])) == [("weather", '{"city"')]
    assert parser.feed([TextDelta(': "Pa')]) == [ToolCallDelta(': "Pa')]
    assert parser.feed([TextDelta('ris"}')]) == [ToolCallDelta('ris"}')]
    assert parser.feed([TextDelta("}</tool_call>")]) == [BlockEnded(0)]
    ended = parser.feed([BlockEnded(0), Finished("stop")])
    assert ended == [Finished("tool_calls")]


def test_several_calls_and_the_words_between_them() -> None:
    """White space around calls is theirs; words between them are text."""
    text = f"First this.\n\n{PARIS}\n{call('now', {})}\nAnd then:\n{PARIS}\n"
    events = read(reply([text]))
    assert said(events) == "First this.\nAnd then:"
    assert calls(events) == [
        ("weather", '{"city": "Paris"}'),
        ("now", "{}"),
        ("weather", '{"city": "Paris"}'),
    ]
    assert events[-1] == Finished("tool_calls")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ('<tool_call>{"name": "now"}</tool_call>', "now", {}),
        ('<tool_call>{"name": "now", "arguments": null}</tool_call>', "now", {}),
        (
            '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"',
            "weather",
            {"city": "Oslo"},
        ),
        ('<tool_call>{"name": "weather", "arguments": {"city": "Os', "weather", {"city": "Os"}),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"Oslo",}}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"Oslo"}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"Oslo"</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"Oslo"}}}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            "<tool_call>{'name': 'weather', 'arguments': {'city': 'L\\'Aquila', 'now': True}}"
            "</tool_call>",
            "weather",
            {"city": "L'Aquila", "now": True},
        ),
        ('<tool_call>\n```json\n{"name": "now", "arguments": {}}\n```\n</tool_call>', "now", {}),
        ('```xml\n<tool_call>{"name": "now", "arguments": {}}</tool_call>\n```', "now", {}),
        ('<tool_call>[{"name": "now", "arguments": {}}]</tool_call>', "now", {}),
        ('<tool_call id="call_1">{"name": "now", "arguments": {}}</tool_call>', "now", {}),
        (
            '<tool_call>{"arguments": {"city": "Oslo"}, "name": "weather"}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name": "weather", "parameters": {"city": "Oslo"}}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"type": "function", "function": {"name": "weather", "arguments": '
            '{"city": "Oslo"}}}</tool_call>',
            "weather",
            {"city": "Oslo"},
        ),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"two\nlines"}}</tool_call>',
            "weather",
            {"city": "two\nlines"},
        ),
        (
            '<tool_call>{"name":"weather","arguments":{"city":"</tool_call>"}}</tool_call>',
            "weather",
            {"city": "</tool_call>"},
        ),
        ('{"name": "weather", "arguments": {"city": "Oslo"}}', "weather", {"city": "Oslo"}),
        (
            '```json\n{"name": "weather", "arguments": {"city": "Oslo"}}\n```',
            "weather",
            {"city": "Oslo"},
        ),
    ],
)
def test_what_is_nearly_a_call_is_mended(text: str, name: str, arguments: object) -> None:
    """Whole or byte by byte: one call with valid arguments, and no crumbs of it as text."""
    for pieces in ([text], list(text)):
        events = read(reply(pieces))
        ((called, given),) = calls(events)
        assert (called, json.loads(given)) == (name, arguments)
        assert said(events) == ""
        assert events[-1] == Finished("tool_calls")


@pytest.mark.parametrize(
    "text",
    [
        call("rm_rf", {"path": "/"}),
        "<tool_call>what?</tool_call>",
        "<tool_call>",
        "<tool_call",
        '<tool_call>{"city": "Paris"}</tool_call>',
        '<tool_call>{"name": "weather", "city": "Paris"}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": 7}</tool_call>',
        '<tool_call>{"name": 7}</tool_call>',
        '{"answer": 42}',
        '{"name": "Ann", "arguments": {}}',
        "```json\n{}\n```",
        "  \n a <b> \n",
        " ",
    ],
)
def test_what_is_no_call_of_a_declared_tool_is_text(text: str) -> None:
    """Nothing of it is lost or changed."""
    for pieces in ([text], list(text)):
        assert meaning(read(reply(pieces))) == (text, [], Finished("stop"))


def test_a_call_behind_one_that_is_none() -> None:
    """What only looked like a call does not hide a true one after or inside it."""
    events = read(reply([f"{call('unknown', {})} {PARIS}", f"<tool_call> {PARIS}"]))
    assert said(events) == f"{call('unknown', {})}<tool_call>"
    assert [name for name, _ in calls(events)] == ["weather", "weather"]


def test_a_reply_cut_in_a_call_says_so() -> None:
    """The length is the reason, and the arguments are JSON all the same."""
    events = read(reply(['<tool_call>{"name": "weather", "arguments": {"city": "Par'], "length"))
    assert calls(events) == [("weather", '{"city": "Par"}')]
    assert events[-1] == Finished("length")
    cut = '<tool_call>{"name": "wea'
    assert meaning(read(reply([cut], "length"))) == (cut, [], Finished("length"))


def test_one_call_where_one_is_asked_for() -> None:
    """Without parallel calls the reply ends with the first: the upstream's call may end."""
    parser = ToolCalls(TOOLS, one=True)
    events = parser.feed(reply([PARIS + PARIS]))
    assert len(calls(events)) == 1
    assert events[-1] == Finished("tool_calls")
    assert parser.finished


def test_an_answer_the_model_invents_for_its_tool_is_no_text() -> None:
    """Where the model goes on as the tool, its reply is over."""
    for pieces in ([PARIS, "\n<tool_response>\n21 degrees"], list(PARIS + "\n<tool_response>21")):
        events = read(reply(pieces))
        assert said(events) == ""
        assert events[-1] == Finished("tool_calls")


def test_other_blocks_keep_their_order_and_are_numbered_anew() -> None:
    """Thoughts before the text, and after it, stand where they stood."""
    events = read(
        [
            Started("m"),
            BlockStarted(0, "reasoning"),
            ReasoningDelta("hm"),
            BlockEnded(0),
            BlockStarted(1, "text"),
            TextDelta(f"So: {PARIS}"),
            BlockEnded(1),
            BlockStarted(2, "reasoning"),
            ReasoningDelta("hm again"),
            BlockEnded(2),
            Finished("stop"),
        ]
    )
    opened = [(event.block, event.kind) for event in events if isinstance(event, BlockStarted)]
    assert opened == [(0, "reasoning"), (1, "text"), (2, "tool_call"), (3, "reasoning")]


def test_what_was_held_back_of_a_failed_reply_leaves_before_the_failure() -> None:
    """A cut reply shows all there is of it, then why there is no more."""
    parser = ToolCalls(TOOLS)
    failed = Failed(UpstreamFailed("gone"))
    events = parser.feed([BlockStarted(0, "text"), TextDelta('Look: <tool_call>{"name'), failed])
    assert said(events) == 'Look: <tool_call>{"name'
    assert events[-1] is failed


def test_beginnings_without_end_cost_a_bounded_number_of_readings() -> None:
    """Thousands of openers that lead nowhere are text, soon."""
    text = '<tool_call>{"name' * 3 * MOST_FAILED
    assert said(read(reply([text] * 20))) == text * 20


# -- properties ------------------------------------------------------------------------------

CALLS = st.tuples(st.sampled_from(sorted(TOOLS)), st.dictionaries(st.text(), JSON, max_size=4))
WORDS = st.text(alphabet="abc .\né", min_size=1).map(str.strip).filter(bool)
_CRUMBS = (
    *("<tool_call>", "</tool_call>", "<tool_", "<tool_response>", "<", ">", "```", "json"),
    *("{", "}", "[", "]", ":", ",", '"', "'", "\\", '"name"', '"other"', '"arguments"'),
    *("\n", " ", "a"),
)
CRUMBS = st.lists(st.sampled_from(_CRUMBS), max_size=30).map("".join)


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]


@given(data=st.data(), parts=st.lists(CALLS | WORDS, max_size=5), indent=st.sampled_from([None, 1]))
def test_every_list_of_calls_comes_back(
    data: st.DataObject, parts: list[str | tuple[str, object]], indent: int | None
) -> None:
    """However it is cut, each call has its name and the very bytes of its arguments."""
    text = "\n".join(p if isinstance(p, str) else call(*p, indent=indent) for p in parts)
    events = read(reply(cut(text, data)))
    wanted = [p for p in parts if not isinstance(p, str)]
    assert [(name, json.loads(arguments)) for name, arguments in calls(events)] == wanted
    for _, arguments in calls(events):
        assert arguments in text
    words = "".join(p for p in parts if isinstance(p, str))
    assert said(events).replace("\n", "") == words.replace("\n", "")


@given(data=st.data(), text=st.text() | CRUMBS)
def test_text_without_a_call_passes_byte_for_byte(data: st.DataObject, text: str) -> None:
    """Whatever tags and brackets it holds: no declared tool is named in it."""
    assert meaning(read(reply(cut(text, data)))) == (text, [], Finished("stop"))


@given(data=st.data(), before=CRUMBS, inside=CRUMBS, after=CRUMBS)
def test_any_chunking_means_the_same(
    data: st.DataObject, before: str, inside: str, after: str
) -> None:
    """Calls with anything in and around them: no crash, valid arguments, one meaning."""
    text = f'{before}<tool_call>{{"name": "weather", "arguments": {{{inside}{after}'
    events = read(reply(cut(text, data)))
    assert meaning(events) == meaning(read(reply([text])))
    for _, arguments in calls(events):
        assert isinstance(json.loads(arguments), dict)
