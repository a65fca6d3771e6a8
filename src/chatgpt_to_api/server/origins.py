"""Names a gateway without keys answers to, and web pages that are its own.

A web page in the user's browser is a local peer too. Its requests carry an ``Origin`` that scripts
cannot forge; and where a page made its own host name point at this machine (DNS rebinding), the
``Host`` header still shows that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

MACHINE_NAMES: Final = ("host.docker.internal", "host.containers.internal")
"""What containers call the machine they run on. The ``internal`` zone is never in public DNS."""

_SINGLE_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")

_REMEMBERED: Final = 256


class HostNames:
    """The ``Host`` values that are answered without client keys.

    ``configured`` are further names; ``*.example.com`` covers the names below it, ``*`` any.
    """

    def __init__(self, configured: Iterable[str] = ()) -> None:
        names = [name.strip().lower().rstrip(".") for name in configured]
        self._any = "*" in names
        self._exact = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = (".localhost", *(n[1:] for n in names if n.startswith("*.")))
        self._known: dict[bytes, bool] = {}

    def answers_to(self, host: bytes) -> bool:
        """Whether a Host header's value, with or without port, names this gateway."""
        known = self._known.get(host)
        if known is None:
            known = self._decide(host)
            if len(self._known) < _REMEMBERED:  # callers choose the values: bounded
                self._known[host] = known
        return known

    def _decide(self, host: bytes) -> bool:
        name = host_name(host)
        return name is not None and (
            self._any
            or name == "localhost"
            or _is_address(name)
            or _SINGLE_LABEL.fullmatch(name) is not None
            or name in MACHINE_NAMES
            or name in self._exact
            or name.endswith(self._suffixes)
        )


class AllowedOrigins:
    """The web pages an operator lets in (``CORS_ALLOWED_ORIGINS``); ``*`` is any."""

    def __init__(self, configured: Iterable[str] = ()) -> None:
        origins = {_canonical(origin) for origin in configured if origin.strip()}
        self.any = "*" in origins
        self._exact = frozenset(origin.encode() for origin in origins)

    def __contains__(self, origin: bytes) -> bool:
        return self.any or origin in self._exact or origin.lower() in self._exact


def same_origin(origin: bytes, host: bytes | None) -> bool:
    """Whether a page of ``origin`` came from the very host and port it now asks."""
    if host is None:
        return False
    _, mark, authority = origin.partition(b"://")
    return bool(mark) and authority.lower() == host.strip().lower()


def host_name(host: bytes) -> str | None:
    """Return the lower-case name or address of a Host value, without port; None if malformed."""
    try:
        text = host.decode("ascii").strip().lower()
    except UnicodeDecodeError:
        return None
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
        try:
            return str(IPv6Address(name))
        except ValueError:
            return None
    name, colon, port = text.partition(":")
    if colon and not _is_port(colon + port):
        return None
    return name.rstrip(".") or None


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdigit() and len(text) <= 6


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _canonical(origin: str) -> str:
    return origin.strip().rstrip("/").lower()
