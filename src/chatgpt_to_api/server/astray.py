"""Requests of clients that have a base URL with too much or too little at its end.

Some clients want ``/v1`` in it and others add it themselves, so this is what goes wrong first. An
answer about an endpoint ``v1`` that nobody offers would help nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_ENDS: Final = ("/v1", "/v1beta")
"""What base URLs end in where clients add only the rest."""
_BEGINNINGS: Final = ("/v1/", "/v1beta/", "/api/")
"""What the paths of the dialects begin with."""

_SHOWN: Final = 200
"""Longest piece of a path that an error repeats."""


def meant(path: str, is_served: Callable[[str], bool]) -> str | None:
    """Return the path that was meant by one that leads nowhere; None where none is plain to see.

    ``is_served`` tells whether there is anything at a path.
    """
    for beginning in _BEGINNINGS:
        if path.startswith(beginning):
            rest = path[len(beginning) - 1 :]
            # No vendor has an endpoint of such a name, so nobody else is asked for it either.
            return rest if rest.startswith(_BEGINNINGS) and is_served(rest) else None
    right = next((end + path for end in _ENDS if is_served(end + path)), None)
    return None if right is None or is_served(path) else right


def nothing_at(path: str) -> str:
    """Say that a path leads nowhere."""
    return f"There is nothing at {_shown(path)!r}. GET / says what this gateway serves."


def advice(path: str, right: str) -> str:
    """Say what to change at the client, for a path and what was meant by it."""
    shown = _shown(path)
    if path.endswith(right):
        end = path.removesuffix(right)
        change = f"take {end!r} off the end of your client's base URL"
    else:
        end = right.removesuffix(path)
        change = f"put {end!r} at the end of your client's base URL"
    return f"There is nothing at {shown!r}, but at {right[:_SHOWN]!r}: {change}."


def _shown(path: str) -> str:
    return path[:_SHOWN] + ("…" if len(path) > _SHOWN else "")
