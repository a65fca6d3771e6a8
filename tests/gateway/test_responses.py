"""Responses that are kept: one at a time in a conversation, free before its client sees the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chatgpt_to_api.config.settings import ResponseSettings
from chatgpt_to_api.dialects.openai_responses.door import DOOR, ResponsesAsked
from chatgpt_to_api.gateway.responses import ConversationLocked, Responses
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.responses import StoredResponses
from chatgpt_to_api.store.secrets import load_cipher
from chatgpt_to_api.wire.http import RequestHead


@pytest.fixture
async def responses(tmp_path: Path) -> AsyncIterator[Responses]:
    cipher = load_cipher(tmp_path, None, database=database_path(tmp_path))
    store = await Store.open(tmp_path, cipher)
    stored = StoredResponses(store, ResponseSettings())
    yield Responses(stored, wall=lambda: 1.0, new_key=lambda: "0" * 32)
    await store.close()


def asked(conversation: str) -> ResponsesAsked:
    body = {"model": "m", "input": "hi", "conversation": conversation}
    return DOOR.ask(RequestHead("POST", "/v1/responses", b"", []), msgspec.json.encode(body))


async def test_a_settled_turn_has_freed_its_conversation(responses: Responses) -> None:
    """A client that has seen the end may ask on at once, and that turn holds it for itself."""
    id = (await responses.begin("ann", b"{}"))["id"]
    first = await responses.prepare(asked(id), "ann")
    with pytest.raises(ConversationLocked):
        await responses.prepare(asked(id), "ann")
    await first.settle()
    second = await responses.prepare(asked(id), "ann")
    await first.close()
    with pytest.raises(ConversationLocked):
        await responses.prepare(asked(id), "ann")
    await second.close()
    await (await responses.prepare(asked(id), "ann")).close()
