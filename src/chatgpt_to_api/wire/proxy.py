"""An outbound proxy as a value, and the ways people write one down."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from chatgpt_to_api.wire.secret import Secret

ProxyKind: TypeAlias = Literal["http", "https", "socks5"]

_KINDS: Final[dict[str, tuple[ProxyKind, int]]] = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks5": ("socks5", 1080),
    # The name is always resolved by the proxy, which is what the h asks for.
    "socks5h": ("socks5", 1080),
}
_MAX_CREDENTIAL: Final = 255  # bytes; SOCKS5 has one length byte for each (RFC 1929)

_FORMS: Final = (
    "expected http://, https://, socks5:// or socks5h:// with host:port, or host:port, "
    "host:port:user:password or user:password:host:port"
)


class Proxy(msgspec.Struct, frozen=True):
    """A proxy that connections go out through.

    ``kind``: how it is spoken to (``https``: an HTTP proxy reached over TLS). ``host`` has no
    brackets. The repr shows no user name: with some vendors it is as good as the password.
    """

    kind: ProxyKind
    host: str
    port: int
    username: str | None = None
    password: Secret | None = None

    def __str__(self) -> str:
        """The proxy without its credentials, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self}{' with credentials' if self.username is not None else ''})"


def parse_proxy(line: str) -> Proxy:
    """Read one proxy as ``proxies.txt`` or a ``*_proxy`` variable holds it.

    A URL may hold ``user:password@`` (percent-encoded) and defaults to its scheme's port (SOCKS:
    1080). Without a scheme it is an HTTP proxy: ``host:port``, ``user:password@host:port``, or four
    parts in either order, told apart by which part is a port number; where both could be, by which
    one stands after something that looks like a host, else ``host:port:user:password``.

    Raises ValueError, which repeats nothing of the line because it may hold a password.
    """
    text = line.strip()
    if not text:
        raise ValueError(f"an empty proxy; {_FORMS}")
    if any(ord(c) <= 32 or ord(c) == 127 for c in text):
        raise ValueError("a proxy must not hold a space or control character")
    scheme, mark, rest = text.partition("://")
    if mark:
        known = _KINDS.get(scheme.lower())
        if known is None:
            raise ValueError(f"not a proxy this gateway can use; {_FORMS}")
        return _from_url_rest(known[0], rest, default_port=known[1])
    if "@" in text or text.startswith("[") or text.count(":") != 3:
        return _from_url_rest("http", text, default_port=None)
    return _from_four_parts(text.split(":"))


def _from_url_rest(kind: ProxyKind, rest: str, default_port: int | None) -> Proxy:
    try:
        # Always split as http: what urlsplit accepts depends on the scheme.
        parts = urlsplit(f"http://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"the proxy's host or port is not valid; {_FORMS}") from None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a proxy has no path, query or fragment (percent-encode its password)")
    if port is None:
        port = default_port
    if port is None:
        raise ValueError(f"the proxy has no port; {_FORMS}")
    username = unquote(parts.username or "")
    password = unquote(parts.password or "")
    return _proxy(kind, host or "", port, username, password)


def _from_four_parts(parts: list[str]) -> Proxy:
    if not all(parts):
        raise ValueError(f"a part of the proxy is empty; {_FORMS}")
    one, two, three, four = parts
    host_first, host_last = _is_port(two), _is_port(four)
    if host_first and host_last:
        host_first = _looks_like_host(one) or not _looks_like_host(three)
    if host_first:
        return _proxy("http", one, int(two), three, four)
    if host_last:
        return _proxy("http", three, int(four), one, two)
    raise ValueError(f"neither the second nor the fourth part of the proxy is a port; {_FORMS}")


def _proxy(kind: ProxyKind, host: str, port: int, username: str, password: str) -> Proxy:
    if not host or any(c in host for c in "/@?#%\\"):
        raise ValueError(f"the proxy has no valid host; {_FORMS}")
    if not 0 < port < 65536:
        raise ValueError("the proxy's port must be between 1 and 65535")
    for part in (username, password):
        if len(part.encode("utf-8", "surrogatepass")) > _MAX_CREDENTIAL:
            raise ValueError(f"the proxy's user or password is over {_MAX_CREDENTIAL} bytes")
        if kind == "socks5" and not part.isascii():
            raise ValueError("the user and password of a SOCKS5 proxy must be ASCII")
    if kind != "socks5" and ":" in username:
        raise ValueError("the user name of an HTTP proxy must not hold a colon")
    if not username and not password:
        return Proxy(kind, host.lower(), port)
    return Proxy(kind, host.lower(), port, username, Secret(password))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _looks_like_host(text: str) -> bool:
    return "." in text or text == "localhost"
