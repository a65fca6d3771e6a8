"""The model list: what really routes, merged from the upstreams and cached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog

from chatgpt_to_api.config.globs import is_glob
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.errors import GatewayError, NoCredentials, NotFound, UpstreamFailed
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream
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
    """One entry of the model list, in OpenAI's shape. ``created`` is Unix time in seconds.

    ``context_length`` is that of prompt and answer together, tokens; None where nobody says it.
    """

    id: str
    created: int
    owned_by: str
    context_length: int | None = None


class _Meta(msgspec.Struct):
    n_ctx_train: int | None = None


class _Listed(msgspec.Struct):
    """One entry of an upstream's list. Servers have four names for one number."""

    id: str
    created: float | None = None
    owned_by: str | None = None
    context_length: int | None = None
    context_window: int | None = None
    max_model_len: int | None = None
    meta: _Meta | None = None

    @property
    def context(self) -> int | None:
        """How much context it says it has."""
        trained = self.meta.n_ctx_train if self.meta is not None else None
        given = (self.context_length, self.context_window, self.max_model_len, trained)
        return next((number for number in given if number is not None and number > 0), None)


class _List(msgspec.Struct):
    data: list[msgspec.Raw] = []


_LISTED: Final = msgspec.json.Decoder(_Listed)


class ModelList:
    """What the gateway's clients can ask for. Upstreams' lists are fetched off the request path."""

    def __init__(self, *, born: int) -> None:
        self._born = born
        self._fetched: dict[str, dict[str, _Listed]] = {}

    def cards(self, routes: Routes) -> list[ModelCard]:
        """Return every model that has a name and routes somewhere, without duplicates."""
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
                    cards[name] = ModelCard(name, created, owner, _context(upstream, listed))
        return list(cards.values())

    def card(self, routes: Routes, model: str) -> ModelCard:
        """Return one model's card, also of a name only a glob covers. Raises ModelNotFound."""
        for card in self.cards(routes):
            if card.id == model:
                return card
        return self._card(model, _first(routes, model) or routes.candidates(model)[0])

    def _card(self, name: str, candidate: Candidate) -> ModelCard:
        """The card of a name that the gateway gives, not the upstream."""
        upstream = candidate.upstream
        listed = self._fetched.get(upstream.name, {}).get(candidate.model)
        return ModelCard(name, self._born, upstream.name, _context(upstream, listed))

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
) -> dict[str, _Listed]:
    deadline = asyncio.get_running_loop().time() + LIST_TIMEOUT
    ask = LeaseAsk(
        upstream=upstream.name,
        model="",
        deadline=deadline,
        owner="model list",
        edition=upstream.edition,
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
    return {entry.id: entry for entry in _entries(msgspec.json.decode(body, type=_List))}


def _entries(found: _List) -> Iterable[_Listed]:
    """Give the entries that can be read: one odd one does not hide the others."""
    for raw in found.data:
        try:
            yield _LISTED.decode(raw)
        except msgspec.DecodeError:
            log.debug("model list entry not understood", entry=bytes(raw)[:200])


def _context(upstream: ConfiguredUpstream, listed: _Listed | None) -> int | None:
    if upstream.context_length is not None or listed is None:
        return upstream.context_length
    return listed.context


def _first(routes: Routes, model: str) -> Candidate | None:
    """Return who answers for a model: in a chat, or where no chat has it, with embeddings."""
    for endpoint in (CHAT, "embeddings"):
        try:
            able = routes if endpoint == CHAT else routes.endpoints.routes(endpoint)
            return able.candidates(model)[0]
        except (NotFound, NoCredentials):
            continue
    return None
