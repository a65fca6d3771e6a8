"""Asking an upstream for its own list of models, on a lease like any other call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import ListedModel, ListsModels
from chatgpt_to_api.errors import UpstreamFailed
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream
from chatgpt_to_api.pool.contract import Granted, LeaseAsk, Lender
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.http import HttpRequest

log = structlog.get_logger(__name__)

LIST_TIMEOUT: Final = 10.0
"""Longest time one upstream may take for its list, and for what more there is to ask, seconds."""

LIST_LIMIT: Final = 4 * 1024 * 1024
"""Longest list that is read, bytes."""

MOST_ASKED: Final = 200
"""Most models of one upstream that are asked about one by one."""


async def fetch(
    upstream: ConfiguredUpstream,
    lists: ListsModels,
    known: Mapping[str, ListedModel],
    pool: Lender,
    client: HttpClient,
    limits: LimitSettings,
) -> dict[str, ListedModel]:
    """Return the models that ``upstream`` lists, by name.

    ``known`` are those of before: about one that has not changed nothing more is asked. Raises
    GatewayError, TransportError, or ValueError for what is no list.
    """
    deadline = asyncio.get_running_loop().time() + LIST_TIMEOUT
    ask = LeaseAsk(
        upstream=upstream.name,
        model="",
        deadline=deadline,
        owner="model list",
        edition=upstream.edition,
    )
    async with upstream.lease(pool, ask) as lease:
        call = _Call(upstream, lease, client, limits, deadline)
        models = lists.read_models(await call.body(lists.models_request(lease.credential.access)))
        lease.ok()
        found = {model.id: model for model in models}
        for model in list(found.values())[:MOST_ASKED]:
            before = known.get(model.id)
            if before is not None and before.version and before.version == model.version:
                found[model.id] = before
                continue
            request = lists.model_request(model, lease.credential.access)
            if request is None:
                continue
            try:
                found[model.id] = lists.read_model(model, await call.body(request))
            except (UpstreamFailed, ValueError) as error:
                log.debug("model not described", model=model.id, reason=str(error))
            except TransportError as error:  # the list itself is good
                log.info("models not described", upstream=upstream.name, reason=str(error))
                break
    return found


class _Call:
    """Calls on one lease, all of them until one deadline."""

    def __init__(
        self,
        upstream: ConfiguredUpstream,
        lease: Granted,
        client: HttpClient,
        limits: LimitSettings,
        deadline: float,
    ) -> None:
        self._proxy = lease.credential.proxy or upstream.proxy
        self._client = client
        self._limits = limits
        self._deadline = deadline

    async def body(self, request: HttpRequest) -> bytes:
        """Return the body of a good reply. Raises UpstreamFailed, TransportError."""
        reply = await self._client.send(
            request,
            proxy=self._proxy,
            connect_timeout=self._limits.connect_timeout,
            read_timeout=min(self._limits.read_timeout, LIST_TIMEOUT),
            deadline=self._deadline,
        )
        try:
            body = bytearray()
            while (data := await reply.read()) and len(body) < LIST_LIMIT:
                body += data
        finally:
            reply.close()
        if reply.head.status != 200:
            target = request.target.partition(b"?")[0].decode("latin-1")
            raise UpstreamFailed(f"The upstream answered {reply.head.status} to {target}.")
        return bytes(body)
