"""How much one request may hold: limits that are settings, and errors that name them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.dialects.openai_chat.door import ChatDoor
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])
DOOR = ChatDoor(RequestLimits(messages=3, tools=2, depth=12))
HELLO = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def ask(**fields: Any) -> None:
    DOOR.ask(HEAD, json.dumps({"model": "m", "messages": [HELLO], **fields}).encode()).request()


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [HELLO] * 3},
        {"tools": [TOOL] * 2},
        {"functions": [{"name": "f"}] * 2},
        {"metadata": nested(11)},
        {"messages": [{**HELLO, "content": "[{" * 500 + '\\"]' * 100}]},
    ],
)
def test_what_is_at_a_limit_passes(fields: dict[str, Any]) -> None:
    """The limit itself is allowed, and brackets within strings nest nothing."""
    ask(**fields)


@pytest.mark.parametrize(
    ("fields", "code", "param", "setting"),
    [
        ({"messages": [HELLO] * 4}, "too_many_messages", "messages", "MAX_MESSAGES"),
        ({"tools": [TOOL] * 3}, "too_many_tools", "tools", "MAX_TOOLS"),
        ({"functions": [{"name": "f"}] * 3}, "too_many_tools", "functions", "MAX_TOOLS"),
        ({"metadata": nested(12)}, "nested_too_deeply", "metadata.a.a", "MAX_DEPTH"),
        (
            {"tools": [TOOL, {**TOOL, "x": nested(10)}]},
            "nested_too_deeply",
            "tools[1].x",
            "MAX_DEPTH",
        ),
    ],
)
def test_what_is_beyond_a_limit_is_refused_by_its_name(
    fields: dict[str, Any], code: str, param: str | None, setting: str
) -> None:
    """With the field and the setting; depth where the JSON is taken apart."""
    with pytest.raises(InvalidRequest) as caught:
        ask(**fields)
    assert caught.value.code == code
    assert caught.value.param == param
    assert f"CHATGPT_TO_API_{setting}" in caught.value.message


def test_nesting_beyond_what_can_be_decoded_is_the_same_error() -> None:
    """However deep it goes, it is a 400."""
    body = b'{"model": "m", "messages": [], "odd": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidRequest) as caught:
        DOOR.ask(HEAD, body)
    assert caught.value.code == "nested_too_deeply"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,A-A="}},
            "messages[1].content[1].image_url.url",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}},
            "messages[1].content[1].input_audio.data",
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}},
            "messages[1].content[1].file.file_data",
        ),
    ],
)
def test_broken_base64_is_refused_on_every_lane(part: dict[str, Any], param: str) -> None:
    """Already the first decode sees it, so nothing is sent anywhere."""
    said = [{"type": "text", "text": "base64, what is it?"}, part]
    body = {"model": "m", "messages": [HELLO, {"role": "user", "content": said}]}
    with pytest.raises(InvalidRequest) as caught:
        DOOR.ask(HEAD, json.dumps(body).encode())
    assert caught.value.param == param
    assert "base64" in caught.value.message


def test_parts_that_only_an_upstream_knows_are_not_looked_into() -> None:
    """What is passed on as it is may hold more than this gateway knows."""
    said = [{"type": "video", "video": "data:video/mp4;base64,-"}]
    body = {"model": "m", "messages": [{"role": "user", "content": said}]}
    DOOR.ask(HEAD, json.dumps(body).encode())
