"""What stands in the dialect's paths: the model, the method, and how a stream is to be written."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qs

import msgspec

from chatgpt_to_api.wire.http import RequestHead

GENERATE: Final = "generateContent"
STREAM: Final = "streamGenerateContent"
EMBED: Final = "embedContent"
EMBED_BATCH: Final = "batchEmbedContents"
PREFIXES: Final = ("/v1beta/models/", "/v1/models/")
"""What stands before the model's name."""

Framing: TypeAlias = Literal["sse", "array"]
"""How a stream is written: as events, or as the items of one JSON array."""


class Place(msgspec.Struct, frozen=True):
    """What a path and query say: model, method, and how a stream is to be written."""

    model: str
    method: str
    framing: Framing


def place_of(head: RequestHead) -> Place:
    """Read the path ``…/models/{model}:{method}``; the model's name may hold slashes and colons."""
    name, _, method = head.path.rstrip("/").rpartition(":")
    for prefix in PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    alt = parse_qs(head.query.decode("latin-1")).get("alt", ["json"])[-1]
    return Place(name, method, "sse" if alt == "sse" else "array")
