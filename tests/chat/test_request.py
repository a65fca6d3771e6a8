"""What a canonical request tells of itself."""

from __future__ import annotations

import pytest

from chatgpt_to_api.chat.request import ChatRequest


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "web_search", "filters": {}}, "tools[web_search]"),
        ({"googleSearch": {}}, "tools[googleSearch]"),
        ({"type": "not one\r\nword"}, "tools"),
        ("search", "tools"),
    ],
)
def test_a_servers_own_tool_is_left_out_by_its_kind(tool: object, name: str) -> None:
    """What names none is told all the same; other extras have the client's name."""
    extras = {"tools": [tool], "top_k": 3}
    asked = ChatRequest(model="m", messages=(), extras=extras, own_names={"top_k": "topK"})
    assert list(asked.left_out(extras)) == [name, "topK"]
