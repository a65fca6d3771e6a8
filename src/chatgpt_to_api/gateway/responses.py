"""Responses that are kept: what one follows is found, and what came of it is stored.

A response is kept unless its client says otherwise, for the client key that asked for it. What
precedes it (the responses before, or its conversation) is put in front of what it brings, so that
upstreams are asked with the whole history and nobody but the gateway has to keep any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.openai_responses import kept as shown
from chatgpt_to_api.dialects.openai_responses.door import ResponsesAsked
from chatgpt_to_api.dialects.openai_responses.door_items import item_not_found
from chatgpt_to_api.dialects.openai_responses.messages import AnyItem
from chatgpt_to_api.dialects.openai_responses.own_ids import response_of
from chatgpt_to_api.errors import Conflict, InvalidRequest
from chatgpt_to_api.store.responses import Item, KeptResponse, StoredResponses

_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)
_ENCODE: Final = msgspec.json.Encoder().encode


class ConversationLocked(Conflict):
    """Another response is being written in the same conversation."""

    code = "conversation_locked"

    def __init__(self) -> None:
        super().__init__(
            "Another response is being written in this conversation; wait for its end.",
            param="conversation",
        )


class Turn:
    """One request joined to what precedes it; afterwards, what is kept of it."""

    def __init__(
        self, responses: Responses, asked: ResponsesAsked, owner: str, thread: str
    ) -> None:
        self.asked = asked
        self.owner = owner
        self.thread = thread
        self.holds = asked.conversation
        """The conversation it is the only one to write in, until it is left."""
        self._responses = responses
        self._keeping: asyncio.Task[None] | None = None

    @property
    def keeps(self) -> bool:
        """Whether anything is to be kept."""
        return self.asked.kept or bool(self.asked.conversation)

    async def settle(self) -> None:
        """Keep the response, durably; one that did not come to a good end is not kept.

        Then its conversation is free, before the client sees the end and asks on. Cancelling it
        stops nothing. Raises StoreUnavailable.
        """
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())
        await asyncio.shield(self._keeping)

    async def close(self) -> None:
        """The turn is over; what it began to keep is kept first."""
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        self._responses.leave(self)

    async def _keep(self) -> None:
        try:
            encoder = self.asked.encoder
            if encoder is not None and encoder.ended is not None:
                await self._responses.keep(self)
        finally:
            self._responses.leave(self)


class Responses:
    """Finds, joins, keeps and shows them. ``new_key`` makes 32 hex digits."""

    def __init__(
        self,
        stored: StoredResponses,
        *,
        wall: Callable[[], float],
        new_key: Callable[[], str],
    ) -> None:
        self._stored = stored
        self._wall = wall
        self._new_key = new_key
        self._running: set[tuple[str, str]] = set()

    # -- responses ---------------------------------------------------------------------------

    async def prepare(self, asked: ResponsesAsked, owner: str) -> Turn:
        """Join a request to what precedes it; :meth:`Turn.close` ends the turn.

        Raises InvalidRequest for an unknown ``previous_response_id``, NotFound for an unknown
        conversation or item, Conflict while the conversation is busy.
        """
        previous, conversation = asked.asked.previous_response_id, asked.conversation
        before: Sequence[Raw] = ()
        thread = ""
        if previous:
            found = await self._stored.before(owner, previous)
            kept = await self._stored.response(owner, previous)
            if found is None or kept is None:
                raise shown.previous_not_found(previous)
            if shown.in_conversation(kept.response):
                raise shown.part_of_conversation(previous)
            thread, before = found
        elif conversation:
            if (owner, conversation) in self._running:
                raise ConversationLocked
            self._running.add((owner, conversation))
            thread = conversation
        turn = Turn(self, asked, owner, thread)
        try:
            if conversation:
                before = [item.json for item in await self._items(owner, conversation)]
            own = await self._own_items(asked, owner, before)
        except BaseException:
            self.leave(turn)
            raise
        if before or own is not None:
            items = asked.own_items if own is None else own
            turn.asked = asked.joined(items, before, thread)
        return turn

    async def keep(self, turn: Turn) -> None:
        """Keep a response that has come to a good end."""
        asked, encoder = turn.asked, turn.asked.encoder
        assert encoder is not None
        assert encoder.ended is not None
        response = dict(encoder.ended.response)
        del response["output"]
        key = encoder.id.removeprefix("resp_")
        brought = shown.with_ids(asked.own_items, key)
        made = shown.made_with_ids(encoder.ended.output, key)
        kept = KeptResponse(
            Raw(_ENCODE(response)), [raw for _, raw in brought], [raw for _, raw in made]
        )
        now = self._wall()
        if asked.conversation:
            items = [Item(id, raw) for id, raw in (*brought, *made)]
            mine = (encoder.id, kept) if asked.kept else None
            await self._stored.append(turn.owner, asked.conversation, items, now, mine)
            return
        await self._stored.save(
            turn.owner,
            encoder.id,
            kept,
            thread=turn.thread or encoder.id,
            previous=asked.asked.previous_response_id or None,
            now=now,
        )

    def leave(self, turn: Turn) -> None:
        """Free the conversation of a turn that is over; another may hold it by the second call."""
        if turn.holds:
            self._running.discard((turn.owner, turn.holds))
            turn.holds = ""

    async def _own_items(
        self, asked: ResponsesAsked, owner: str, before: Sequence[Raw]
    ) -> list[Raw] | None:
        """Return a request's items with those it refers to in their places; None: it has none.

        Each is referred to once and each response is read once: a short request could else be of
        any size, and any work.
        """
        references = asked.references
        if not references:
            return None
        items = list(asked.own_items)
        known = {_ANY_ITEM.decode(raw).id: raw for raw in before}
        read: set[str] = set()
        taken: set[str] = set()
        for place, id in references:
            if id in taken:
                raise shown.duplicate_item(id, f"input[{place}]")
            taken.add(id)
            response = response_of(id)
            if id not in known and response is not None and response not in read:
                read.add(response)
                kept = await self._stored.response(owner, response)
                for raw in (*kept.output, *kept.input) if kept is not None else ():
                    known.setdefault(_ANY_ITEM.decode(raw).id, raw)
            found = known.get(id)
            if found is None:
                found = await self._stored.item(owner, id)
            if found is None:
                raise item_not_found(id, f"input[{place}]")
            items[place] = found
        return items

    async def response(self, owner: str, id: str, include: Sequence[str]) -> Raw:
        """A kept response. Raises NotFound."""
        kept = await self._response(owner, id)
        return shown.response_shown(kept.response, kept.output, include)

    async def input_items(
        self, owner: str, id: str, query: Mapping[str, str], include: Sequence[str]
    ) -> Any:
        """A page of all items a response was asked with, those before it too. Raises NotFound."""
        kept = await self._response(owner, id)
        before = await self._stored.before(owner, id)
        items = kept.input
        if before is not None:
            items = before.items[: len(before.items) - len(kept.output)]
        return shown.page_shown(items, query, include)

    async def drop(self, owner: str, id: str) -> Any:
        """Forget a response. Raises NotFound."""
        if not await self._stored.drop(owner, id):
            raise shown.response_not_found(id)
        return shown.deleted(id, "response")

    async def cancel(self, owner: str, id: str) -> None:
        """Say that a response can no longer be cancelled: none is written in the background."""
        await self._response(owner, id)
        raise InvalidRequest("Cannot cancel a synchronous response.", code="not_cancellable")

    async def _response(self, owner: str, id: str) -> KeptResponse:
        kept = await self._stored.response(owner, id)
        if kept is None:
            raise shown.response_not_found(id)
        return kept

    # -- conversations -----------------------------------------------------------------------

    async def begin(self, owner: str, body: bytes) -> Any:
        """Make a conversation. Raises InvalidRequest."""
        asked = shown.read_new_conversation(body)
        id, now = f"conv_{self._new_key()}", self._wall()
        items = self._named(asked.items or ())
        await self._stored.begin(owner, id, shown.metadata_of(asked.metadata), items, now)
        return await self.conversation(owner, id)

    async def conversation(self, owner: str, id: str) -> Any:
        """One conversation. Raises NotFound."""
        found = await self._stored.conversation(owner, id)
        if found is None:
            raise shown.conversation_not_found(id)
        return shown.conversation_shown(found.id, found.created, found.notes)

    async def note(self, owner: str, id: str, body: bytes) -> Any:
        """Replace what is noted on a conversation. Raises NotFound, InvalidRequest."""
        notes = shown.metadata_of(shown.read_change(body).metadata)
        if not await self._stored.note(owner, id, notes):
            raise shown.conversation_not_found(id)
        return await self.conversation(owner, id)

    async def end(self, owner: str, id: str) -> Any:
        """Forget a conversation. Raises NotFound."""
        if not await self._stored.end(owner, id):
            raise shown.conversation_not_found(id)
        return shown.deleted(id, "conversation.deleted")

    async def items(
        self, owner: str, id: str, query: Mapping[str, str], include: Sequence[str]
    ) -> Any:
        """A page of a conversation's items. Raises NotFound, InvalidRequest."""
        items = await self._items(owner, id)
        return shown.page_shown([item.json for item in items], query, include)

    async def add_items(self, owner: str, id: str, body: bytes, include: Sequence[str]) -> Any:
        """Add items to a conversation. Raises NotFound, InvalidRequest."""
        items = self._named(shown.read_new_items(body))
        if not await self._stored.append(owner, id, items, self._wall()):
            raise shown.conversation_not_found(id)
        return shown.list_shown([(i.id, shown.item_shown(i.json, include)) for i in items])

    async def item(self, owner: str, id: str, item: str, include: Sequence[str]) -> Raw:
        """One item of a conversation. Raises NotFound."""
        for found in await self._items(owner, id):
            if found.id == item:
                return shown.item_shown(found.json, include)
        raise item_not_found(item, "item_id")

    async def drop_item(self, owner: str, id: str, item: str) -> Any:
        """Take an item out of a conversation, which is returned. Raises NotFound."""
        conversation = await self.conversation(owner, id)
        if not await self._stored.drop_item(owner, id, item):
            raise item_not_found(item, "item_id")
        return conversation

    def _named(self, items: Sequence[Raw]) -> list[Item]:
        return [Item(id, raw) for id, raw in shown.with_ids(items, self._new_key())]

    async def _items(self, owner: str, id: str) -> list[Item]:
        items = await self._stored.items(owner, id)
        if items is None:
            raise shown.conversation_not_found(id)
        return items
