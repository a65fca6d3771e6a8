"""Which upstreams are in force, and how they come into the pool and the routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import structs

from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.assembly.embedded import EmbeddedUpstream
from chatgpt_to_api.config.managed import OFFICIAL
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import KEYED, UpstreamSettings
from chatgpt_to_api.gateway.build import build_routes, configured_credentials, pool_rules
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.renewing import Renewer
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.pool.contract import PoolRules
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.transport.environment import ProxyRules
from chatgpt_to_api.wire.secret import Secret

OFFICIAL_URL: Final = "https://api.openai.com/v1"

Sets: TypeAlias = Mapping[str, TokenAdmin]
"""The stored credentials of upstreams, by name."""


class Edition(msgspec.Struct, frozen=True):
    """An upstream of one name at one address; at another address it is another upstream."""

    kind: str
    base_url: str
    number: int


class Plan(msgspec.Struct, frozen=True):
    """What is to be in force, worked out and checked; putting it there cannot fail.

    ``configured``: the settings without what is managed at run time; ``settings``: with it.
    """

    configured: Settings
    settings: Settings
    upstreams: Mapping[str, UpstreamSettings]
    rules: Mapping[str, PoolRules]
    editions: Mapping[str, Edition]
    routes: Routes
    sets: Sets


class InForce:
    """The upstreams a gateway can route to at present.

    They depend on more than the settings (are there tokens? an official key?), so :meth:`apply`
    can be called again at any time; running requests keep what they began with. ``changed`` is
    told after each. ``tokens`` and ``keys`` hold the stored credentials of conversation upstreams,
    that of files and variables first, and of the others.
    """

    def __init__(
        self,
        configured: Settings,
        pool: Pool,
        gateway: Gateway,
        embedded: EmbeddedUpstream,
        changed: Callable[[], None],
        renewer: Renewer,
    ) -> None:
        self.configured = configured
        self.settings = configured
        self.official: Secret | None = None
        """The official API key that holds."""
        self.upstreams: Mapping[str, UpstreamSettings] = {}
        self.tokens: dict[str, TokenAdmin] = {}
        self.keys: dict[str, TokenAdmin] = {}
        self._editions: dict[str, Edition] = {}
        self._rules: Mapping[str, PoolRules] = {}
        self._count = 0
        self._pool = pool
        self._gateway = gateway
        self._embedded = embedded
        self._proxies = ProxyRules.from_environment(configured.proxy.environment())
        self._changed = changed
        self._renewer = renewer

    def wanted(self, configured: Settings, settings: Settings) -> dict[str, UpstreamSettings]:
        """Return the upstreams that settings, tokens and keys ask for."""
        found = dict(configured.upstreams)
        if self.official is not None:
            found[OFFICIAL] = UpstreamSettings(
                "openai", base_url=OFFICIAL_URL, api_keys=(self.official,), endpoints=("*",)
            )
        home = configured.token_upstream
        if self._rules.get(home) is not None and self._pool.view(home).total:
            found[home] = configured.conversation_upstreams[home]
        found |= settings.upstreams
        return structs.replace(settings, upstreams=found).upstreams_with(tokens=False)

    def plan(self, configured: Settings, settings: Settings, sets: Sets) -> Plan:
        """Work out what these settings put in force; nothing changes by it.

        ``sets``: the stored credentials of every upstream that can have some.
        """
        wanted = self.wanted(configured, settings)
        # Tokens may come to the upstream that is their home, though without any it is not in force.
        known = {**configured.conversation_upstreams, **wanted}
        editions = {name: self._edition(name, upstream) for name, upstream in known.items()}
        return Plan(
            configured,
            settings,
            wanted,
            {name: pool_rules(upstream, settings) for name, upstream in known.items()},
            editions,
            build_routes(
                settings,
                wanted,
                self._embedded.endpoint,
                self._proxies,
                {name: edition.number for name, edition in editions.items()},
                self._renewer,
            ),
            sets,
        )

    def put(self, plan: Plan) -> None:
        """Put a plan in force, all of it between two events of the loop."""
        deadlines = [route.request_deadline or 0.0 for route in self.settings.routes]
        linger = max(self.settings.limits.request_deadline, *deadlines, 0.0)
        for name in self._rules.keys() - plan.rules.keys():
            self._pool.forget(name, linger=linger)
            self._editions.pop(name, None)
        for name, rules in plan.rules.items():
            number = plan.editions[name].number
            self._pool.configure(name, rules, edition=number, linger=linger)
            fresh = self._editions.get(name) != plan.editions[name]
            self._lend(name, plan, fresh=fresh)
            self._count = max(self._count, number)
        self._editions = dict(plan.editions)
        self._rules = plan.rules
        self._sort(plan)
        self.configured, self.settings, self.upstreams = (
            plan.configured,
            plan.settings,
            plan.upstreams,
        )
        self._renewer.forget_unless(self._pool.has)
        self._gateway.routes = plan.routes
        self._gateway.limits = plan.settings.limits
        self._changed()

    def apply(self) -> None:
        """Put in force what the settings ask for now that tokens or keys have changed."""
        self.put(self.plan(self.configured, self.settings, {**self.tokens, **self.keys}))

    def unasked_address(self, name: str) -> str:
        """Say where an upstream's tokens go, where nobody gave it an address; else ""."""
        if name in self.settings.upstreams:
            return ""
        address = self.configured.conversation_default.base_url
        rests = self.settings.embedded_model.use == "auto"
        embedded = " The embedded model rests while there are tokens." if rests else ""
        return (
            f"No conversation backend is configured, so these tokens are used at {address}, and "
            "every model's name that nothing else claims leads there now; API_REVERSE_PROXY names "
            f"a backend of your own.{embedded} DELETE /admin/tokens, or chatgpt-to-api tokens "
            "remove --all, takes them away again."
        )

    async def use_official_key(self, key: Secret | None) -> None:
        """Put another official API key into force, None for none."""
        self.official = key
        self.apply()

    def _edition(self, name: str, upstream: UpstreamSettings) -> Edition:
        standing = self._editions.get(name)
        if standing and (standing.kind, standing.base_url) == (upstream.kind, upstream.base_url):
            return standing
        return Edition(upstream.kind, upstream.base_url, self._count + 1)

    def _lend(self, name: str, plan: Plan, *, fresh: bool) -> None:
        """Give the pool an upstream's credentials, as far as it does not have them."""
        upstream, stored = plan.upstreams.get(name), plan.sets.get(name)
        if upstream is not None and upstream.kind == "local":
            if self._embedded.endpoint is not None:
                self._pool.replace(name, self._embedded.credentials)
        elif upstream is not None and upstream.kind in KEYED:
            configured = configured_credentials(name, upstream)
            if stored is None:
                self._pool.replace(name, configured)
            else:
                stored.configured = configured
                stored.lend()
        elif stored is not None and (fresh or self._sets().get(name) is not stored):
            stored.lend()

    def _sets(self) -> Sets:
        return {**self.tokens, **self.keys}

    def _sort(self, plan: Plan) -> None:
        conversations = {**plan.configured.conversation_upstreams, **plan.settings.upstreams}
        # The admin API holds these very mappings.
        self.tokens.clear()
        self.keys.clear()
        for name, stored in plan.sets.items():
            upstream = conversations.get(name)
            if upstream is not None:
                (self.tokens if upstream.kind == "conversation" else self.keys)[name] = stored
            stored.on_change = self.apply
