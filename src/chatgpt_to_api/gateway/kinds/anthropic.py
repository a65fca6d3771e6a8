"""Upstreams of kind ``anthropic``: servers of the messages API."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.anthropic.count_upstream import CountUpstream
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.gateway.kinds.shared import keyed, relays
from chatgpt_to_api.gateway.upstreams import CAPABILITIES, ConfiguredUpstream
from chatgpt_to_api.transport.environment import ProxyRules

_ABLE: Final = CAPABILITIES - {"n"}


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    messages = MessagesUpstream(upstream.base_url, longest=upstream.max_tokens)
    return structs.replace(
        keyed(name, upstream, proxies, messages, _ABLE),
        relays=relays(messages, CountUpstream(upstream.base_url)),
        lacks=messages.lacks,
        lists=messages,
    )
