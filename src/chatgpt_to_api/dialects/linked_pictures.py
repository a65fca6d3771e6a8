"""Pictures that parts of a request link to: their URLs found, and their data put in the place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.problems import decoded

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])


class Link(NamedTuple):
    """A picture that is linked to: its URL, the path of the field that has it, and ``put``.

    ``put`` takes the picture as a data URL and writes it into the part the link was found in.
    """

    url: str
    param: str
    put: Callable[[str], None]


Links: TypeAlias = Callable[[dict[str, Any], str], Iterator[Link]]
"""How a dialect finds the links of one part, given the part's path."""


def is_link(url: object) -> TypeGuard[str]:
    """Whether a picture has to be fetched."""
    return isinstance(url, str) and url.startswith(("http://", "https://"))


def type_and_base64(data_url: str) -> tuple[str, str]:
    """Return the media type of a data URL, and its data."""
    head, _, data = data_url.partition(";base64,")
    return head.removeprefix("data:"), data


def find_links(contents: Iterable[tuple[object, str]], links: Links) -> dict[str, str]:
    """Return each URL once, with the path of the field it stands in.

    ``contents``: lists of parts with their paths; what is no list has no parts. Raises
    InvalidRequest for what is mistyped around a link.
    """
    found: dict[str, str] = {}
    for parts, path in contents:
        for place, raw in enumerate(parts if isinstance(parts, list) else ()):
            param = f"{path}[{place}]"
            for link in links(decoded(raw, _OBJECT, param), param):
                found.setdefault(link.url, link.param)
    return found


def put_pictures(
    body: bytes,
    data: Mapping[str, str],
    *,
    turns: str,
    parts: str,
    links: Links,
    mark: bytes = b"[",
) -> bytes:
    """Return a request with the pictures of ``data`` in it; every other value keeps its bytes.

    ``turns`` is the field with the list of turns, ``parts`` a turn's own with the list of parts;
    lists without ``mark`` in their bytes were not looked through for links, and are left alone.
    """
    fields = _RAW_OBJECT.decode(body)
    shown = _RAW_OBJECTS.decode(fields[turns])
    for turn in shown:
        held = turn.get(parts)
        if held is not None and bytes(held).startswith(b"[") and mark in bytes(held):
            pieces = [_put(raw, data, links) for raw in _RAW_LIST.decode(held)]
            turn[parts] = Raw(msgspec.json.encode(pieces))
    fields[turns] = Raw(msgspec.json.encode(shown))
    return msgspec.json.encode(fields)


def _put(raw: Raw, data: Mapping[str, str], links: Links) -> Raw:
    part = _OBJECT.decode(raw)
    linked = [link for link in links(part, "") if link.url in data]
    for link in linked:
        link.put(data[link.url])
    return Raw(msgspec.json.encode(part)) if linked else raw
