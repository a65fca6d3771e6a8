"""What llama.cpp's server makes of a chat completions request: measured, it takes all in silence.

It speaks the dialect and answers a request with any parameter, whether it knows it or not. So that
nothing is dropped silently, the gateway names what has no effect there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
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

_CANONICAL: Final = ("reasoning_effort", "user", "prompt_cache_key")
"""Those of them that have a canonical form."""

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_STRINGS: Final = msgspec.json.Decoder(list[str])


def unheard(body: bytes) -> tuple[str, ...]:
    """Name the given parameters that have no effect on the answer.

    Raises InvalidRequest for an answer in sound, which the server would silently give as text.
    """
    fields = _RAW_OBJECT.decode(body)
    modalities = fields.get("modalities")
    if modalities is not None:
        try:
            _check_modalities(_STRINGS.decode(modalities))
        except msgspec.DecodeError:
            pass  # no list of words: it demands nothing
    return tuple(name for name, raw in fields.items() if name in UNHEARD and present(raw))


class LlamaCppUpstream(ChatUpstream):
    """The embedded model's server, asked what was translated: tools, told in words."""

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name the given parameters that have no effect. Raises InvalidRequest as ``unheard``."""
        _check_modalities(request.extras.get("modalities") or ())
        names = [request.named(n) for n in _CANONICAL if getattr(request, n) is not None]
        names += (name for name in request.extras if name in UNHEARD)
        return tuple(dict.fromkeys((*names, *super().ignored(request))))


def _check_modalities(kinds: Sequence[str]) -> None:
    if any(kind != "text" for kind in kinds):
        raise InvalidRequest(
            "The embedded model answers with text only; 'modalities' demands more.",
            param="modalities",
            code="unsupported_parameter",
        )
