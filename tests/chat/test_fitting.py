"""Names and ids that a server would refuse: changed always alike, and never two into one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import BlockStarted, TextDelta
from chatgpt_to_api.chat.fitting import ToolNames, cleaned, shortened
from chatgpt_to_api.chat.request import AllowedTools, ChatRequest, NamedTool, Tool

NAMES = st.lists(st.text(max_size=80), max_size=6, unique=True)


@given(names=NAMES, limit=st.sampled_from([40, 64, 128]))
def test_names_fit_and_stay_apart(names: list[str], limit: int) -> None:
    """Traps 27 and 28: whatever tools are called, a server gets plain names, each its own."""
    fitted = [cleaned(name, limit) for name in names]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", name) and len(name) <= limit for name in fitted)
    assert len(set(fitted)) == len(names)
    assert fitted == [cleaned(name, limit) for name in names]


@given(name=st.from_regex(r"\A[a-zA-Z0-9_-]{1,64}\Z"))
def test_what_fits_stays(name: str) -> None:
    """A name or id that a server takes is sent as it is."""
    assert cleaned(name, 64) == shortened(name, 64) == name


@given(names=NAMES.filter(bool))
def test_the_tools_names_come_back(names: list[str]) -> None:
    """Trap 28: a call comes back under the name that the client gave the tool."""
    request = ChatRequest(model="m", messages=(), tools=tuple(map(Tool, names)))
    fitted = ToolNames(request, 64)
    called = [BlockStarted(0, "tool_call", 0, "id", fitted.fit(name)) for name in names]
    events = fitted.restored([*called, TextDelta("x")])
    assert [e.tool_name for e in events if isinstance(e, BlockStarted)] == names
    assert events[-1] == TextDelta("x")


def test_a_choice_names_tools_as_the_server_knows_them() -> None:
    """A forced call is forced under the shortened name."""
    long = "mcp__" + "x" * 80
    names = ToolNames(ChatRequest(model="m", messages=(), tools=(Tool(long),)), 64)
    short = names.fit(long)
    assert names.choice(NamedTool(long)) == NamedTool(short)
    assert names.choice(AllowedTools((long, "b"))) == AllowedTools((short, "b"))
    assert names.choice("auto") == "auto"
    assert names.own == {short: long}


def test_long_ids_are_cut_to_different_ones() -> None:
    """Ids that begin alike do not become one."""
    ids = [shortened("call:" + "a" * 70 + end, 64) for end in "xy"]
    assert [len(made) for made in ids] == [64, 64]
    assert ids[0] != ids[1]
