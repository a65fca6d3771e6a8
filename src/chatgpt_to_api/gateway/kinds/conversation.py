"""Upstreams of kind ``conversation``: backends that speak the ChatGPT-web protocol."""

from __future__ import annotations

from chatgpt_to_api import __version__
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.emulation.features import EMULATED
from chatgpt_to_api.gateway.kinds.shared import FREEFORM, outbound_proxy
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream, ContinuingRules
from chatgpt_to_api.transport.environment import ProxyRules


def configured(name: str, upstream: UpstreamSettings, proxies: ProxyRules) -> ConfiguredUpstream:
    """Return such an upstream as its settings want it."""
    talk = ConversationUpstream(
        upstream.base_url,
        ConversationOptions(
            history=upstream.history,
            puid=upstream.puid,
            system_mapping=upstream.system_mapping,
            model_map=upstream.model_map,
            headers=upstream.headers,
            user_agent=f"chatgpt-to-api/{__version__}",
        ),
    )
    return ConfiguredUpstream(
        name=name,
        kind="conversation",
        codec=talk,
        models=upstream.models,
        proxy=outbound_proxy(upstream, proxies),
        native=frozenset(),
        emulates=(EMULATED if upstream.emulate is None else FREEFORM | set(upstream.emulate)),
        counts_tokens=True,
        context_length=upstream.context_length,
        on_client_gone=upstream.on_client_gone,
        continuing=_continuing(upstream, talk),
        secrets=(*upstream.headers.values(), *filter(None, [upstream.puid])),
    )


def _continuing(upstream: UpstreamSettings, codec: ConversationUpstream) -> ContinuingRules | None:
    """What becomes of the backend's conversations; None where there is nothing to remember."""
    if not upstream.history or not (upstream.continues or upstream.hide_conversations != "never"):
        return None
    return ContinuingRules(
        keep=upstream.continue_for,
        go_on=upstream.continues,
        hide=upstream.hide_conversations,
        hiding=codec.hiding,
    )
