"""Names for requests: 16 hex digits, unique within and (very likely) between processes."""

from __future__ import annotations

import secrets
from typing import Final

_STRIDE: Final = 0x9E3779B97F4A7C15
"""An odd number: stepping by it visits all 64-bit values before one comes again."""

_MASK: Final = 0xFFFFFFFFFFFFFFFF


class RequestIds:
    """Makes request ids from a random start; cheaper than randomness for each."""

    def __init__(self) -> None:
        self._last = secrets.randbits(64)

    def next(self) -> str:
        """Return a fresh id."""
        self._last = last = (self._last + _STRIDE) & _MASK
        return f"{last:016x}"
