"""Pictures that a request links to: where this dialect has their URLs, and their data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from chatgpt_to_api.dialects.anthropic.messages import InputMessage
from chatgpt_to_api.dialects.linked_pictures import (
    Link,
    find_links,
    is_link,
    put_pictures,
    type_and_base64,
)


def linked_pictures(messages: Sequence[InputMessage]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in."""
    contents = ((m.content, f"messages[{index}].content") for index, m in enumerate(messages))
    return find_links(contents, _links)


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    return put_pictures(body, data, turns="messages", parts="content", links=_links)


def _links(block: dict[str, Any], param: str) -> Iterator[Link]:
    """Give the link of a block's picture, or those in a tool's result."""
    source, content = block.get("source"), block.get("content")
    if block.get("type") == "image" and isinstance(source, dict) and source.get("type") == "url":
        url = source.get("url")
        if is_link(url):
            yield Link(url, f"{param}.source.url", partial(_put, source))
    elif block.get("type") == "tool_result" and isinstance(content, list):
        for place, inner in enumerate(content):
            if isinstance(inner, dict):
                yield from _links(inner, f"{param}.content[{place}]")


def _put(source: dict[str, Any], data_url: str) -> None:
    media_type, data = type_and_base64(data_url)
    source.clear()
    source |= {"type": "base64", "media_type": media_type, "data": data}
