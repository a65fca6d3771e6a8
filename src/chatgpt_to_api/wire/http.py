"""HTTP messages as plain values, without a socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Sequence[Header]
"""Header fields in wire order; names are lower-case."""


class FixedHeaders(tuple[Header, ...]):
    """Headers that many requests share as one object: a transport may remember their bytes."""

    __slots__ = ()


def header(headers: Iterable[Header], name: bytes) -> bytes | None:
    """Return the first value of the lower-case header ``name``, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Scheme, host and port that a connection goes to."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Value of the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def split_url(url: str) -> tuple[Origin, str]:
    """Split an http(s) URL into its origin and its path with query (at least ``/``).

    Raises ValueError, without repeating the URL (it may hold a password), for anything else,
    user information and fragments included.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its message quotes the part it dislikes
        raise ValueError("the URL's host or port is not valid") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL must begin with http:// or https://")
    if not parts.hostname:
        raise ValueError("the URL has no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL must not hold a user name or password")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ValueError("the URL holds a space or control character")
    if parts.fragment:
        raise ValueError("the URL must not have a fragment (#)")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    elif port == 0:
        raise ValueError("the URL's port must not be 0")
    path = parts.path or "/"
    return Origin(parts.scheme, parts.hostname, port), path + (
        f"?{parts.query}" if parts.query else ""
    )


class HttpRequest(msgspec.Struct, frozen=True):
    """A request to an upstream, ready to be written.

    ``headers`` leave out ``host`` and ``content-length``: the transport adds them. The repr shows
    neither headers nor body, because they hold secrets.
    """

    method: bytes
    origin: Origin
    target: bytes
    headers: Headers
    body: bytes = b""

    def __repr__(self) -> str:
        return f"HttpRequest({self.method.decode()} {self.origin}{self.target.decode('latin-1')})"


class ReplyHead(msgspec.Struct, frozen=True):
    """Status and headers of a reply, before its body."""

    status: int
    headers: Headers

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower-case; "" where there is none."""
        value = header(self.headers, b"content-type") or b""
        return value.split(b";", 1)[0].strip().lower().decode("latin-1")


class HttpReply(msgspec.Struct, frozen=True):
    """A whole reply to a client."""

    status: int
    headers: Headers
    body: bytes


class RequestHead(msgspec.Struct, frozen=True):
    """Method, path, query and headers of a client's request. ``path`` is percent-decoded."""

    method: str
    path: str
    query: bytes
    headers: Headers

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of the lower-case header ``name``, or None."""
        return header(self.headers, name)
