"""What a chat request needs, read without translating it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.chat.needs import Needs
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.emulation.features import TOLD
from chatgpt_to_api.wire.http import RequestHead

TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
TEXT = {"type": "text", "text": "hi"}


def needs(content: Any = "hi", **more: Any) -> Needs:
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": content}]
    body = json.dumps({"model": "m", "messages": messages, **more}).encode()
    return DOOR.ask(RequestHead("POST", "/v1/chat/completions", b"", ()), body).needs()


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {}),
        ({"content": [TEXT]}, {}),
        ({"content": [TEXT, IMAGE, IMAGE]}, {"images": "messages[1].content[1]"}),
        (
            {
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                ]
            },
            {"audio": "messages[1].content[0]"},
        ),
        (
            {"content": [{"type": "file", "file": {"file_id": "f-1"}}]},
            {"files": "messages[1].content[0]"},
        ),
        ({"tools": [TOOL]}, {"tools": "tools"}),
        ({"tools": []}, {}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"tools": [TOOL], "tool_choice": "required"}, {"tools": "tools"}),
        ({"functions": [{"name": "f"}]}, {"tools": "functions"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"json": "response_format"}),
        ({"response_format": {"type": "json_schema"}}, {"json": "response_format"}),
        ({"response_format": None}, {}),
        ({"response_format": 5}, {}),
    ],
)
def test_needs_and_the_fields_that_have_them(asked: dict[str, Any], fields: dict[str, str]) -> None:
    """What is mistyped is somebody else's error to tell."""
    assert needs(**asked).fields == fields


CUSTOM = {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("asked", "may"),
    [
        ({}, set()),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": [TOOL, {"type": "custom", "custom": {"name": "g"}}]}, {"tools", "freeform"}),
        ({"said": {"tool_calls": [CUSTOM]}}, {"tools", "freeform"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"tool_choice": "required"}, {"tools"}),
        ({"content": "hi", "said": {"tool_calls": [CALL]}}, {"tools"}),
        ({"said": {"function_call": CALL["function"]}}, {"tools"}),
        ({"said": {"content": "hi", "tool_calls": []}}, set()),
        ({"result": {"role": "tool", "tool_call_id": "c", "content": "x"}}, {"tools"}),
        ({"result": {"role": "function", "name": "f", "content": "x"}}, {"tools"}),
        ({"response_format": {"type": "json_object"}}, {"json"}),
        ({"response_format": None, "stop": [], "n": 1}, set()),
        ({"stop": "x", "n": 2}, {"stop", "n"}),
        ({"max_tokens": 1}, {"max_tokens"}),
        ({"max_completion_tokens": 1}, {"max_tokens"}),
    ],
)
def test_what_may_have_to_be_emulated(asked: dict[str, Any], may: set[str]) -> None:
    """Told without translating; a call or a result of an earlier turn counts as well."""
    more = dict(asked)
    messages: list[Any] = [{"role": "user", "content": more.pop("content", "hi")}]
    if "said" in more:
        messages.append({"role": "assistant", **more.pop("said")})
    if "result" in more:
        messages.append(more.pop("result"))
    body = json.dumps({"model": "m", "messages": messages, **more}).encode()
    found = DOOR.ask(RequestHead("POST", "/v1/chat/completions", b"", ()), body)
    assert {name for name in TOLD if found.may_need(name)} == may


def test_the_length_is_about_that_of_the_text() -> None:
    """Pictures do not count by their bytes, other alphabets count by theirs."""
    assert needs("word " * 5000).tokens == 5000
    assert needs("字" * 5000).tokens == 3000
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 50_000}}
    assert needs([TEXT, picture]).tokens < 20
    assert needs(tools=[{**TOOL, "x": "y" * 5000}]).tokens > 900
