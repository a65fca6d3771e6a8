"""Which upstreams are in force, and how they come into the pool and the routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import structs

from chatgpt_to_api.assembly.embedded import EmbeddedUpstream
from chatgpt_to_api.config.settings import Settings, UpstreamSettings
from chatgpt_to_api.gateway.build import build_routes, configured_credentials, pool_rules
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.transport.environment import ProxyRules
from chatgpt_to_api.wire.secret import Secret

OFFICIAL: Final = "official"
"""Name of the upstream that OFFICIAL_API_KEY or ``PATCH /admin/openai`` makes."""

OFFICIAL_URL: Final = "https://api.openai.com/v1"


class InForce:
    """The upstreams a gateway can route to at present.

    They depend on more than the settings (are there tokens? an official key?), so :meth:`apply`
    can be called again at any time; running requests keep what they began with. ``changed`` is
    told after each.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        gateway: Gateway,
        embedded: EmbeddedUpstream,
        changed: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.official: Secret | None = None
        """The official API key that holds."""
        self.upstreams: Mapping[str, UpstreamSettings] = {}
        self._pool = pool
        self._gateway = gateway
        self._embedded = embedded
        self._proxies = ProxyRules.from_environment(settings.proxy.environment())
        self._changed = changed

    def wanted(self) -> dict[str, UpstreamSettings]:
        """Return the upstreams that settings, tokens and keys now ask for."""
        settings = self.settings
        if self.official is not None:
            official = UpstreamSettings(
                "openai",
                base_url=OFFICIAL_URL,
                api_keys=(self.official,),
                endpoints=("*",),
            )
            settings = structs.replace(
                settings, upstreams={**settings.upstreams, OFFICIAL: official}
            )
        tokens = self._pool.view(settings.token_upstream).total > 0
        return settings.upstreams_with(tokens=tokens)

    def apply(self) -> None:
        """Put the wanted upstreams in force."""
        wanted = self.wanted()
        for name, upstream in wanted.items():
            if upstream.kind != "conversation":
                self._pool.configure(name, pool_rules(upstream, self.settings))
            if upstream.kind == "openai":
                self._pool.replace(name, configured_credentials(name, upstream))
            if upstream.kind == "local" and self._embedded.endpoint is not None:
                self._pool.replace(name, self._embedded.credentials)
        for name in self.upstreams.keys() - wanted.keys():
            if self.upstreams[name].kind != "conversation":  # whose tokens may come back
                self._pool.forget(name)
        self.upstreams = wanted
        self._gateway.routes = build_routes(
            self.settings, wanted, self._embedded.endpoint, self._proxies
        )
        self._changed()

    async def use_official_key(self, key: Secret | None) -> None:
        """Put another official API key into force, None for none."""
        self.official = key
        self.apply()
