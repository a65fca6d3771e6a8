"""What llama.cpp's server makes of a chat completions request: measured, it takes all in silence.

It speaks the dialect and answers a request with any parameter, whether it knows it or not. So that
nothing is dropped silently, the gateway names what has no effect there.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.errors import InvalidRequest

UNHEARD: Final = frozenset(
    {
        "audio",
        "function_call",
        "functions",
        "metadata",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Parameters without effect. Others are heard, or refused by the server itself."""

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_STRINGS: Final = msgspec.json.Decoder(list[str])


def unheard(body: bytes) -> tuple[str, ...]:
    """Name the given parameters that have no effect on the answer.

    Raises InvalidRequest for an answer in sound, which the server would silently give as text.
    """
    fields = _RAW_OBJECT.decode(body)
    modalities = fields.get("modalities")
    if modalities is not None and _wants_more_than_text(modalities):
        raise InvalidRequest(
            "The embedded model answers with text only; 'modalities' demands more.",
            param="modalities",
            code="unsupported_parameter",
        )
    return tuple(name for name, raw in fields.items() if name in UNHEARD and present(raw))


def _wants_more_than_text(modalities: Raw) -> bool:
    try:
        return any(kind != "text" for kind in _STRINGS.decode(modalities))
    except msgspec.DecodeError:
        return False  # no list of words: it demands nothing
