"""Counting tokens for upstreams that do not report them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import structs

from chatgpt_to_api.chat.events import (
    ChatEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Text, ToolResult
from chatgpt_to_api.chat.tokens import TokenCounter, prompt_tokens
from chatgpt_to_api.chat.usage import Usage, UsageSource
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.telemetry.token_tables import TokenTable

MANY_TOOLS: Final = 8
"""Tools from which the same is done: what they are is mostly long."""

_SAID: Final = (TextDelta, ReasoningDelta, RefusalDelta)
LONG_PROMPT: Final = 64 * 1024
"""Characters from which a prompt is counted in a thread, so that nobody else waits for it."""


class Count:
    """The running count of one reply."""

    __slots__ = ("_counter", "_prompt")

    def __init__(self, prompt: int, count: Callable[[str], int]) -> None:
        self._prompt = prompt
        self._counter = TokenCounter(count)

    def feed(self, events: Sequence[ChatEvent]) -> None:
        """Count what these events generate."""
        for event in events:
            if isinstance(event, _SAID):
                self._counter.feed(event.text)
            elif type(event) is ToolCallDelta:
                self._counter.feed(event.arguments)

    def told(self, event: ChatEvent) -> ChatEvent:
        """Return the event; a reply's beginning that says nothing of its prompt is told of it."""
        if type(event) is Started and event.usage is None:
            return structs.replace(event, usage=Usage(input=self._prompt, source="counted"))
        return event

    def usage(self, source: UsageSource) -> Usage:
        """Usage so far; ``source`` is ``counted`` for a whole reply, else ``partial``."""
        return Usage(input=self._prompt, output=self._counter.total(), source=source)


async def start_count(request: ChatRequest, model: str) -> Count:
    """Count the prompt and begin to count its reply; the first time this loads the table.

    ``model`` is the one that answers, as far as its name is known.
    """
    table = await token_tables.ensure(model)
    return Count(await prompt_length(request, table), table.count)


async def prompt_length(request: ChatRequest, table: TokenTable) -> int:
    """Return how many tokens a request's prompt has."""
    if len(request.tools) > MANY_TOOLS or _length(request) > LONG_PROMPT:
        return await asyncio.to_thread(prompt_tokens, request, table.count)
    return prompt_tokens(request, table.count)


def _length(request: ChatRequest) -> int:
    return sum(_size(part) for message in request.messages for part in message.parts)


def _size(part: object) -> int:
    match part:
        case Text(text):
            return len(text)
        case ToolResult(_, parts):
            return sum(map(_size, parts))
        case _:
            return 0
