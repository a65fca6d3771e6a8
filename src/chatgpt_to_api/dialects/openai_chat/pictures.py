"""Pictures that a request links to: finding their URLs, and putting their data in the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.openai_chat.messages import ChatMessage
from chatgpt_to_api.dialects.problems import decoded

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])


def linked_pictures(messages: Sequence[ChatMessage]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in."""
    found: dict[str, str] = {}
    for index, message in enumerate(messages):
        for place, raw in enumerate(message.content if isinstance(message.content, list) else ()):
            param = f"messages[{index}].content[{place}]"
            picture = decoded(raw, _OBJECT, param).get("image_url")
            inner = isinstance(picture, dict)
            url = picture.get("url") if isinstance(picture, dict) else picture
            if isinstance(url, str) and url.startswith(("http://", "https://")):
                found.setdefault(url, f"{param}.image_url{'.url' if inner else ''}")
    return found


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    fields = _RAW_OBJECT.decode(body)
    messages = _RAW_OBJECTS.decode(fields["messages"])
    for message in messages:
        content = message.get("content")
        if content is None or not bytes(content).startswith(b"["):
            continue
        parts = [_replaced(raw, data) for raw in _RAW_LIST.decode(content)]
        message["content"] = Raw(msgspec.json.encode(parts))
    fields["messages"] = Raw(msgspec.json.encode(messages))
    return msgspec.json.encode(fields)


def _replaced(raw: Raw, data: Mapping[str, str]) -> Raw:
    part = _OBJECT.decode(raw)
    picture = part.get("image_url")
    if isinstance(picture, dict) and picture.get("url") in data:
        picture["url"] = data[picture["url"]]
    elif isinstance(picture, str) and picture in data:
        part["image_url"] = data[picture]
    else:
        return raw
    return Raw(msgspec.json.encode(part))
