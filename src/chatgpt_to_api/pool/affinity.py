"""Which credential a conversation goes to, so that the vendor's prompt cache stays warm."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_BOUND: Final = 20_000
"""Most conversations remembered per upstream."""

KEEP: Final = 3600.0
"""How long after its last request a conversation is remembered, seconds."""

_FRESH: Final = 0.9
"""A binding with this share of its time left is not touched again: most turns follow soon."""


class Affinity:
    """Conversation → credential id: bounded, expiring, and only digests are kept."""

    __slots__ = ("_bound", "_keep", "_most")

    def __init__(self, most: int = MAX_BOUND, keep: float = KEEP) -> None:
        self._most = most
        self._keep = keep
        self._bound: OrderedDict[int, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bound)

    @staticmethod
    def key(client: str, conversation: bytes) -> int:
        """A digest of one client's conversation.

        Python's own keyed hash: 64 bits under a secret of the process, and on the request path a
        tenth of what a cryptographic one costs. Were two ever equal, two conversations would prefer
        the same credential, and no more.
        """
        return hash((client, conversation))

    def get(self, key: int, now: float) -> str | None:
        """The credential a conversation is bound to, or None."""
        bound = self._bound.get(key)
        if bound is None:
            return None
        if bound[1] <= now:
            del self._bound[key]
            return None
        return bound[0]

    def bind(self, key: int, id: str, now: float) -> None:
        """Bind a conversation, or keep its binding for another while."""
        bound = self._bound
        before = bound.get(key)
        if before is not None and before[0] == id and before[1] > now + _FRESH * self._keep:
            return
        bound[key] = (id, now + self._keep)
        bound.move_to_end(key)
        # The front is the oldest: whatever is over the bound or the time stands there.
        while len(bound) > self._most or next(iter(bound.values()))[1] <= now:
            bound.popitem(last=False)

    def unbind(self, key: int) -> None:
        """Forget a conversation."""
        self._bound.pop(key, None)
