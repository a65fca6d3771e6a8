"""Linked pictures are found, and their data takes the URL's place and nothing else's."""

from __future__ import annotations

import json

from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.wire.http import RequestHead

HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])
A, B = "https://a.example/1.png", "http://b.example/2.png"
DATA = "data:image/png;base64,iVBORw0KGgo="


def picture(url: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": url}


REQUEST = {
    "model": "m",
    "x": 1.0,
    "messages": [
        {"role": "system", "content": "[s]", "odd": [1]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": A},
                picture({"url": A, "detail": "low"}),
                picture(B),
                picture({"url": DATA}),
                picture({"url": A}),
            ],
        },
    ],
}


def test_each_url_is_found_once_with_its_path() -> None:
    """Written either way; what is data already is left alone."""
    assert DOOR.ask(HEAD, json.dumps(REQUEST).encode()).linked_pictures() == {
        A: "messages[1].content[1].image_url.url",
        B: "messages[1].content[2].image_url",
    }


def test_only_the_urls_change() -> None:
    """A text that looks like one stays, as do unknown fields."""
    asked = DOOR.ask(HEAD, json.dumps(REQUEST).encode()).with_pictures({A: DATA, B: DATA})
    sent = json.loads(asked.relayed("m", ask_usage=False))
    expected = json.loads(json.dumps(REQUEST))
    content = expected["messages"][1]["content"]
    content[1]["image_url"]["url"] = content[2]["image_url"] = DATA
    content[4]["image_url"]["url"] = DATA
    assert sent == expected
