"""Linked pictures are found, and their data takes the link's place and nothing else's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.chat.request import Image
from chatgpt_to_api.dialects.contract import LinksPictures
from chatgpt_to_api.dialects.gemini.count_door import CountDoor
from chatgpt_to_api.dialects.gemini.door import DOOR
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import RequestHead

HEAD = RequestHead("POST", "/v1beta/models/m:generateContent", b"", [])
COUNT = RequestHead("POST", "/v1beta/models/m:countTokens", b"", [])
A, B, C = "https://a.example/1.png", "http://b.example/2", "https://c.example/3.webp"
DATA = "data:image/png;base64,iVBORw0KGgo="
INLINE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
KEPT = "https://generativelanguage.googleapis.com/v1beta/files/abc"


def link(url: str, mime: str | None = None, **rest: Any) -> dict[str, Any]:
    typed = {} if mime is None else {"mimeType": mime}
    return {"fileData": {**typed, "fileUri": url}, **rest}


def request() -> dict[str, Any]:
    result = {"name": "f", "response": {"x": 1.50}, "parts": [link(C)]}
    return {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": A},
                    link(A, mediaResolution={"level": "LOW"}),
                    link(B, "image/jpeg"),
                    link(A),
                    link(KEPT, "image/png"),
                    link("https://d.example/4.pdf"),
                    link("https://e.example/watch?v=5"),
                    link("gs://bucket/6.png"),
                    INLINE,
                ],
            },
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"u": A}}}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ],
        "generationConfig": {"temperature": 1.0},
    }


def shown() -> dict[str, Any]:
    body = request()
    parts = body["contents"][0]["parts"]
    parts[1] = {"mediaResolution": {"level": "LOW"}, **INLINE}
    parts[2] = parts[3] = INLINE
    body["contents"][2]["parts"][0]["functionResponse"]["parts"] = [INLINE]
    return body


def test_each_url_of_a_picture_is_found_once_with_its_path() -> None:
    """By the type that is told, else by the name; not what the vendor keeps, films or documents."""
    asked = DOOR.ask(HEAD, json.dumps(request()).encode())
    assert isinstance(asked, LinksPictures)
    assert asked.linked_pictures() == {
        A: "contents[0].parts[1].fileData.fileUri",
        B: "contents[0].parts[2].fileData.fileUri",
        C: "contents[2].parts[0].functionResponse.parts[0].fileData.fileUri",
    }


def test_only_the_links_change() -> None:
    """A text that looks like one stays, as do other fields and links; both lanes see the data."""
    asked = DOOR.ask(HEAD, json.dumps(request()).encode())
    seen = asked.with_pictures(dict.fromkeys((A, B, C), DATA))
    assert json.loads(seen.relayed("m", ask_usage=False)) == shown()
    pictures = [part for part in seen.request().messages[0].parts if isinstance(part, Image)]
    assert [picture.url for picture in pictures] == [
        DATA,
        DATA,
        DATA,
        KEPT,
        "gs://bucket/6.png",
        DATA,
    ]
    assert not seen.linked_pictures()


def test_the_other_spelling_means_the_same() -> None:
    """As people write it by hand."""
    parts = [{"file_data": {"file_uri": B, "mime_type": "image/png"}}]
    asked = DOOR.ask(HEAD, json.dumps({"contents": [{"parts": parts}]}).encode())
    assert asked.linked_pictures() == {B: "contents[0].parts[0].fileData.fileUri"}
    sent = json.loads(asked.with_pictures({B: DATA}).relayed("m", ask_usage=False))
    assert sent == {"contents": [{"parts": [INLINE]}]}


@pytest.mark.parametrize("name", ["generateContentRequest", "generate_content_request"])
def test_a_whole_request_to_be_counted_keeps_its_place(name: str) -> None:
    """The data stands inside it, or in the turns where these come alone."""
    door = CountDoor()
    data = dict.fromkeys((A, B, C), DATA)
    whole = door.ask(COUNT, json.dumps({name: request()}).encode()).with_pictures(data)
    sent = json.loads(whole.relayed("m", ask_usage=False))
    assert sent == {"generateContentRequest": {**shown(), "model": "models/m"}}
    turns = door.ask(COUNT, json.dumps({"contents": request()["contents"]}).encode())
    sent = json.loads(turns.with_pictures(data).relayed("m", ask_usage=False))
    assert sent == {"contents": shown()["contents"]}


def test_what_is_mistyped_is_named() -> None:
    """Where somebody looks for pictures before anybody translated the turns."""
    asked = DOOR.ask(HEAD, json.dumps({"contents": [{"parts": {"fileData": 1}}]}).encode())
    with pytest.raises(InvalidRequest) as caught:
        asked.linked_pictures()
    assert caught.value.param == "contents[0].parts"


def test_turns_without_a_link_are_left_to_who_translates() -> None:
    """A part that is none, in another turn, is named there and changes nothing here."""
    contents = [{"parts": [1]}, {"parts": [link(B, "image/png")]}]
    asked = DOOR.ask(HEAD, json.dumps({"contents": contents}).encode())
    assert list(asked.linked_pictures()) == [B]
    seen = asked.with_pictures({B: DATA})
    with pytest.raises(InvalidRequest) as caught:
        seen.request()
    assert caught.value.param == "contents[0].parts[0]"
