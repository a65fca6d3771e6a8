"""When an upstream says to come back: the Retry-After header and durations like ``6m0.5s``."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_PART: Final = re.compile(
    r"(\d{1,15}(?:\.\d{1,15})?)\s*"
    r"(ms|millis(?:econds?)?|msecs?|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
    r"(?![a-z])\s*"
)
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def parse_retry_after(value: str, now: float) -> float:
    """Return the seconds to wait that a Retry-After header asks for, never negative.

    ``value`` is delta-seconds (a fraction is taken too) or an HTTP-date; ``now`` is Unix time in
    seconds. Raises ValueError for anything else; the caller then backs off by itself.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError, TypeError):
        raise ValueError("neither seconds nor an HTTP date") from None
    if date.tzinfo is None:  # RFC 5322's "-0000", and dates without a zone: HTTP means UTC
        date = date.replace(tzinfo=UTC)
    try:
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        raise ValueError("a date out of range") from None


def parse_duration(value: str) -> float:
    """Return the seconds of ``20``, ``1.5s``, ``120ms``, ``6m0s``, ``1h2m3s`` or ``2 minutes``.

    Raises ValueError for anything else.
    """
    value = value.strip().lower()
    if _SECONDS.fullmatch(value):
        return float(value)
    total, at = 0.0, 0
    while at < len(value):
        part = _PART.match(value, at)
        if part is None:
            raise ValueError("not a duration")
        unit = part[2]
        scale = 0.001 if unit.startswith(("ms", "mil")) else _UNITS[unit[0]]
        total += float(part[1]) * scale
        at = part.end()
    if at == 0:
        raise ValueError("not a duration")
    return total
