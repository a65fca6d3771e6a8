"""Fresh ids for codecs and conversations."""

from __future__ import annotations

import random


class RandomIds:
    """Unique, not secret, so they need no system call each."""

    def uuid4(self) -> str:
        """Return a random UUID: version 4 and variant 10 in a row of hex, as RFC 9562 has it."""
        bits = f"{random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
