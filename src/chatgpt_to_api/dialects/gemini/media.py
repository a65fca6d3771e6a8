"""Pictures, sound and documents, both ways between the dialect's parts and the canonical ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from chatgpt_to_api.chat.request import Audio, File, Image, Vendor, understood
from chatgpt_to_api.dialects.gemini.messages import DIALECT, Blob, FileData

_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^,]*)?,", re.IGNORECASE)
_SOUNDS: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}
_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "xml": "text/xml",
    "mp4": "video/mp4",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
}
_UNKNOWN: Final = "application/pdf"
"""What a document without any hint is taken for: nearly all are."""


def part_of(media: Image | Audio | File) -> dict[str, Any]:
    """Return the part that shows ``media``; a File must have data or a URL."""
    vendor = dict(understood(media.vendor, DIALECT))
    mime = vendor.pop("mimeType", None)
    match media:
        case Audio(data, form):
            part = _blob(mime or _SOUNDS.get(form, f"audio/{form}"), data)
        case Image(url) if url[:5].lower() == "data:":
            part = _inline(url, mime or "image/png")
        case Image(url):
            part = _linked(url, mime or _guess(url))
        case File(data=str(data), filename=name):
            usual = mime or _guess(name or "") or _UNKNOWN
            part = _inline(data, usual) if data[:5].lower() == "data:" else _blob(usual, data)
        case File():
            url = media.url or ""
            part = _linked(url, mime or _guess(media.filename or url))
    return part | vendor


def from_blob(blob: Blob, rest: Mapping[str, Any]) -> Image | Audio | File:
    """Return what a part with its data holds; ``rest`` are the part's other fields."""
    mime = blob.mime_type.lower()
    if mime in _FORMATS or mime.startswith("audio/"):
        form = _FORMATS.get(mime, mime.removeprefix("audio/"))
        same = _SOUNDS.get(form, mime) == mime
        return Audio(blob.data, form, _vendor(rest, None if same else mime))
    url = f"data:{blob.mime_type};base64,{blob.data}"
    if mime.startswith("image/"):
        return Image(url, vendor=_vendor(rest, None))
    return File(data=url, vendor=_vendor(rest, None))


def from_link(link: FileData, rest: Mapping[str, Any]) -> Image | File:
    """Return what a part with an address holds."""
    mime = link.mime_type
    hint = None if mime == _guess(link.file_uri) else mime
    if type_of(link.file_uri, mime).startswith("image/"):
        return Image(link.file_uri, vendor=_vendor(rest, hint))
    return File(url=link.file_uri, vendor=_vendor(rest, hint))


def type_of(url: str, mime: str | None) -> str:
    """Return the type of what stands behind a link: the one that is told, else guessed, or ""."""
    return mime or _guess(url) or ""


def _vendor(rest: Mapping[str, Any], mime: str | None) -> Vendor | None:
    fields = dict(rest) if mime is None else {**rest, "mimeType": mime}
    return Vendor(DIALECT, fields) if fields else None


def _inline(url: str, usual: str) -> dict[str, Any]:
    head = _DATA_URL.match(url)
    return _blob(head[1] or usual if head else usual, url[head.end() :] if head else url)


def _blob(mime: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": data}}


def _linked(url: str, mime: str | None) -> dict[str, Any]:
    fields = {"fileUri": url} if mime is None else {"mimeType": mime, "fileUri": url}
    return {"fileData": fields}


def _guess(name: str) -> str | None:
    """Guess a type from the end of a name or URL."""
    path = name.partition("?")[0].partition("#")[0]
    return _TYPES.get(path.rpartition(".")[2].lower())
