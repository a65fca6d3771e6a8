"""The body of a request to one of OpenAI's endpoints, and what is changed in it."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import decode_body, present

_THINKS: Final = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-(?:[5-9]|\d\d))(?!.*chat)")
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_TRUE: Final = Raw(b"true")

SHARED_EXTRAS: Final = frozenset(
    {
        "metadata",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "top_logprobs",
    }
)
"""Parameters without a canonical form that mean the same at several of the endpoints."""


def thinks(model: str) -> bool:
    """Whether the vendor's ``model`` thinks first; such models refuse some usual parameters."""
    return _THINKS.match(model) is not None


def rewritten(body: bytes, model: str | None, *, ask_usage: bool) -> bytes:
    """Return a client's JSON with another ``model`` and a stream that reports usage.

    None leaves the model. A field that must change is replaced in its place; every other value
    keeps its bytes.
    """
    fields = _RAW_OBJECT.decode(body)
    if model is not None:
        fields["model"] = Raw(msgspec.json.encode(model))
    if ask_usage:
        given = fields.get("stream_options")
        options = {} if given is None or not present(given) else _RAW_OBJECT.decode(given)
        options["include_usage"] = _TRUE
        fields["stream_options"] = Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


def renamed(body: bytes, model: str) -> bytes:
    """Return JSON that nobody has decoded yet with another ``model``. Raises InvalidRequest."""
    fields = decode_body(body, _RAW_OBJECT, '{"model": "…"}')
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)
