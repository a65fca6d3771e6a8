"""``POST /v1/responses``: answered by any upstream, or by one that has the whole API itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from chatgpt_to_api.dialects.contract import Door
from chatgpt_to_api.dialects.openai_any.door import AnyAsked
from chatgpt_to_api.dialects.openai_responses.door import ResponsesAsked
from chatgpt_to_api.dialects.openai_responses.kept import (
    conversation_not_found,
    previous_not_found,
)
from chatgpt_to_api.dialects.openai_responses.own_ids import is_ours
from chatgpt_to_api.errors import GatewayError, InvalidRequest, ModelNotFound, NoCredentials
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.endpoints import RESPONSES
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.gateway.passthrough import PassErrand
from chatgpt_to_api.gateway.responses import Responses
from chatgpt_to_api.gateway.routes import LONGEST_MODEL


class ResponsesBackend:
    """Answers requests, with responses that are kept.

    An upstream may have the whole API itself. What it has made (a response, a conversation), what
    it is to keep because it is asked first, and what only it can do (work in the background) goes
    to it as it is, and its reply comes back as it is. All else is answered here.

    ``owner_digest`` turns a caller's id into what its responses are kept under.
    """

    def __init__(
        self,
        gateway: Gateway,
        responses: Responses,
        *,
        owner_digest: Callable[[str], str],
        max_body: int,
    ) -> None:
        self.responses = responses
        self._gateway = gateway
        self._owner_digest = owner_digest
        self._max_body = max_body

    def owner_of(self, caller: Caller) -> str:
        """Whose responses a caller's are; without client keys all callers are one."""
        return self._owner_digest(f"responses of {caller.id}")

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        """Answer one request. Every error is rendered by the door."""
        try:
            body = await exchange.body(self._max_body)
            asked = door.ask(exchange.head, body)
            assert isinstance(asked, ResponsesAsked)
            if self._is_for_the_upstream(asked):
                await self._relay(exchange, door, asked, caller)
                return
            turn = await self.responses.prepare(asked, self.owner_of(caller))
        except ClientGone:
            return
        except GatewayError as error:
            exchange.reply(door.failure(error))
            return
        try:
            settle = turn.settle if turn.keeps else None
            await self._gateway.answer(exchange, door, turn.asked, caller, settle=settle)
        finally:
            await asyncio.shield(turn.close())

    async def _relay(
        self, exchange: Exchange, door: Door, asked: ResponsesAsked, caller: Caller
    ) -> None:
        body = asked.relayed(asked.model, ask_usage=False)
        errand = PassErrand(exchange, AnyAsked(RESPONSES, asked.model), body, None)
        await self._gateway.answer(exchange, door, errand.asked, caller, errand=errand)

    def _is_for_the_upstream(self, asked: ResponsesAsked) -> bool:
        """Whether an upstream has to answer by itself. Raises GatewayError where none can.

        A request that leaves nothing behind, and refers to nothing, is one for every upstream: to
        those of its dialect it is relayed.
        """
        previous, conversation = asked.asked.previous_response_id, asked.conversation
        if (previous and is_ours(previous)) or (conversation and is_ours(conversation)):
            return False
        whole = bool(previous or conversation or asked.asked.background)
        native = self._native(asked.model)
        if native is not None:
            return native == "alone" or asked.kept or whole
        if previous:
            raise previous_not_found(previous)
        if conversation:
            raise conversation_not_found(conversation)
        if asked.asked.background:
            raise InvalidRequest(
                "'background' is not available: responses are written while their client waits. "
                "Send it as false, or leave it out.",
                param="background",
                code="unsupported_parameter",
            )
        return False

    def _native(self, model: str) -> Literal["first", "alone"] | None:
        """Whether who is asked first for a model has this API itself; ``alone``: no other does.

        Raises ModelNotFound, NoCredentials.
        """
        if len(model) > LONGEST_MODEL:
            return None  # which is told where every model's name is looked at
        routes = self._gateway.routes
        try:
            upstream = routes.path(model).candidates[0].upstream
        except (ModelNotFound, NoCredentials):
            if not routes.endpoints.offered(RESPONSES):
                raise
            routes.endpoints.routes(RESPONSES).path(model)
            return "alone"
        return "first" if upstream.carrier is not None and upstream.offers(RESPONSES) else None
