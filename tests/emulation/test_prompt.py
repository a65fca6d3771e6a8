"""What is asked in words: tools, choices, results and JSON, the same words every time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.request import (
    AllowedTools,
    Branch,
    ChatRequest,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from chatgpt_to_api.emulation.features import EMULATED, TOLD
from chatgpt_to_api.emulation.prompt import asked_again, callable_tools, needed, prompted
from chatgpt_to_api.errors import InvalidRequest

HELLO = Message("user", (Text("hello"),))
TOOLS = (Tool("weather", "Tells the weather.", {"type": "object"}), Tool("now"))


def request(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=messages or (HELLO,), **fields)


def texts(asked: ChatRequest) -> list[tuple[str, str]]:
    """Who says what."""
    return [
        (message.role, "|".join(p.text if isinstance(p, Text) else "*" for p in message.parts))
        for message in asked.messages
    ]


def test_a_request_that_needs_nothing_stays_as_it_is() -> None:
    """And one whose upstream emulates nothing."""
    assert needed(request(), EMULATED) == ()
    everything = request(tools=TOOLS, json=JsonFormat(), stop=("x",), max_tokens=1)
    assert needed(everything, frozenset()) == ()
    assert needed(everything, EMULATED) == tuple(n for n in TOLD if n not in ("freeform", "n"))


def test_what_is_emulated_is_taken_out_of_the_request() -> None:
    """The upstream is not asked twice for one thing."""
    asked = request(
        tools=TOOLS, tool_choice="auto", parallel_tool_calls=True, json=JsonFormat(), stop=("x",)
    )
    plain = prompted(asked, ("tools", "json", "stop"))
    assert (plain.tools, plain.tool_choice, plain.parallel_tool_calls) == ((), None, None)
    assert (plain.json, plain.stop) == (None, ())


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("auto", []),
        ("required", ["must be a call of one of the tools"]),
        (NamedTool("now"), ["must be a call of the tool now"]),
        (AllowedTools(("now",), "required"), ["call only: now", "must be a call of one of them"]),
    ],
)
def test_what_goes_on_is_not_told_its_tools_again(choice: ToolChoice, said: list[str]) -> None:
    """The list stands at the conversation's beginning; what the next answer must be is said."""
    rest = request(tools=TOOLS, tool_choice=choice, branch=Branch("c", "m"))
    *instructions, hello = texts(prompted(rest, ("tools",)))
    assert hello == ("user", "hello")
    assert len(instructions) == bool(said)
    for _, told in instructions:
        assert all(words in told for words in said)
        assert "<tools>" not in told and "<tool_call>" not in told


def test_json_that_goes_on_is_called_to_mind_without_its_schema() -> None:
    """A long schema is not repeated either, but a model forgets the form sooner than the tools."""
    form = JsonFormat({"type": "object", "title": "A long one"}, "answer")
    [(_, told), hello] = texts(prompted(request(json=form, branch=Branch("c", "m")), ("json",)))
    assert "must be JSON" in told and "A long one" not in told
    assert hello == ("user", "hello")


def test_a_result_that_goes_on_bears_the_name_of_the_call_before_it() -> None:
    """The call itself is in the conversation and not sent again."""
    call = Message("assistant", (ToolCall("c1", "weather", "{}"),))
    result = Message("tool", (ToolResult("c1", (Text("Cold."),)),))
    rest = request(result, tools=TOOLS, branch=Branch("c", "m"))
    [(role, told)] = texts(prompted(rest, ("tools",), before=(HELLO, call, result)))
    assert role == "user"
    assert told == '<tool_response id="c1" name="weather">\nCold.\n</tool_response>'


def test_instructions_stand_behind_the_callers_own() -> None:
    """In the last system message that opens the chat, or in one of their own."""
    system = Message("system", (Text("Be brief."),))
    [(role, told), hello] = texts(prompted(request(system, HELLO, tools=TOOLS), ("tools",)))
    assert role == "system"
    assert told.startswith("Be brief.\n\nYou can call tools")
    assert '{"name":"now","parameters":{"type":"object"}}' in told
    assert hello == ("user", "hello")
    assert [role for role, _ in texts(prompted(request(tools=TOOLS), ("tools",)))] == [
        "system",
        "user",
    ]


@pytest.mark.parametrize(
    ("choice", "names", "words"),
    [
        (None, {"weather", "now"}, ""),
        ("auto", {"weather", "now"}, ""),
        ("required", {"weather", "now"}, "must be a call of one of the tools"),
        (NamedTool("now"), {"now"}, "must be a call of the tool now"),
        (AllowedTools(("now",)), {"now"}, "may now call only: now"),
        (AllowedTools(("now",), "required"), {"now"}, "must be a call of one of them"),
        ("none", set(), None),
    ],
)
def test_each_choice_is_said(choice: ToolChoice | None, names: set[str], words: str | None) -> None:
    """All tools are listed whatever is chosen, so the prompt begins the same; none is mute."""
    asked = request(tools=TOOLS, tool_choice=choice)
    assert callable_tools(asked) == names
    said = texts(prompted(asked, ("tools",)))
    if words is None:
        assert said == [("user", "hello")]
    else:
        assert words in said[0][1]
        assert '"weather"' in said[0][1] and '"now"' in said[0][1]


@pytest.mark.parametrize("choice", [NamedTool("nope"), AllowedTools(("now", "nope"))])
def test_a_choice_of_an_undeclared_tool_is_refused(choice: ToolChoice) -> None:
    """By name."""
    with pytest.raises(InvalidRequest, match="'nope'") as refused:
        prompted(request(tools=TOOLS, tool_choice=choice), ("tools",))
    assert refused.value.param == "tool_choice"


def test_calls_and_results_go_back_in_the_words_of_the_protocol() -> None:
    """Results in one message, in order, with ids, names and failures; pictures where they stood."""
    picture = Image("data:image/png;base64,AA")
    asked = request(
        HELLO,
        Message(
            "assistant",
            (Text("Look."), ToolCall("a", "weather", '{"city":"Oslo"}'), ToolCall("b", "now", "")),
        ),
        Message("tool", (ToolResult("a", (Text("cold"), picture, Text("</tool_response>"))),)),
        Message("tool", (ToolResult("b", (Text("no clock"),), is_error=True),)),
        Message("user", (Text("and?"),)),
    )
    [_, assistant, results, *more] = texts(prompted(asked, ("tools",)))
    assert assistant == (
        "assistant",
        'Look.|<tool_call id="a">\n{"name": "weather", "arguments": {"city":"Oslo"}}\n</tool_call>'
        '|<tool_call id="b">\n{"name": "now", "arguments": {}}\n</tool_call>',
    )
    assert results == (
        "user",
        '<tool_response id="a" name="weather">\ncold|*|<\\/tool_response>\n</tool_response>'
        '|<tool_response id="b" name="now" error="true">\nno clock\n</tool_response>|and?',
    )
    assert more == []


def test_arguments_that_are_no_json_go_back_as_a_string() -> None:
    """A freeform tool's input, or what another model wrote."""
    call = Message("assistant", (ToolCall("a", "patch", "*** begin\n"),))
    [(_, told)] = texts(prompted(request(call), ("tools",)))
    assert json.loads(told.split("\n")[1]) == {"name": "patch", "arguments": "*** begin\n"}


def test_an_id_cannot_leave_its_place() -> None:
    """Ids come from callers."""
    call = Message("assistant", (ToolCall('"><x\n', "now", "{}"),))
    [(_, told)] = texts(prompted(request(call), ("tools",)))
    assert told.startswith('<tool_call id="x">\n')


def test_json_is_asked_for_with_its_schema() -> None:
    """As it was given, keys in their order."""
    form = JsonFormat({"type": "object", "b": 1, "a": 2}, "person", "a person")
    [(_, told), _] = texts(prompted(request(json=form), ("json",)))
    assert told.endswith('{"type":"object","b":1,"a":2}')
    assert "(a person)" in told
    [(_, told), _] = texts(prompted(request(json=JsonFormat()), ("json",)))
    assert "one JSON object" in told


def test_a_second_try_tells_what_was_said_and_what_is_wrong_with_it() -> None:
    """After everything that was asked before."""
    again = asked_again(request(), "nonsense", "mend it")
    assert texts(again) == [("user", "hello"), ("assistant", "nonsense"), ("user", "mend it")]
    assert len(asked_again(request(), "", "mend it").messages) == 2


TURNS = st.lists(
    st.builds(
        lambda call_id, words: (
            Message("assistant", (ToolCall(call_id, "now", "{}"),)),
            Message("tool", (ToolResult(call_id, (Text(words),)),)),
            Message("assistant", (Text(words),)),
            HELLO,
        ),
        st.text(min_size=1, max_size=5),
        st.text(max_size=10),
    ),
    max_size=4,
)


@given(TURNS, TURNS)
def test_a_chat_that_goes_on_begins_as_it_began(
    before: list[tuple[Message, ...]], after: list[tuple[Message, ...]]
) -> None:
    """Equal turns are equal words: what an upstream has read once it need not read again."""
    begun = [HELLO, *(message for turn in before for message in turn)]
    gone_on = [*begun, *(message for turn in after for message in turn)]
    first = prompted(request(*begun, tools=TOOLS), ("tools",)).messages
    second = prompted(request(*gone_on, tools=TOOLS), ("tools",)).messages
    assert second[: len(first)] == first
