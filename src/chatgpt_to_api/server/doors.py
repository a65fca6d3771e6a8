"""Which door stands at which path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Protocol, TypeAlias

import msgspec

from chatgpt_to_api.dialects.contract import Door
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.late import Late


class Serving(Protocol):
    """What answers at a door: the gateway, or something before it that keeps conversations."""

    def serve(self, exchange: Exchange, door: Door, caller: Caller) -> Awaitable[None]:
        """Read the request, answer it whole. Raises nothing but CancelledError."""
        ...


class Bearer(Enum):
    """What a bearer means at a door when no client keys are configured.

    With client keys it must be one of them (or, where callers' own tokens are allowed, such a
    token) at every door.
    """

    KEY = "key"
    """Nothing, and it may be missing: programs send dummies."""

    IDENTITY = "identity"
    """Who asks; one must be there, and its digest becomes the caller's id."""

    IDENTITY_OR_NOBODY = "identity or nobody"
    """Who asks, where there is one."""


class DoorEntry(msgspec.Struct, frozen=True):
    """One path's door, what answers there, and what a bearer means.

    ``key_in_query``: the dialect's clients may show their key as ``?key=``. ``id_field`` is a
    header besides ``x-request-id`` in which the dialect's clients look for the request's id.
    """

    door: Door
    serving: Serving
    bearer: Bearer = Bearer.KEY
    key_in_query: bool = False
    id_field: bytes = b""


Place: TypeAlias = DoorEntry | Late[DoorEntry]
"""A door, or one that is made when the first request comes to it."""


class Beyond(msgspec.Struct, frozen=True):
    """What answers at the paths that have neither door nor program of their own.

    ``takes`` tells by its decoded path whether a request is one for it. Bodies may be of
    any size there.
    """

    entry: DoorEntry
    takes: Callable[[str], bool]


class Doors:
    """The table of doors. Requests are POSTs to exactly these paths; a final slash is forgiven.

    ``methods`` are for dialects that have the model in the path: what stands before its name, and
    by what stands after it, behind a colon, each method's door.
    """

    def __init__(
        self,
        entries: Mapping[str, Place],
        methods: Mapping[str, Mapping[str, Place]] = MappingProxyType({}),
    ) -> None:
        self._entries = {path.encode(): entry for path, entry in entries.items()}
        self._methods = tuple(methods.items())
        segments = {_first_segment(path) for path in (*entries, *methods)}
        self._prefixes = ("/v1/", *sorted(segments - {"/v1/"}))
        self.direct = self._entries.get
        """Looks up a request target as it came: the fast way for the usual spelling."""
        self.targets = {path.encode(): (path, b"") for path in entries}
        """Those targets, taken apart into path and query."""

    def find(self, path: str) -> Place | None:
        """Return the door at a decoded path, however it was spelled."""
        entry = self._entries.get((path.rstrip("/") or "/").encode())
        return entry if entry is not None or ":" not in path else self._of_method(path)

    def _of_method(self, path: str) -> Place | None:
        for prefix, methods in self._methods:
            if path.startswith(prefix):
                return methods.get(path.rstrip("/").rpartition(":")[2])
        return None

    def kin(self, path: str) -> Place | None:
        """Return the first door below the same first segment: its errors are read there."""
        segment = _first_segment(path)
        for own, entry in self._entries.items():
            if own.startswith(segment.encode()):
                return entry
        for prefix, methods in self._methods:
            if prefix.startswith(segment):
                return next(iter(methods.values()), None)
        return None

    def is_api(self, path: str) -> bool:
        """Whether a path belongs to the programming interfaces, as web pages may use them."""
        return path.startswith(self._prefixes)

    def paths(self) -> Iterable[str]:
        """The paths that have a door, in the order they were given."""
        return (path.decode() for path in self._entries)


def _first_segment(path: str) -> str:
    # A request's target need not begin with a slash: ``OPTIONS *`` is about the server as a whole.
    return f"/{path.removeprefix('/').partition('/')[0]}/"
