"""Where the embedded model answers, and at which endpoints: known without its dialects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from chatgpt_to_api.gateway.endpoints import CHAT

LOCAL_ENDPOINTS: Final = frozenset({CHAT, "embeddings"})


class LocalEndpoint(msgspec.Struct, frozen=True):
    """Where the embedded model answers.

    ``models`` are the names it has for itself, ``vector_size`` is the length of its embeddings,
    ``context`` of the longest prompt and answer together, tokens; ``parallel`` answers are written
    at once; ``ready`` waits while it is being loaded.
    """

    base_url: str
    models: tuple[str, ...]
    vector_size: int
    context: int
    parallel: int
    ready: Callable[[float], Awaitable[None]]
