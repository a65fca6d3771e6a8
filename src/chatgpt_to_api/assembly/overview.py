"""What a gateway shows of itself: its models, and what is ready or missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

import structlog

from chatgpt_to_api.assembly.embedded import EmbeddedUpstream
from chatgpt_to_api.config.upstream_settings import KEYED, UpstreamSettings
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.models import REFRESH, ModelCard, ModelList
from chatgpt_to_api.gateway.routes import HOW_TO_BEGIN
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.server.status import Status, UpstreamStatus
from chatgpt_to_api.transport.client import HttpClient

log = structlog.get_logger(__name__)


class GatewayOverview:
    """The site's view of a gateway. ``in_force`` gives its upstreams at present."""

    def __init__(
        self,
        gateway: Gateway,
        pool: Pool,
        client: HttpClient,
        embedded: EmbeddedUpstream,
        in_force: Callable[[], Mapping[str, UpstreamSettings]],
        *,
        born: int,
    ) -> None:
        self._gateway = gateway
        self._pool = pool
        self._client = client
        self._embedded = embedded
        self._in_force = in_force
        self._list = ModelList(born=born)
        self._changed = asyncio.Event()

    def models(self) -> Sequence[ModelCard]:
        """Every model that can be asked for."""
        return self._list.cards(self._gateway.routes)

    def model_card(self, name: str) -> ModelCard:
        """One model. Raises ModelNotFound."""
        return self._list.card(self._gateway.routes, name)

    def status(self) -> Status:
        """What is ready and what is missing, without secrets and addresses."""
        upstreams = tuple(
            self._embedded.status(name)
            if upstream.kind == "local"
            else self._status_of(name, upstream)
            for name, upstream in self._in_force().items()
        )
        advice = [] if upstreams else [HOW_TO_BEGIN]
        if self._embedded.missing:
            advice.append(self._embedded.missing)
        cards = self.models()
        return Status(upstreams, cards[0].id if cards else "", tuple(advice))

    def _status_of(self, name: str, upstream: UpstreamSettings) -> UpstreamStatus:
        view = self._pool.view(name)
        if upstream.kind == "conversation" and view.total == 0:
            return UpstreamStatus(
                name,
                upstream.kind,
                ready=False,
                says="no access token",
                advice="Give it tokens: PATCH /admin/tokens, or access_tokens.json in the data "
                "folder, or ACCESS_TOKENS.",
            )
        counts = (
            (view.ready, "ready"),
            (view.busy, "busy"),
            (view.cooling, "cooling"),
            (view.invalid, "invalid"),
            (view.disabled, "disabled"),
        )
        says = ", ".join(f"{count} {word}" for count, word in counts if count)
        if upstream.kind in KEYED and not upstream.api_keys:
            says = f"no key, {says.removeprefix('1 ')}"
        elif view.total:
            says = f"{view.total} credential{'s' if view.total > 1 else ''}: {says}"
        if upstream.kind == "conversation":
            says += f"; {upstream.how_chats_go_on}"
        if not view.open:
            says = f"out of service ({view.reason}); it is tried again by itself"
        usable = view.total == 0 or view.ready + view.busy > 0
        return UpstreamStatus(name, upstream.kind, ready=view.open and usable, says=says or "ready")

    def refresh_soon(self) -> None:
        """Have the upstreams' own lists asked for again: the upstreams have changed."""
        self._changed.set()

    async def keep_fresh(self) -> None:
        """Ask the upstreams for their lists, now and again, until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._list.refresh(
                    self._gateway.routes, self._pool, self._client, self._gateway.limits
                )
            except Exception:  # one odd reply must not end the list for good
                log.exception("model lists not refreshed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), REFRESH)
