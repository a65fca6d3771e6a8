"""What a Gemini server is asked: calls and their results stay pairs."""

from __future__ import annotations

import json
from typing import Any

from chatgpt_to_api.chat.request import ChatRequest, Message, Text, ToolCall, ToolResult
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.wire.secret import ANONYMOUS


class NoIds:
    def uuid4(self) -> str:
        raise AssertionError("this dialect puts no ids on the wire")


def contents(*messages: Message) -> list[dict[str, Any]]:
    request = ChatRequest(model="m", messages=messages)
    call = GeminiUpstream("http://upstream.example/v1beta").encode(request, "m", ANONYMOUS, NoIds())
    told: list[dict[str, Any]] = json.loads(call.body)["contents"]
    return told


def test_a_call_that_cannot_be_parsed_keeps_its_place() -> None:
    """Trap 57: dropping one call orphans the next one's result, and the server answers nothing."""
    asked, calling, given = contents(
        Message("user", (Text("Both, please."),)),
        Message("assistant", (ToolCall("a", "first", '{"x": '), ToolCall("b", "second", "{}"))),
        Message("tool", (ToolResult("b", (Text("two"),)), ToolResult("a", (Text("one"),)))),
    )
    assert asked == {"role": "user", "parts": [{"text": "Both, please."}]}
    calls = [part["functionCall"] for part in calling["parts"]]
    assert [(call["name"], call["args"]) for call in calls] == [
        ("first", {"arguments": '{"x": '}),
        ("second", {}),
    ]
    results = [part["functionResponse"] for part in given["parts"]]
    told = {result["name"]: result["response"] for result in results}
    assert told == {"first": {"output": "one"}, "second": {"output": "two"}}
    by_id = {result["id"]: result["name"] for result in results}
    assert by_id == {call["id"]: call["name"] for call in calls}
