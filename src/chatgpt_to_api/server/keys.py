"""Client keys: the keys this gateway issues to its callers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

from chatgpt_to_api.gateway.caller import Caller

_COMMENT: Final = "#"


class ClientKeys:
    """The set of client keys, replaceable at any time.

    A key is looked up by a keyed digest, so neither the time nor the memory layout of a failed
    lookup says anything about a valid key. The keys themselves are not kept.
    """

    configured = False
    """Whether callers need a key."""

    epoch: object
    """Another object after each change: what was decided under one does not hold under the next."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._salt = secrets.token_bytes(32)
        self._callers: dict[bytes, Caller] = {}
        self.replace(lines)

    def replace(self, lines: Iterable[str]) -> int:
        """Take the lines of ``api_keys.txt`` as the whole set; return how many keys there are.

        Lines are trimmed; blank ones and those that begin with ``#`` are comments.
        """
        callers: dict[bytes, Caller] = {}
        for line in lines:
            key = line.strip().lstrip("\ufeff").strip()
            if key and not key.startswith(_COMMENT):
                raw = key.encode("utf-8", "surrogateescape")
                callers[self._digest(raw)] = Caller(id=caller_id(raw))
        self._callers = callers
        self.epoch = object()
        self.configured = bool(callers)
        return len(callers)

    def refuse_all(self) -> None:
        """Let nobody in until :meth:`replace`: keys are meant to be set, and are not known."""
        self._callers = {}
        self.epoch = object()
        self.configured = True

    def find(self, key: bytes) -> Caller | None:
        """Return the caller a key was issued to, None for a key that is not valid."""
        return self._callers.get(self._digest(key))

    def __len__(self) -> int:
        return len(self._callers)

    def __repr__(self) -> str:
        return f"ClientKeys({len(self)} keys)"

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._salt, digest_size=16).digest()


def caller_id(secret: bytes) -> str:
    """Return the id of who holds a key or token: 16 hex digits of its SHA-256.

    It is the same after a restart and says nothing of the secret, unless that is guessable.
    """
    return hashlib.sha256(secret).hexdigest()[:16]
