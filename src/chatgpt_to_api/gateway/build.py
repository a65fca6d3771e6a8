"""From settings to upstreams and routes: the one place that knows every kind of upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import structs

from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.endpoints import CHAT, Endpoints
from chatgpt_to_api.gateway.kinds.shared import outbound_proxy
from chatgpt_to_api.gateway.local_endpoint import LOCAL_ENDPOINTS, LocalEndpoint
from chatgpt_to_api.gateway.renewing import Renewer, RenewingUpstream
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import (
    ConfiguredUpstream,
)
from chatgpt_to_api.pool.contract import CredentialSpec, PoolRules
from chatgpt_to_api.pool.windows import parse_rate_limits
from chatgpt_to_api.transport.environment import ProxyRules, is_loopback
from chatgpt_to_api.wire.http import split_url
from chatgpt_to_api.wire.refresh import TokenServer, seed_of
from chatgpt_to_api.wire.secret import Access, Secret

_FIRST_EDITIONS: Final[Mapping[str, int]] = MappingProxyType({})


def build_routes(
    settings: Settings,
    in_force: Mapping[str, UpstreamSettings],
    local: LocalEndpoint | None,
    proxies: ProxyRules,
    editions: Mapping[str, int] = _FIRST_EDITIONS,
    renewer: Renewer | None = None,
) -> Routes:
    """Return the routes over the upstreams ``in_force``.

    An embedded model that cannot run here (``local`` is None) is left out. ``editions`` tells each
    upstream from those that had its name before. ``renewer`` sees to credentials that expire.
    """
    upstreams = [
        structs.replace(
            _upstream(name, upstream, local, proxies),
            edition=editions.get(name, 0),
            renewal=_renewal(name, upstream, proxies, renewer),
        )
        for name, upstream in in_force.items()
        if upstream.kind != "local" or local is not None
    ]
    embedded = any(upstream.kind == "local" for upstream in in_force.values())
    endpoints = Endpoints(
        upstreams,
        lambda able: _routes_over(able, settings),
        at_rest=frozenset() if embedded else LOCAL_ENDPOINTS,
    )
    able = [upstream for upstream in upstreams if upstream.offers(CHAT)]
    return _routes_over(able, settings, endpoints)


def _routes_over(
    upstreams: Sequence[ConfiguredUpstream],
    settings: Settings,
    endpoints: Endpoints | None = None,
) -> Routes:
    """Return the routes over those ``upstreams`` that offer an endpoint.

    Those of chat have all other ``endpoints`` with them, and an error where a configured route
    leads to nobody. Of other endpoints such a route says nothing: the next rule counts.
    """
    conversation = next((u for u in upstreams if u.kind == "conversation"), None)
    embedded = next((u for u in upstreams if u.kind == "local"), None)
    takes_all = any(u.takes_every_name for u in upstreams)
    return Routes(
        upstreams,
        routes=settings.routes,
        skip_idle=endpoints is None,
        default=conversation or (None if takes_all else embedded),
        also_known=settings.well_known_models,
        aliases=Aliases(settings.server.model_aliases),
        endpoints=endpoints,
    )


def pool_rules(upstream: UpstreamSettings, settings: Settings) -> PoolRules:
    """Return how an upstream's credentials may be used."""
    conversation = upstream.kind == "conversation"
    return PoolRules(
        max_concurrency=upstream.max_concurrency or (1 if conversation else None),
        rate_limits=parse_rate_limits(", ".join(upstream.rate_limits)),
        credential_rate_limits=parse_rate_limits(", ".join(upstream.credential_rate_limits)),
        needs_credentials=conversation,
        max_queue=settings.limits.max_queue,
        rotate_proxies=_is_far(upstream) and upstream.proxy is None,
    )


def _is_far(upstream: UpstreamSettings) -> bool:
    """Whether an upstream is reached through the network, and so perhaps through a proxy."""
    return bool(upstream.base_url) and not is_loopback(split_url(upstream.base_url)[0].host)


def configured_credentials(name: str, upstream: UpstreamSettings) -> list[CredentialSpec]:
    """Return the API keys that the configuration gives an upstream, each once."""
    return [_spec(name, key) for key in dict.fromkeys(upstream.api_keys)]


def _spec(name: str, key: Secret) -> CredentialSpec:
    seed = seed_of(key)
    access = Access(token=key) if seed is None else Access()
    label = f"{name} {(seed or key).masked}"
    return CredentialSpec(key.fingerprint[:16], access, label=label, renews=seed)


def _upstream(
    name: str,
    upstream: UpstreamSettings,
    local: LocalEndpoint | None,
    proxies: ProxyRules,
) -> ConfiguredUpstream:
    # Imported here: a start, and a gateway's memory, pay for the kinds that are configured.
    match upstream.kind:
        case "conversation":
            from chatgpt_to_api.gateway.kinds import conversation

            return conversation.configured(name, upstream, proxies)
        case "openai":
            from chatgpt_to_api.gateway.kinds import openai

            return openai.configured(name, upstream, proxies)
        case "openai-responses":
            from chatgpt_to_api.gateway.kinds import openai_responses

            return openai_responses.configured(name, upstream, proxies)
        case "ollama":
            from chatgpt_to_api.gateway.kinds import ollama

            return ollama.configured(name, upstream, proxies)
        case "gemini":
            from chatgpt_to_api.gateway.kinds import gemini

            return gemini.configured(name, upstream, proxies)
        case "anthropic":
            from chatgpt_to_api.gateway.kinds import anthropic

            return anthropic.configured(name, upstream, proxies)
        case "local":
            from chatgpt_to_api.gateway.kinds import local as embedded

            assert local is not None
            return embedded.configured(name, upstream, local)


def _renewal(
    name: str, upstream: UpstreamSettings, proxies: ProxyRules, renewer: Renewer | None
) -> RenewingUpstream | None:
    """Who renews its credentials; None where they are keys."""
    if renewer is None or not upstream.token_url:
        return None
    origin, _ = split_url(upstream.token_url)
    server = TokenServer(
        upstream.token_url,
        upstream.client_id,
        upstream.client_secret,
        proxies.for_origin(origin) if upstream.proxy is None else outbound_proxy(upstream, proxies),
    )
    return renewer.of(name, server)
