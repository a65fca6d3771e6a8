"""Upstreams of kind ``ollama``: chat and embeddings in Ollama's own API."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from msgspec import structs

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.ollama.embed_messages import PATHS as EMBED_PATHS
from chatgpt_to_api.dialects.ollama.embed_upstream import EmbedRelay, EmbedUpstream
from chatgpt_to_api.dialects.ollama.messages import bare
from chatgpt_to_api.dialects.ollama.model_list import OllamaModels
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream import PATHS as CHAT_PATHS
from chatgpt_to_api.dialects.ollama.upstream import OllamaRelay, OllamaUpstream
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.emulation.prompt import must_call
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.kinds.shared import keyed, relays
from chatgpt_to_api.gateway.upstreams import CAPABILITIES, ConfiguredUpstream, untold_stop
from chatgpt_to_api.transport.environment import ProxyRules

_ABLE: Final = CAPABILITIES - {"n", "audio", "files"}


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    server = OllamaServer(upstream.base_url)
    return structs.replace(
        keyed(name, upstream, proxies, OllamaUpstream(server), _ABLE),
        # As its own list writes them; a name without a tag means the same.
        models=None if upstream.models is None else tuple(map(bare, upstream.models)),
        endpoints=frozenset({CHAT, "embeddings"}),
        relays=relays(
            *(OllamaRelay(server, dialect) for dialect in CHAT_PATHS),
            *(EmbedRelay(server, dialect) for dialect in EMBED_PATHS),
        ),
        lacks=_needs_words if upstream.emulate is None else untold_stop,
        vectors=EmbedUpstream(server),
        lists=OllamaModels(server),
    )


def _needs_words(request: ChatRequest) -> Set[Emulated]:
    """The API has no word for a call that must be made: it is asked for, and seen to, in words."""
    lacking = untold_stop(request)
    return lacking | {"tools"} if request.tools and must_call(request) else lacking
