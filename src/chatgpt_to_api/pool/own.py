"""Callers' own tokens: each a shelf of one, apart from the pool's and soon forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from chatgpt_to_api.pool.contract import CredentialSpec
from chatgpt_to_api.pool.cooldown import CAP
from chatgpt_to_api.pool.shelf import Shelf
from chatgpt_to_api.pool.windows import RateWindow
from chatgpt_to_api.wire.secret import Access

MOST_IDLE: Final = 4096
"""Most tokens remembered that no request uses: those that cool down or were refused."""


class OwnTokens:
    """The tokens callers brought, by fingerprint; one request at a time for each."""

    def __init__(self, windows: Sequence[RateWindow], wall: Callable[[], float]) -> None:
        self.windows = tuple(windows)
        self._wall = wall
        self._shelves: dict[str, Shelf] = {}
        # Those no request uses, oldest first, with the time their memory ends.
        self._idle: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shelves)

    def shelf(self, access: Access, now: float) -> Shelf:
        """The shelf of this token, made where there is none."""
        if access.token is None:
            raise ValueError("a caller's own access has no token")
        key = access.token.fingerprint
        until = self._idle.pop(key, None)
        if until is not None and until <= now:
            del self._shelves[key]
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf(1, self.windows, self._wall)
            spec = CredentialSpec(f"own-{key[:16]}", access, None, "the caller's own token")
            shelf.replace([spec], now)
        return shelf

    def unused(self, shelf: Shelf, now: float) -> None:
        """Nobody waits for this token: unless it is in use, it is forgotten, now or before long."""
        for credential in shelf.credentials.values():
            if credential.in_flight:
                return
            assert credential.access.token is not None
            key = credential.access.token.fingerprint
            if shelf.forgettable(now):
                self._shelves.pop(key, None)
                self._idle.pop(key, None)
            else:
                self._idle[key] = now + CAP
                self._idle.move_to_end(key)
        while self._idle and (
            len(self._idle) > MOST_IDLE or next(iter(self._idle.values())) <= now
        ):
            key, _ = self._idle.popitem(last=False)
            del self._shelves[key]
