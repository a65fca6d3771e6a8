"""What kinds of upstreams have in common: keys, relays, the way through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.contract import RelayUpstream, Upstream
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.gateway.upstreams import (
    CAPABILITIES,
    NEEDS,
    Capability,
    ConfiguredUpstream,
)
from chatgpt_to_api.transport.environment import ProxyRules
from chatgpt_to_api.wire.http import split_url
from chatgpt_to_api.wire.proxy import Proxy, parse_proxy

FREEFORM: Final[frozenset[Emulated]] = frozenset({"freeform"})
"""Made of functions at no cost in meaning, and so wherever an upstream has none."""

_NEVER_ABSENT: Final[frozenset[Emulated]] = frozenset({"freeform", "n", "stop"})
"""What is seen to for every vendor's server whose dialect has it not."""


def keyed(
    name: str,
    upstream: UpstreamSettings,
    proxies: ProxyRules,
    codec: Upstream,
    able: frozenset[Capability] = CAPABILITIES,
) -> ConfiguredUpstream:
    """Return a vendor's API with keys, as far as all of them are alike.

    ``able``: what its dialect has; the settings may say that the server does less.
    """
    said = able if upstream.capabilities is None else frozenset(upstream.capabilities)
    optional = NEEDS | FREEFORM
    native = (able & (able - optional | said)) - set(upstream.emulate or ())
    return ConfiguredUpstream(
        name=name,
        kind=upstream.kind,
        codec=codec,
        models=upstream.models,
        proxy=outbound_proxy(upstream, proxies),
        fetch_images=upstream.fetch_images,
        native=native,
        emulates=frozenset(upstream.emulate or ()) | (_NEVER_ABSENT - native),
        context_length=upstream.context_length,
        on_client_gone=upstream.on_client_gone,
        seals=True,
    )


def relays(*codecs: RelayUpstream) -> Mapping[str, RelayUpstream]:
    """Return codecs of the relay lane, each by its dialect."""
    return {codec.dialect: codec for codec in codecs}


def outbound_proxy(upstream: UpstreamSettings, proxies: ProxyRules) -> Proxy | None:
    """Return the proxy that leads to an upstream with an address, None for a direct way."""
    if upstream.proxy is not None:
        return parse_proxy(upstream.proxy.reveal())
    origin, _ = split_url(upstream.base_url)
    return proxies.for_origin(origin)
