"""Requests that ask nothing of a model but to be there: clients of Ollama load one before use."""

from __future__ import annotations

from chatgpt_to_api.dialects.contract import Door
from chatgpt_to_api.dialects.ollama.door import OllamaAsked
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange


class LoadingFirst:
    """Answers them where there is nothing to load; all other requests are the gateway's."""

    def __init__(self, gateway: Gateway, *, max_body: int) -> None:
        self._gateway = gateway
        self._max_body = max_body

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        """Answer one request. Every error is rendered by the door."""
        try:
            body = exchange.arrived(self._max_body)
            if body is None:
                body = await exchange.body(self._max_body)
            asked = door.ask(exchange.head, body)
            if isinstance(asked, OllamaAsked) and asked.loads:
                first = self._gateway.routes.candidates(asked.model)[0]
                if door.dialect not in first.upstream.relays:
                    exchange.reply(asked.loaded(self._gateway.stamp(self._gateway.loop.time())))
                    return
        except ClientGone:
            return
        except GatewayError as error:
            exchange.reply(door.failure(error))
            return
        await self._gateway.answer(exchange, door, asked, caller)
