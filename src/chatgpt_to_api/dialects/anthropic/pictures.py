"""Pictures that a request links to: finding their URLs, and putting their data in the place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.anthropic.messages import InputMessage
from chatgpt_to_api.dialects.problems import decoded

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])


def linked_pictures(messages: Sequence[InputMessage]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in."""
    found: dict[str, str] = {}
    for index, message in enumerate(messages):
        for place, raw in enumerate(message.content if isinstance(message.content, list) else ()):
            param = f"messages[{index}].content[{place}]"
            block = decoded(raw, _OBJECT, param)
            for source, where in _sources(block, param):
                url = source.get("url")
                if isinstance(url, str) and url.startswith(("http://", "https://")):
                    found.setdefault(url, f"{where}.url")
    return found


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    fields = _RAW_OBJECT.decode(body)
    messages = _RAW_OBJECTS.decode(fields["messages"])
    for message in messages:
        content = message.get("content")
        if content is None or not bytes(content).startswith(b"["):
            continue
        blocks = [_replaced(raw, data) for raw in _RAW_LIST.decode(content)]
        message["content"] = Raw(msgspec.json.encode(blocks))
    fields["messages"] = Raw(msgspec.json.encode(messages))
    return msgspec.json.encode(fields)


def _replaced(raw: Raw, data: Mapping[str, str]) -> Raw:
    block = _OBJECT.decode(raw)
    changed = False
    for source, _ in _sources(block, ""):
        url = source.get("url")
        if isinstance(url, str) and url in data:
            head, _, encoded = data[url].partition(";base64,")
            source.clear()
            source |= {
                "type": "base64",
                "media_type": head.removeprefix("data:"),
                "data": encoded,
            }
            changed = True
    return Raw(msgspec.json.encode(block)) if changed else raw


def _sources(block: dict[str, Any], param: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give the linked sources of a block's picture, or of those in a tool's result."""
    source, content = block.get("source"), block.get("content")
    if block.get("type") == "image" and isinstance(source, dict) and source.get("type") == "url":
        yield source, f"{param}.source"
    elif block.get("type") == "tool_result" and isinstance(content, list):
        for place, inner in enumerate(content):
            if isinstance(inner, dict):
                yield from _sources(inner, f"{param}.content[{place}]")
