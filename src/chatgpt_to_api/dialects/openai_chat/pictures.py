"""Pictures that a request links to: where this dialect has their URLs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from chatgpt_to_api.dialects.linked_pictures import Link, find_links, is_link, put_pictures
from chatgpt_to_api.dialects.openai_chat.messages import ChatMessage


def linked_pictures(messages: Sequence[ChatMessage]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in."""
    contents = ((m.content, f"messages[{index}].content") for index, m in enumerate(messages))
    return find_links(contents, _links)


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    return put_pictures(body, data, turns="messages", parts="content", links=_links)


def _links(part: dict[str, Any], param: str) -> Iterator[Link]:
    picture = part.get("image_url")
    if isinstance(picture, dict):
        holder, field, where = picture, "url", f"{param}.image_url.url"
    else:
        holder, field, where = part, "image_url", f"{param}.image_url"
    url = holder.get(field)
    if is_link(url):
        yield Link(url, where, partial(holder.__setitem__, field))
