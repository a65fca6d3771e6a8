"""Rate limits as people write them: ``5/10s`` is five requests in any ten seconds."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)?\s*([smhd])")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_rate_limit(text: str) -> tuple[int, float]:
    """Return how many requests may go in any stretch of how many seconds.

    The length is a number and a unit (s, m, h, d); the number may be left out (``5/s``). Raises
    ValueError for anything else.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError("expected COUNT/LENGTH, such as 5/10s or 100/1h")
    count, length = int(found[1]), float(found[2] or 1) * _UNITS[found[3]]
    if count < 1 or length <= 0:
        raise ValueError("expected a count of at least 1 and a length above 0, such as 5/10s")
    return count, length
