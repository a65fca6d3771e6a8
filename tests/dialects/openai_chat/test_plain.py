"""What clients of other dialects say, as OpenAI-compatible servers are asked it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.chat.request import (
    ChatRequest,
    File,
    Foreign,
    Message,
    Opaque,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.secret import ANONYMOUS

UPSTREAM = ChatUpstream("http://upstream.example/v1")
HELLO = Message("user", (Text("hello"),))


class NoIds:
    def uuid4(self) -> str:
        raise AssertionError("this dialect puts no ids on the wire")


def asked(*messages: Message, dialect: str = "anthropic", **fields: Any) -> ChatRequest:
    return ChatRequest(model="gpt-4o", messages=messages or (HELLO,), dialect=dialect, **fields)


def sent(request: ChatRequest, model: str = "gpt-4o") -> Any:
    return json.loads(UPSTREAM.encode(request, model, ANONYMOUS, NoIds()).body)


def test_texts_of_one_turn_are_one() -> None:
    """Trap 44: joined always alike; an assistant's are pieces of one text."""
    texts = (Text("a"), Text("b"))
    body = sent(
        asked(Message("system", texts), Message("user", texts), Message("assistant", texts))
    )
    assert [message["content"] for message in body["messages"]] == ["a\n\nb", "a\n\nb", "ab"]
    own = sent(asked(Message("user", texts), dialect="openai_chat"))
    assert len(own["messages"][0]["content"]) == 2


def test_a_turn_of_foreign_blocks_alone_is_left_out() -> None:
    """A billing line by itself makes no system message."""
    line = Message("system", (Foreign(Opaque("anthropic", "{}")),))
    assert [message["role"] for message in sent(asked(line, HELLO))["messages"]] == ["user"]


def test_a_result_that_is_an_error_says_so() -> None:
    """Trap 41: the dialect has no field for it."""
    call = Message("assistant", (ToolCall("a", "f", "{}"),))
    failed = Message("tool", (ToolResult("a", (Text("no"),), is_error=True),))
    assert sent(asked(HELLO, call, failed))["messages"][2]["content"] == "Error: no"
    empty = Message("tool", (ToolResult("a", (), is_error=True),))
    assert sent(asked(HELLO, call, empty))["messages"][2]["content"] == "Error"


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gpt-4o", "high", None),
        ("gpt-5", "max", "high"),
        ("gpt-5", "none", None),
        ("gpt-5.2", "none", "none"),
        ("some-model", "low", "low"),
    ],
)
def test_effort_as_far_as_a_model_takes_it(model: str, effort: str, expected: str | None) -> None:
    """Models that do not think refuse to be told how hard."""
    assert sent(asked(reasoning_effort=effort), model).get("reasoning_effort") == expected


def test_what_a_model_is_not_told_is_named() -> None:
    """In the client's words; thinking that is off anyway is nothing to tell."""
    names = {"reasoning_effort": "output_config.effort", "reasoning_budget": "thinking"}
    assert UPSTREAM.ignored(asked(reasoning_effort="high", own_names=names)) == (
        "output_config.effort",
    )
    assert UPSTREAM.ignored(asked(reasoning_budget=2000, own_names=names)) == ("thinking",)
    assert UPSTREAM.ignored(asked(reasoning_budget=0, own_names=names)) == ()


def test_names_ids_and_users_are_as_long_as_the_api_allows() -> None:
    """Traps 27 and 28; a client of this dialect is left as it is, it knows its server."""
    long = "x" * 100
    call = Message("assistant", (ToolCall(long, long, "{}"),))
    answer = Message("tool", (ToolResult(long, (Text("ok"),)),))
    fields = {"tools": (Tool(long),), "user": long}
    body = sent(asked(HELLO, call, answer, **fields))
    made = body["messages"][1]["tool_calls"][0]
    assert made["id"] == body["messages"][2]["tool_call_id"]
    assert made["function"]["name"] == body["tools"][0]["function"]["name"]
    assert {len(made["id"]), len(made["function"]["name"]), len(body["user"])} == {64}
    own = sent(asked(HELLO, call, answer, dialect="openai_chat", **fields))
    assert own["messages"][1]["tool_calls"][0]["id"] == long


def test_a_document_by_its_url_is_refused() -> None:
    """The dialect has no place for one: for the route's next candidate."""
    with pytest.raises(InvalidRequest) as refused:
        UPSTREAM.ignored(asked(Message("user", (Text("x"), File(url="https://x/a.pdf")))))
    assert refused.value.param == "messages[0].content[1]"
    assert refused.value.code == "unsupported_parameter"


def test_a_late_system_message_becomes_the_users_where_templates_refuse_it() -> None:
    """Trap 24: in its place, neither hoisted nor dropped; the opening stays the system's."""
    opening = Message("system", (Text("be brief"),)), Message("developer", (Text("and kind"),))
    late = Message("system", (Text("now in French"),))
    turns = (*opening, HELLO, Message("assistant", (Text("hi"),)), late, HELLO)
    roles = ["system", "developer", "user", "assistant", "system", "user"]
    assert [message["role"] for message in sent(asked(*turns))["messages"]] == roles
    strict = ChatUpstream("http://upstream.example/v1", late_system="user")
    body = json.loads(strict.encode(asked(*turns), "m", ANONYMOUS, NoIds()).body)
    assert [message["role"] for message in body["messages"]] == [*roles[:4], "user", "user"]
    assert body["messages"][4]["content"] == "now in French"
