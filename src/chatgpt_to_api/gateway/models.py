"""The model list: what really routes, merged from the upstreams and cached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog

from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.errors import GatewayError, ModelNotFound, NoCredentials, UpstreamFailed
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream
from chatgpt_to_api.pool.contract import LeaseAsk, Lender
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.http import HttpRequest
from chatgpt_to_api.wire.secret import Access

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

LIST_TIMEOUT: Final = 10.0
"""Longest time one upstream may take for its list, seconds."""

LIST_LIMIT: Final = 4 * 1024 * 1024
"""Longest list that is read, bytes."""


class ModelCard(msgspec.Struct, frozen=True):
    """One entry of the model list, in OpenAI's shape. ``created`` is Unix time in seconds."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class _Listed(msgspec.Struct):
    id: str
    created: int | None = None
    owned_by: str | None = None


class _List(msgspec.Struct):
    data: list[_Listed] = []


class ModelList:
    """What the gateway's clients can ask for. Upstreams' lists are fetched off the request path."""

    def __init__(self, *, born: int) -> None:
        self._born = born
        self._fetched: dict[str, list[_Listed]] = {}

    def cards(self, routes: Routes) -> list[ModelCard]:
        """Return every model that has a name and routes somewhere, without duplicates."""
        cards: dict[str, ModelCard] = {}
        for name, owner in self._names(routes):
            if name not in cards and _routes_to(routes, name) is not None:
                cards[name] = ModelCard(name, self._born, owner)
        for upstream in routes.upstreams.values():
            for listed in self._fetched.get(upstream.name, ()):
                if listed.id not in cards and _routes_to(routes, listed.id) is upstream:
                    cards[listed.id] = ModelCard(
                        listed.id, listed.created or self._born, listed.owned_by or upstream.name
                    )
        return list(cards.values())

    def card(self, routes: Routes, model: str) -> ModelCard:
        """Return one model's card, also of a name only a glob covers. Raises ModelNotFound."""
        for card in self.cards(routes):
            if card.id == model:
                return card
        return ModelCard(model, self._born, routes.candidates(model)[0].upstream.name)

    def _names(self, routes: Routes) -> Iterable[tuple[str, str]]:
        for pattern in routes.exact_names:
            if (upstream := _routes_to(routes, pattern)) is not None:
                yield pattern, upstream.name
        if routes.default is not None:
            for name in LISTED_WELL_KNOWN:
                yield name, routes.default.name

    async def refresh(
        self, routes: Routes, pool: Lender, client: HttpClient, limits: LimitSettings
    ) -> None:
        """Ask every upstream that has a list for it; one that fails keeps its last good list."""
        for upstream in routes.upstreams.values():
            if upstream.list_models is not None:
                try:
                    self._fetched[upstream.name] = await _fetch(
                        upstream, upstream.list_models, pool, client, limits
                    )
                except (GatewayError, TransportError, msgspec.DecodeError, ValueError) as error:
                    log.info("model list not fetched", upstream=upstream.name, reason=str(error))


async def _fetch(
    upstream: ConfiguredUpstream,
    list_models: Callable[[Access], HttpRequest],
    pool: Lender,
    client: HttpClient,
    limits: LimitSettings,
) -> list[_Listed]:
    deadline = asyncio.get_running_loop().time() + LIST_TIMEOUT
    ask = LeaseAsk(
        upstream=upstream.name,
        model="",
        deadline=deadline,
        owner="model list",
    )
    async with pool.lease(ask) as lease:
        reply = await client.send(
            list_models(lease.credential.access),
            proxy=lease.credential.proxy or upstream.proxy,
            connect_timeout=limits.connect_timeout,
            read_timeout=min(limits.read_timeout, LIST_TIMEOUT),
            deadline=deadline,
        )
        try:
            body = bytearray()
            while (data := await reply.read()) and len(body) < LIST_LIMIT:
                body += data
        finally:
            reply.close()
        if reply.head.status != 200:
            raise UpstreamFailed(f"The upstream answered {reply.head.status} to GET /models.")
        lease.ok()
    return msgspec.json.decode(body, type=_List).data


def _routes_to(routes: Routes, model: str) -> ConfiguredUpstream | None:
    try:
        return routes.candidates(model)[0].upstream
    except (ModelNotFound, NoCredentials):
        return None
