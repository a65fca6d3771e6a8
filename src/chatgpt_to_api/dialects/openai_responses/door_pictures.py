"""Pictures that items link to: finding their URLs, and putting their data in the place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.problems import decoded

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_HOLDERS: Final = ("content", "output")
_LINKS: Final = ("http://", "https://")


def linked_pictures(items: Iterable[tuple[Raw, str]]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in."""
    found: dict[str, str] = {}
    for raw, param in items:
        if b"input_image" not in bytes(raw):
            continue
        for name, place, part in _pictures(decoded(raw, _OBJECT, param)):
            url = part["image_url"]
            if url.startswith(_LINKS):
                found.setdefault(url, f"{param}.{name}[{place}].image_url")
    return found


def with_pictures(items: Sequence[Raw], data: Mapping[str, str]) -> list[Raw]:
    """Return items with the URLs in ``data`` replaced; every other item keeps its bytes."""
    return [_replaced(raw, data) for raw in items]


def _replaced(raw: Raw, data: Mapping[str, str]) -> Raw:
    if b"input_image" not in bytes(raw):
        return raw
    item = _OBJECT.decode(raw)
    for _, _, part in _pictures(item):
        part["image_url"] = data.get(part["image_url"], part["image_url"])
    return Raw(msgspec.json.encode(item))


def _pictures(item: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for name in _HOLDERS:
        held = item.get(name)
        for place, part in enumerate(held if isinstance(held, list) else ()):
            if isinstance(part, dict) and isinstance(part.get("image_url"), str):
                yield name, place, part
