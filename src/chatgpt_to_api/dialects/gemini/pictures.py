"""Pictures that a request links to: finding their addresses, and putting their data in the place.

An address under ``KEPT`` is a file that was uploaded to the vendor: its own servers read it, and
nobody without the account's key can.
Source: https://ai.google.dev/api/files
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.gemini.media import type_of
from chatgpt_to_api.dialects.gemini.messages import Content
from chatgpt_to_api.dialects.problems import decoded

KEPT: Final = "https://generativelanguage.googleapis.com/"

_CONTENT: Final = msgspec.json.Decoder(Content)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_RAW_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
_LINK: Final = "fileData"
_MARK: Final = b'"fileData"'


def linked_pictures(contents: Sequence[Raw]) -> dict[str, str]:
    """Return each http(s) URL of a picture once, with the path of the field it stands in.

    Raises InvalidRequest for what is mistyped around one.
    """
    found: dict[str, str] = {}
    for number, content in enumerate(contents):
        if _MARK not in bytes(content):
            continue
        turn = f"contents[{number}]"
        for place, raw in enumerate(decoded(content, _CONTENT, turn).parts or ()):
            param = f"{turn}.parts[{place}]"
            for holder, where in _linking(decoded(raw, _OBJECT, param), param):
                found.setdefault(holder[_LINK]["fileUri"], f"{where}.{_LINK}.fileUri")
    return found


def with_pictures(body: bytes, data: Mapping[str, str]) -> bytes:
    """Return a request with the URLs in ``data`` replaced; every other value keeps its bytes."""
    fields = _RAW_OBJECT.decode(body)
    contents = _RAW_OBJECTS.decode(fields["contents"])
    for content in contents:
        parts = content.get("parts")
        if parts is not None and _MARK in bytes(parts):
            shown = [_replaced(raw, data) for raw in _RAW_LIST.decode(parts)]
            content["parts"] = Raw(msgspec.json.encode(shown))
    fields["contents"] = Raw(msgspec.json.encode(contents))
    return msgspec.json.encode(fields)


def _replaced(raw: Raw, data: Mapping[str, str]) -> Raw:
    if _MARK not in bytes(raw):
        return raw
    part = _OBJECT.decode(raw)
    changed = False
    for holder, _ in _linking(part, ""):
        url = data.get(holder[_LINK]["fileUri"])
        if url is not None:
            head, _, encoded = url.partition(";base64,")
            del holder[_LINK]
            holder["inlineData"] = {"mimeType": head.removeprefix("data:"), "data": encoded}
            changed = True
    return Raw(msgspec.json.encode(part)) if changed else raw


def _linking(part: dict[str, Any], param: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give a part that links to a picture, or those of a function's response that do."""
    link, response = part.get(_LINK), part.get("functionResponse")
    if isinstance(link, dict) and _is_picture(link.get("fileUri"), link.get("mimeType")):
        yield part, param
    inner = response.get("parts") if isinstance(response, dict) else None
    for place, piece in enumerate(inner if isinstance(inner, list) else ()):
        if isinstance(piece, dict):
            yield from _linking(piece, f"{param}.functionResponse.parts[{place}]")


def _is_picture(url: Any, mime: Any) -> bool:
    if not isinstance(url, str) or not isinstance(mime, str | None):
        return False
    fetched = url.startswith(("http://", "https://")) and not url.startswith(KEPT)
    return fetched and type_of(url, mime).startswith("image/")
