"""From an origin and a proxy to an open connection: TCP, proxy handshake, TLS; and why not."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from chatgpt_to_api.transport.dial import first_to_connect, resolve
from chatgpt_to_api.transport.errors import AddressRefused, ConnectFailed
from chatgpt_to_api.wire.http import Origin
from chatgpt_to_api.wire.proxy import Proxy

if TYPE_CHECKING:
    from ssl import SSLContext

SHUTDOWN: Final = 2.0  # seconds a peer gets to answer our TLS goodbye
_MAX_TUNNEL_HEAD: Final = 16 * 1024  # bytes
_UNLIMITED: Final = 3600.0  # seconds; the caller's own limit is shorter

# With these a proxy says that it works and what is behind it does not.
_BEHIND_THE_PROXY: Final = frozenset({502, 503, 504})
_BEHIND_THE_SOCKS_PROXY: Final = frozenset({3, 4, 5, 6})  # unreachable, refused, TTL (RFC 1928)


class _Hop(NamedTuple):
    """One thing to be reached on the way."""

    host: str
    port: int
    label: str
    is_proxy: bool

    def failed(self, why: str, number: int | None = None) -> ConnectFailed:
        return ConnectFailed(f"{self.label}: {why}", errno=number, at_proxy=self.is_proxy)


def default_tls() -> SSLContext:
    """Return a context that verifies names and certificates against the system's trust store.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` take the store's place. It costs milliseconds and memory,
    so it is made when the first https origin is called.
    """
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def proxy_authorization(proxy: Proxy) -> bytes:
    """Return the Proxy-Authorization line for ``proxy``, b"" where it wants none."""
    if proxy.username is None:
        return b""
    password = "" if proxy.password is None else proxy.password.reveal()
    pair = f"{proxy.username}:{password}".encode()
    return b"proxy-authorization: Basic " + b64encode(pair) + b"\r\n"


async def connect(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.Protocol,
    origin: Origin,
    proxy: Proxy | None,
    tls: Callable[[], SSLContext],
    allowed: Callable[[str], bool] | None = None,
) -> None:
    """Connect ``protocol`` to ``origin``; its ``connection_made`` comes once all is ready.

    ``origin.host`` is ASCII. With ``allowed`` every address it stands for has to be allowed. Raises
    ConnectFailed. The caller bounds the time; cancelled, it leaves nothing open.
    """
    context = tls() if origin.scheme == "https" else None
    target = _Hop(origin.host, origin.port, str(origin), is_proxy=False)
    if proxy is None:
        await _attach(loop, protocol, await _dial(loop, target, allowed), context, target)
        return
    hop = _Hop(proxy.host, proxy.port, f"the proxy {proxy}", is_proxy=True)
    if proxy.kind == "socks5":
        await _attach(loop, protocol, await _socks(loop, proxy, hop, target), context, target)
        return
    sock = await _dial(loop, hop)
    outer = tls() if proxy.kind == "https" else None
    if context is None:
        await _attach(loop, protocol, sock, outer, hop)
        return
    tunnel = _Tunnel(loop, origin, proxy, hop)
    await _attach(loop, tunnel, sock, outer, hop)
    await _start_tls(loop, protocol, await tunnel.opened(), context, target)


async def _dial(
    loop: asyncio.AbstractEventLoop, hop: _Hop, allowed: Callable[[str], bool] | None = None
) -> socket.socket:
    try:
        # What was looked at is what is called: a name that changes its mind gains nothing.
        addresses = await resolve(loop, hop.host, hop.port)
        if allowed is not None and not all(allowed(name[0]) for _, name in addresses):
            raise AddressRefused(f"{hop.label}: its address is not on the public internet")
        return await first_to_connect(loop, addresses)
    except OSError as error:
        raise _explained(error, hop) from None


async def _attach(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.Protocol,
    sock: socket.socket,
    context: SSLContext | None,
    hop: _Hop,
) -> None:
    """Give ``protocol`` the connected socket, with TLS around it if there is a context."""
    try:
        if context is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=context,
                server_hostname=hop.host,
                ssl_shutdown_timeout=SHUTDOWN,
            )
    except OSError as error:
        sock.close()
        raise _explained(error, hop) from None
    except BaseException:
        sock.close()
        raise


async def _start_tls(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.Protocol,
    transport: asyncio.Transport,
    context: SSLContext,
    hop: _Hop,
) -> None:
    """Speak TLS with the far end of a tunnel and give ``protocol`` the result."""
    try:
        secured = await loop.start_tls(
            transport,
            protocol,
            context,
            server_hostname=hop.host,
            ssl_shutdown_timeout=SHUTDOWN,
        )
    except OSError as error:
        transport.abort()
        raise _explained(error, hop) from None
    except BaseException:
        transport.abort()
        raise
    if secured is None:  # asyncio's word for a connection lost meanwhile
        raise hop.failed("the connection was closed during the TLS handshake")
    protocol.connection_made(secured)


async def _socks(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, hop: _Hop, target: _Hop
) -> socket.socket:
    """Return a socket that leads through a SOCKS5 proxy; the proxy resolves the name."""
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as SocksProxy

    socks = SocksProxy(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.username,
        password=None if proxy.password is None else proxy.password.reveal(),
        rdns=True,
        loop=loop,
    )
    try:
        return await socks.connect(target.host, target.port, timeout=_UNLIMITED)
    except OSError as error:
        raise _explained(error, hop) from None
    except ProxyError as error:
        why = f"it did not connect to {target.label}: {error}"
        raise ConnectFailed(
            f"{hop.label}: {why}", at_proxy=error.error_code not in _BEHIND_THE_SOCKS_PROXY
        ) from None
    except ValueError:  # an answer that makes no sense, where the library does not look
        raise hop.failed("it does not speak SOCKS5 as it should") from None


class _Tunnel(asyncio.Protocol):
    """Asks an HTTP proxy for a tunnel to an origin, and holds the transport until it is there."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, proxy: Proxy, hop: _Hop
    ) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = f"{host}:{origin.port}".encode("ascii")
        self._request = (
            b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n"  # one write, no user agent
        ) % (authority, authority, proxy_authorization(proxy))
        self._origin = origin
        self._hop = hop
        self._answer = b""
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[asyncio.Transport] = loop.create_future()

    async def opened(self) -> asyncio.Transport:
        """Wait for the proxy's consent; the transport then leads to the origin."""
        try:
            return await self._ready
        except BaseException:
            if self._transport is not None:
                self._transport.abort()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._ready.done():
            return
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end:
            if len(head) > _MAX_TUNNEL_HEAD:
                self._fail(self._hop.failed("it answered a CONNECT with an endless head"))
            return
        version, _, status = head[:12].partition(b" ")
        if not version.startswith(b"HTTP/1.") or not status.isdigit():
            self._fail(self._hop.failed("it does not speak HTTP as a proxy should"))
        elif status[:1] != b"2":
            self._fail(self._refused(int(status)))
        elif rest:
            # Nobody speaks before our TLS hello but a proxy that wants to be taken for the origin.
            self._fail(self._hop.failed("it sent bytes of its own into the tunnel"))
        else:
            assert self._transport is not None
            self._ready.set_result(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._fail(self._hop.failed("it closed the connection instead of opening a tunnel"))

    def _refused(self, status: int) -> ConnectFailed:
        if status == 407:
            return proxy_wants_credentials(self._hop.label)
        return ConnectFailed(
            f"{self._hop.label}: it refused a tunnel to {self._origin} with status {status}",
            at_proxy=status not in _BEHIND_THE_PROXY,
        )

    def _fail(self, error: ConnectFailed) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # a cancelled caller never asks, and asyncio would log that


def proxy_wants_credentials(label: str) -> ConnectFailed:
    """The failure that a proxy's status 407 stands for."""
    return ConnectFailed(f"{label}: it wants a user and password, or other ones", at_proxy=True)


def _explained(error: OSError, hop: _Hop) -> ConnectFailed:
    """Say in a few words why ``hop`` could not be reached."""
    if isinstance(error, socket.gaierror):
        return hop.failed("the host name was not found")
    if isinstance(error, TimeoutError):
        return hop.failed("no answer to a connection attempt", errno.ETIMEDOUT)
    if isinstance(error, ConnectionRefusedError):
        return hop.failed("connection refused", errno.ECONNREFUSED)
    why = _tls_trouble(error)
    if why is not None:
        return hop.failed(why)
    if error.errno is None:
        return hop.failed("the connection was closed while it was being set up")
    return hop.failed(os.strerror(error.errno).lower(), error.errno)


def _tls_trouble(error: OSError) -> str | None:
    import ssl  # asyncio has it already

    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"TLS certificate not accepted: {error.verify_message.rstrip('.')}"
        if error.verify_code in _UNKNOWN_ISSUER:
            why += " (SSL_CERT_FILE can name a file with your own authorities)"
        return why
    if not isinstance(error, ssl.SSLError):
        return None
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"):
        return "it does not speak TLS on that port"
    reason = (error.reason or "the handshake failed").replace("_", " ").lower()
    return f"TLS failed: {reason}"


_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})  # OpenSSL's X509_V_ERR_* for an unknown root
