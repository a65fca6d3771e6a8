"""The model list: what really routes, merged from the upstreams and cached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from chatgpt_to_api.config.globs import is_glob
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import Ability, ListedModel
from chatgpt_to_api.errors import GatewayError, NoCredentials, NotFound
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.model_fetch import fetch
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream
from chatgpt_to_api.pool.contract import Lender
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError

log = structlog.get_logger(__name__)

REFRESH: Final = 600.0
"""How often an upstream's own list is asked for again, seconds."""

LISTED_WELL_KNOWN: Final = (
    "gpt-3.5-turbo",
    "gpt-4",
    "gpt-4o",
    "gpt-4o-mini",
    "o1",
    "text-davinci-002-render-sha",
)
"""The well-known names worth showing; globs cannot be listed."""


class ModelCard(msgspec.Struct, frozen=True):
    """One entry of the model list. ``created`` is Unix time in seconds.

    ``context_length`` is that of prompt and answer together, tokens; None where nobody says it.
    ``abilities`` are what can be asked of it here, done by its upstream or in its place; whether it
    thinks only some upstreams tell. ``listed`` is what its upstream's own list says.
    """

    id: str
    created: int
    owned_by: str
    context_length: int | None = None
    abilities: frozenset[Ability] = frozenset()
    listed: ListedModel | None = None


class ModelList:
    """What the gateway's clients can ask for. Upstreams' lists are fetched off the request path."""

    def __init__(self, *, born: int) -> None:
        self._born = born
        self._fetched: dict[str, dict[str, ListedModel]] = {}
        self._made: tuple[Routes, dict[str, ModelCard]] | None = None
        """The cards of these routes: a list is asked for more often than it changes."""

    def cards(self, routes: Routes) -> list[ModelCard]:
        """Return every model that has a name and routes somewhere, without duplicates."""
        return list(self._by_name(routes).values())

    def card(self, routes: Routes, model: str) -> ModelCard:
        """Return one model's card, also of a name only a glob covers. Raises ModelNotFound."""
        card = self._by_name(routes).get(model)
        if card is not None:
            return card
        return self._card(model, _first(routes, model) or routes.candidates(model)[0])

    def _by_name(self, routes: Routes) -> dict[str, ModelCard]:
        if self._made is None or self._made[0] is not routes:
            self._made = (routes, self._all(routes))
        return self._made[1]

    def _all(self, routes: Routes) -> dict[str, ModelCard]:
        cards: dict[str, ModelCard] = {}
        for name in self._names(routes):
            if name not in cards and (candidate := _first(routes, name)) is not None:
                cards[name] = self._card(name, candidate)
        for upstream in routes.endpoints.upstreams:
            for name, listed in self._fetched.get(upstream.name, {}).items():
                candidate = _first(routes, name) if name not in cards else None
                if candidate is not None and candidate.upstream is upstream:
                    created = int(listed.created or self._born)
                    owner = listed.owned_by or upstream.name
                    cards[name] = _described(name, created, owner, candidate, listed)
        return cards

    def _card(self, name: str, candidate: Candidate) -> ModelCard:
        """The card of a name that the gateway gives, not the upstream."""
        upstream = candidate.upstream
        listed = self._fetched.get(upstream.name, {}).get(candidate.model)
        return _described(name, self._born, upstream.name, candidate, listed)

    def _names(self, routes: Routes) -> Iterable[str]:
        yield from routes.exact_names
        for upstream in routes.endpoints.upstreams:  # those that have no chat are in no such list
            yield from (name for name in upstream.models or () if not is_glob(name))
        if routes.default is not None:
            yield from LISTED_WELL_KNOWN

    async def refresh(
        self, routes: Routes, pool: Lender, client: HttpClient, limits: LimitSettings
    ) -> None:
        """Ask every upstream that has a list for it; one that fails keeps its last good list."""
        for upstream in routes.endpoints.upstreams:
            if upstream.lists is not None:
                known = self._fetched.get(upstream.name, {})
                try:
                    self._fetched[upstream.name] = await fetch(
                        upstream, upstream.lists, known, pool, client, limits
                    )
                except (GatewayError, TransportError, ValueError) as error:
                    log.info("model list not fetched", upstream=upstream.name, reason=str(error))
                self._made = None


def _described(
    name: str, created: int, owner: str, candidate: Candidate, listed: ListedModel | None
) -> ModelCard:
    upstream = candidate.upstream
    context = candidate.context
    if context is None and listed is not None:
        context = listed.context_length
    return ModelCard(name, created, owner, context, _abilities(upstream, listed), listed)


def _abilities(upstream: ConfiguredUpstream, listed: ListedModel | None) -> frozenset[Ability]:
    """What can be asked of a model: what is said of it, else what its upstream can."""
    found: set[Ability] = set()
    if listed is not None and listed.abilities is not None:
        found |= listed.abilities
        if upstream.can("tools") == "emulated" and "chat" in found:
            found.add("tools")
        return frozenset(found)
    if upstream.offers(CHAT):
        found.add("chat")
        if upstream.can("tools") != "absent":
            found.add("tools")
        if upstream.can("images") != "absent":
            found.add("images")
    if upstream.offers("embeddings"):
        found.add("embeddings")
    return frozenset(found)


def _first(routes: Routes, model: str) -> Candidate | None:
    """Return who answers for a model: in a chat, or where no chat has it, with embeddings."""
    for endpoint in (CHAT, "embeddings"):
        try:
            able = routes if endpoint == CHAT else routes.endpoints.routes(endpoint)
            return able.candidates(model)[0]
        except (NotFound, NoCredentials):
            continue
    return None
