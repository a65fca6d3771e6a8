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
_COUNT: Final = msgspec.json.Decoder(int | None)
_ONE: Final = Raw(b"1")


class LlamaCppUpstream(ChatUpstream):
    """The embedded model's server, which writes ``parallel`` answers at once, and never more."""

    def __init__(self, base_url: str, *, include_usage: bool = True, parallel: int = 4) -> None:
        super().__init__(base_url, include_usage=include_usage)
        self._parallel = parallel

    def unheard(self, body: bytes) -> tuple[str, ...]:
        """Name the given parameters of a client's own JSON that have no effect on the answer.

        Raises InvalidRequest for an answer in sound, which the server would silently give as text,
        and for more answers than it writes.
        """
        fields = _RAW_OBJECT.decode(body)
        modalities = fields.get("modalities")
        try:
            if modalities is not None:
                _check_modalities(_STRINGS.decode(modalities))
        except msgspec.DecodeError:
            pass  # no list of words: it demands nothing
        try:
            self._check_count(_COUNT.decode(fields.get("n", _ONE)) or 1)
        except msgspec.DecodeError:
            pass  # which the server tells
        return tuple(name for name, raw in fields.items() if name in UNHEARD and present(raw))

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name the given parameters that have no effect. Raises InvalidRequest as ``unheard``."""
        _check_modalities(request.extras.get("modalities") or ())
        self._check_count(request.n)
        names = [request.named(n) for n in _CANONICAL if getattr(request, n) is not None]
        names += (name for name in request.extras if name in UNHEARD)
        return tuple(dict.fromkeys((*names, *super().ignored(request))))

    def _check_count(self, count: int) -> None:
        if count > self._parallel:
            raise InvalidRequest(
                f"The embedded model gives at most {self._parallel} answers at once, and 'n' asks "
                f"for {count}; CHATGPT_TO_API_MODEL_PARALLEL is that limit.",
                param="n",
                code="unsupported_parameter",
            )


def _check_modalities(kinds: Sequence[str]) -> None:
    if any(kind != "text" for kind in kinds):
        raise InvalidRequest(
            "The embedded model answers with text only; 'modalities' demands more.",
            param="modalities",
            code="unsupported_parameter",
        )
