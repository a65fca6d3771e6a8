"""Names and ids that a server's rules would refuse, made to fit: always the same way.

What is cleaned or shortened ends in a digest of what it was, so two names do not become one, and
the same name is the same in every turn. Of tools the way back is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from msgspec import structs

from chatgpt_to_api.chat.events import BlockStarted, ChatEvent
from chatgpt_to_api.chat.request import AllowedTools, ChatRequest, NamedTool, ToolChoice

_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST: Final = 8
"""Hex digits that tell a changed name from others."""


def shortened(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` characters."""
    return text if len(text) <= limit else _marked(text, text, limit)


def cleaned(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` letters, digits, ``_`` and ``-``; "" gets a name too."""
    clean = _UNFIT.sub("_", text)
    return text if clean == text and 0 < len(text) <= limit else _marked(text, clean, limit)


def _marked(text: str, clean: str, limit: int) -> str:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST // 2).hexdigest()
    return f"{clean[: limit - _DIGEST - 1]}_{digest}"


class ToolNames:
    """The names of one request's tools in at most ``limit`` plain characters, and the way back."""

    __slots__ = ("_back", "_limit")

    def __init__(self, request: ChatRequest, limit: int) -> None:
        self._limit = limit
        self._back: Mapping[str, str] = {
            fit: tool.name for tool in request.tools if (fit := self.fit(tool.name)) != tool.name
        }

    def fit(self, name: str) -> str:
        """Return the name for the server; one that fits already stays as it is."""
        return cleaned(name, self._limit)

    def choice(self, choice: ToolChoice | None) -> ToolChoice | None:
        """Return the choice under the names for the server."""
        match choice:
            case NamedTool(name):
                return NamedTool(self.fit(name))
            case AllowedTools(names, mode):
                return AllowedTools(tuple(map(self.fit, names)), mode)
            case _:
                return choice

    def restored(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return a reply's events with the tools' own names."""
        if not self._back:
            return list(events)
        return [
            structs.replace(event, tool_name=self._back[event.tool_name])
            if isinstance(event, BlockStarted) and event.tool_name in self._back
            else event
            for event in events
        ]

    @property
    def own(self) -> Mapping[str, str]:
        """Names as the server knows them, of tools whose own is another; mostly empty."""
        return self._back
