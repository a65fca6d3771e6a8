"""Responses that were kept long enough are forgotten, now and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from chatgpt_to_api.store.errors import StoreUnavailable
from chatgpt_to_api.store.responses import StoredResponses

log = structlog.get_logger(__name__)

EVERY: Final = 600.0
"""How often what has expired is looked for, seconds."""


async def forget_expired(
    stored: StoredResponses, wall: Callable[[], float], every: float = EVERY
) -> None:
    """Forget what has expired, until cancelled. ``wall`` tells Unix time in seconds."""
    while True:
        try:
            removed = await stored.prune(wall())
        except StoreUnavailable as error:
            log.warning("expired responses not removed", reason=error.text)
        else:
            if removed:
                log.info("expired responses removed", threads=removed)
        await asyncio.sleep(every)
