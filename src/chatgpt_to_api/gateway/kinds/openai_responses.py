"""Upstreams of kind ``openai-responses``: servers of the Responses API."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream, ServerTraits
from chatgpt_to_api.gateway.kinds.shared import keyed, relays
from chatgpt_to_api.gateway.upstreams import WITH_FREEFORM, ConfiguredUpstream
from chatgpt_to_api.transport.environment import ProxyRules

_ABLE: Final = WITH_FREEFORM - {"n", "stop"}


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    speaker = ResponsesUpstream(
        upstream.base_url,
        ServerTraits(
            always_streams=upstream.always_streams,
            account_header=upstream.account_header,
            refuses=frozenset(upstream.refused_parameters),
            headers=tuple(upstream.headers.items()),
        ),
    )
    return structs.replace(
        keyed(name, upstream, proxies, speaker, _ABLE),
        relays=relays(speaker),
        unsealing={speaker.dialect: speaker},
        lists=speaker,
        always_streams=upstream.always_streams,
        unheard=speaker.unheard if upstream.refused_parameters else None,
        secrets=tuple(upstream.headers.values()),
    )
