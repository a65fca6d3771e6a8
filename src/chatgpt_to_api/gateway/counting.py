"""Counting tokens for upstreams that do not report them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from chatgpt_to_api.chat.events import (
    ChatEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Text
from chatgpt_to_api.chat.tokens import TokenCounter, prompt_tokens
from chatgpt_to_api.chat.usage import Usage, UsageSource
from chatgpt_to_api.telemetry import token_tables

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

    def usage(self, source: UsageSource) -> Usage:
        """Usage so far; ``source`` is ``counted`` for a whole reply, else ``partial``."""
        return Usage(input=self._prompt, output=self._counter.total(), source=source)


async def start_count(request: ChatRequest) -> Count:
    """Count the prompt and begin to count its reply; the first time this loads the table."""
    count = (await token_tables.ensure(request.model)).count
    if _length(request) > LONG_PROMPT:
        prompt = await asyncio.to_thread(prompt_tokens, request, count)
    else:
        prompt = prompt_tokens(request, count)
    return Count(prompt, count)


def _length(request: ChatRequest) -> int:
    length = 0
    for message in request.messages:
        for part in message.parts:
            if type(part) is Text:
                length += len(part.text)
    return length
