"""Upstreams of kind ``gemini``: servers of Google's generateContent."""

from __future__ import annotations

from msgspec import structs

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.gemini.count_upstream import CountUpstream
from chatgpt_to_api.dialects.gemini.embed_messages import METHODS as EMBED_METHODS
from chatgpt_to_api.dialects.gemini.embed_upstream import EmbedRelay, EmbedUpstream
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.kinds.shared import keyed, relays
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream
from chatgpt_to_api.transport.environment import ProxyRules


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    generate = GeminiUpstream(upstream.base_url)
    return structs.replace(
        keyed(name, upstream, proxies, generate),
        endpoints=frozenset({CHAT, "embeddings"}),
        relays=relays(
            generate,
            CountUpstream(upstream.base_url),
            *(EmbedRelay(upstream.base_url, dialect) for dialect in EMBED_METHODS),
        ),
        vectors=EmbedUpstream(upstream.base_url),
        lists=generate,
    )
