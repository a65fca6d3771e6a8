"""Our own conversation backend: the conversation door, with conversations that continue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.dialects.contract import Asked, Door
from chatgpt_to_api.dialects.conversation.door import ConversationAsked
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.conversations import Conversations
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange


class Answering(Protocol):
    """What answers a decoded request: the gateway's engine."""

    async def answer(
        self,
        exchange: Exchange,
        door: Door,
        asked: Asked,
        caller: Caller,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Answer one request; ``settle`` is awaited before the reply's end leaves."""
        ...


class ConversationBackend:
    """Answers ``POST …/conversation`` from kept conversations.

    ``owner_digest`` turns a caller's id into what its conversations are kept under.
    """

    def __init__(
        self,
        gateway: Answering,
        conversations: Conversations,
        *,
        owner_digest: Callable[[str], str],
        max_body: int,
    ) -> None:
        self.conversations = conversations
        self._gateway = gateway
        self._owner_digest = owner_digest
        self._max_body = max_body

    def owner_of(self, caller: Caller) -> str:
        """Whose conversations a caller's are; "" for a caller who is nobody in particular."""
        return self._owner_digest(f"conversations of {caller.id}") if caller.id else ""

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        """Answer one request. Every error is rendered by the door."""
        await in_task()  # for the waits on what is stored, and on turns before this one
        try:
            asked = door.ask(exchange.head, await exchange.body(self._max_body))
            assert isinstance(asked, ConversationAsked)
            turn = await self.conversations.prepare(asked, self.owner_of(caller))
        except ClientGone:
            return
        except GatewayError as error:
            exchange.reply(door.failure(error))
            return
        try:
            await self._gateway.answer(exchange, door, turn.asked, caller, settle=turn.settle)
        finally:
            await asyncio.shield(turn.close())
