"""Pictures that a request links to: where this dialect has their addresses, and their data.

An address under ``KEPT`` is a file that was uploaded to the vendor: its own servers read it, and
nobody without the account's key can.
Source: https://ai.google.dev/api/files
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.gemini.media import type_of
from chatgpt_to_api.dialects.gemini.messages import Content
from chatgpt_to_api.dialects.linked_pictures import (
    Link,
    find_links,
    is_link,
    put_pictures,
    type_and_base64,
)
from chatgpt_to_api.dialects.problems import decoded

KEPT: Final = "https://generativelanguage.googleapis.com/"

_CONTENT: Final = msgspec.json.Decoder(Content)
_LINK: Final = "fileData"
_MARK: Final = b'"fileData"'


def linked_pictures(contents: Sequence[Raw]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in.

    Raises InvalidRequest for what is mistyped around one.
    """
    return find_links(_marked(contents), _links)


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    return put_pictures(body, data, turns="contents", parts="parts", links=_links, mark=_MARK)


def _marked(contents: Sequence[Raw]) -> Iterator[tuple[object, str]]:
    """Give the parts of those turns that may link to something."""
    for number, content in enumerate(contents):
        if _MARK in bytes(content):
            turn = f"contents[{number}]"
            yield decoded(content, _CONTENT, turn).parts, f"{turn}.parts"


def _links(part: dict[str, Any], param: str) -> Iterator[Link]:
    """Give the link of a part, or those of a function's response."""
    link, response = part.get(_LINK), part.get("functionResponse")
    if isinstance(link, dict):
        url, mime = link.get("fileUri"), link.get("mimeType")
        if is_link(url) and _is_picture(url, mime):
            yield Link(url, f"{param}.{_LINK}.fileUri", partial(_put, part))
    inner = response.get("parts") if isinstance(response, dict) else None
    for place, piece in enumerate(inner if isinstance(inner, list) else ()):
        if isinstance(piece, dict):
            yield from _links(piece, f"{param}.functionResponse.parts[{place}]")


def _is_picture(url: str, mime: object) -> bool:
    if url.startswith(KEPT) or not isinstance(mime, str | None):
        return False
    return type_of(url, mime).startswith("image/")


def _put(part: dict[str, Any], data_url: str) -> None:
    mime, data = type_and_base64(data_url)
    del part[_LINK]
    part["inlineData"] = {"mimeType": mime, "data": data}
