"""Upstreams of kind ``openai``: servers of OpenAI's endpoints, or of some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.contract import RelayUpstream
from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.dialects.openai_embeddings.upstream import EmbeddingsUpstream
from chatgpt_to_api.gateway.endpoints import EVERY, RESPONSES
from chatgpt_to_api.gateway.kinds.shared import keyed, relays
from chatgpt_to_api.gateway.upstreams import (
    WITH_FREEFORM,
    ConfiguredUpstream,
    unsure_of_freeform,
    untold_stop,
)
from chatgpt_to_api.transport.environment import ProxyRules

if TYPE_CHECKING:
    from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    vectors = EmbeddingsUpstream(upstream.base_url)
    responses = _responses(upstream)
    codec = ChatUpstream(
        upstream.base_url,
        include_usage=upstream.include_usage,
        late_system=upstream.late_system,
    )
    return structs.replace(
        keyed(name, upstream, proxies, codec, WITH_FREEFORM),
        endpoints=frozenset(upstream.endpoints),
        relays=relays(codec, vectors, *_completions(upstream), *responses),
        unsealing={relay.dialect: relay for relay in responses},
        carrier=AnyUpstream(upstream.base_url),
        include_usage=upstream.include_usage,
        lists=codec if {"models", EVERY} & set(upstream.endpoints) else None,
        vectors=vectors,
        lacks=unsure_of_freeform if upstream.capabilities is None else untold_stop,
    )


def _completions(upstream: UpstreamSettings) -> list[RelayUpstream]:
    if {"completions", EVERY}.isdisjoint(upstream.endpoints):
        return []
    from chatgpt_to_api.dialects.openai_completions.upstream import CompletionUpstream

    return [CompletionUpstream(upstream.base_url)]


def _responses(upstream: UpstreamSettings) -> list[ResponsesUpstream]:
    if {RESPONSES, EVERY}.isdisjoint(upstream.endpoints):
        return []
    from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream

    return [ResponsesUpstream(upstream.base_url)]
