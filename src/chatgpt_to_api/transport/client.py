"""The HTTP/1.1 client: a pool of connections for each origin and proxy, and one way to send."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.transport.connect import (
    connect,
    default_tls,
    proxy_authorization,
    proxy_wants_credentials,
)
from chatgpt_to_api.transport.connection import Connection
from chatgpt_to_api.transport.environment import is_loopback
from chatgpt_to_api.transport.errors import ConnectFailed, ConnectionBroken, DeadlinePassed
from chatgpt_to_api.transport.message import HeadWriter
from chatgpt_to_api.transport.reply import Reply
from chatgpt_to_api.transport.twins import Twins
from chatgpt_to_api.transport.upload import Upload
from chatgpt_to_api.transport.watch import Watch
from chatgpt_to_api.wire.http import HttpRequest, Origin
from chatgpt_to_api.wire.proxy import Proxy

if TYPE_CHECKING:
    from ssl import SSLContext

MAX_IDLE: Final = 64  # connections kept for each origin and proxy
IDLE_TIMEOUT: Final = 30.0  # seconds


class HttpClient:
    """Sends requests to upstreams. Connections are kept alive; how many are in use is not limited.

    Redirects are not followed, no cookie is kept, certificates are verified. ``max_idle``:
    connections kept open for each origin and proxy; ``idle_timeout``: for how long, seconds;
    ``allowed``: says of an IP address whether it may be called, for URLs that strangers give.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_idle: int = MAX_IDLE,
        idle_timeout: float = IDLE_TIMEOUT,
        allowed: Callable[[str], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._time = loop.time
        self._max_idle = max_idle
        self._idle_timeout = idle_timeout
        self._allowed = allowed
        self._sites: dict[tuple[Origin, Proxy | None], _Site] = {}
        self._watch = Watch(loop, self._sweep_idle)
        self._open = self._watch.connections
        self._tls: SSLContext | None = None
        self._closed = False
        self._all_gone: asyncio.Future[None] | None = None

    async def send(
        self,
        request: HttpRequest,
        *,
        proxy: Proxy | None,
        connect_timeout: float,
        read_timeout: float,
        deadline: float,
    ) -> Reply:
        """Send ``request`` and return its reply once the head is there.

        ``connect_timeout`` (seconds) covers name, TCP, proxy and TLS; ``read_timeout`` (seconds)
        is the longest silence while somebody waits for bytes; ``deadline`` (loop time) ends all.
        A loopback origin is reached directly whatever ``proxy`` is. A kept connection that turns
        out to be closed before a byte came is replaced by a fresh one, once.

        Raises a TransportError; ValueError for a request that would not arrive as one request.
        """
        site = self._sites.get((request.origin, proxy))
        if site is None:
            site = self._add_site(request.origin, proxy)
        head = site.heads.write(request)
        now = self._time()
        if deadline <= now:
            raise _too_late(site)
        # The one used last is the least likely to be closed. One that is closing at this very
        # moment loses what is written to it, and counts as stale.
        connection = site.idle.pop() if site.idle else None
        reused = connection is not None
        while True:
            if connection is None:
                connection = await self._connect(site, connect_timeout, deadline)
                now = self._time()
            reply = Reply(self._loop, connection, read_timeout, deadline, now)
            look = self._watch.next_look
            if now + read_timeout < look or deadline < look:
                self._watch.expect(min(deadline, now + read_timeout))
            waiter = reply.waiter
            assert waiter is not None
            connection.begin(reply, request.method, head, request.body)
            try:
                await waiter
            except asyncio.CancelledError:
                reply.close()
                raise
            if reply.headed:
                if site.absolute and reply.head.status == 407:
                    reply.close()
                    raise proxy_wants_credentials(f"the proxy {site.proxy}")
                return reply
            error = reply.error
            assert error is not None
            if not reused or not isinstance(error, ConnectionBroken) or error.answered:
                raise error
            connection = None
            reused = False

    async def upload(
        self,
        request: HttpRequest,
        pieces: AsyncIterator[bytes],
        length: int | None,
        *,
        proxy: Proxy | None,
        connect_timeout: float,
        read_timeout: float,
        deadline: float,
    ) -> Reply:
        """Send ``request`` with a body that comes in ``pieces``; return its reply as ``send`` does.

        ``length`` is the body's, None where only its end will tell. No piece is taken before the
        socket has room. A reply that comes before the body's end ends the sending: the rest is not
        wanted. What has left cannot be sent again, so the connection is a fresh one.

        Raises what ``send`` does, and whatever ``pieces`` raise.
        """
        site = self._sites.get((request.origin, proxy))
        if site is None:
            site = self._add_site(request.origin, proxy)
        head = site.heads.write_before_body(request, length)
        if deadline <= self._time():
            raise _too_late(site)
        connection = await self._connect(site, connect_timeout, deadline)
        reply = Reply(self._loop, connection, read_timeout, deadline, self._time())
        self._watch.expect(min(deadline, self._time() + read_timeout))
        waiter = reply.waiter
        assert waiter is not None
        connection.begin(reply, request.method, head, b"")
        upload = Upload(self._loop, self._watch, connection, reply, pieces, length)
        try:
            await waiter
        except asyncio.CancelledError:
            reply.close()
            raise
        finally:
            upload.stop()
        if upload.failure is not None:
            raise upload.failure
        if not reply.headed:
            assert reply.error is not None
            raise reply.error
        if site.absolute and reply.head.status == 407:
            reply.close()
            raise proxy_wants_credentials(f"the proxy {site.proxy}")
        return reply

    async def close(self) -> None:
        """Break every connection and wait until all are closed. Calls under way fail."""
        self._closed = True
        for connection in list(self._open):
            connection.give_up(ConnectionBroken("the gateway is stopping", sent_anything=True))
        self._watch.stop()
        if self._open:
            self._all_gone = self._loop.create_future()
            await self._all_gone

    @property
    def open_connections(self) -> int:
        """How many sockets are open, in use or idle."""
        return len(self._open)

    def _add_site(self, origin: Origin, proxy: Proxy | None) -> _Site:
        key = (origin, proxy)
        site = self._sites[key] = _Site(self, key)
        return site

    async def _connect(self, site: _Site, connect_timeout: float, deadline: float) -> Connection:
        """Open a connection to ``site``. Raises TransportError."""
        limit = min(self._loop.time() + connect_timeout, deadline)
        connection = Connection(self._loop, site)
        site.members.add(connection)
        try:
            await in_task()
            async with asyncio.timeout_at(limit):
                await connect(
                    self._loop, connection, site.address, site.proxy, self._context, self._allowed
                )
        except TimeoutError:
            site.abandon(connection)
            if limit == deadline:
                raise _too_late(site) from None
            raise ConnectFailed(
                f"{site.name}: no connection within {connect_timeout:g} s",
                errno=errno.ETIMEDOUT,
                at_proxy=site.proxy is not None,
            ) from None
        except BaseException:
            site.abandon(connection)
            raise
        if self._closed:
            site.abandon(connection)
            raise ConnectFailed("the gateway is stopping")
        if not connection.usable:
            site.abandon(connection)
            raise ConnectionBroken(
                f"{site.name} closed the connection as soon as it was open", sent_anything=False
            )
        return connection

    def _context(self) -> SSLContext:
        if self._tls is None:
            self._tls = default_tls()
        return self._tls

    def _sweep_idle(self, now: float) -> float:
        """Close what has been idle for too long; return when the next will have been."""
        due = math.inf
        for site in self._sites.values():
            idle = site.idle  # the longest idle first
            while idle and idle[0].idle_since + self._idle_timeout <= now:
                idle.pop(0).close()
            if idle:
                due = min(due, idle[0].idle_since + self._idle_timeout)
        return due


class _Site:
    """The connections to one origin through one proxy, and what every request to it begins with.

    It lives as long as it has connections.
    """

    __slots__ = (
        "_client",
        "_key",
        "absolute",
        "address",
        "heads",
        "idle",
        "members",
        "name",
        "proxy",
        "twins",
    )

    def __init__(self, client: HttpClient, key: tuple[Origin, Proxy | None]) -> None:
        origin, proxy = key
        self._client = client
        self._key = key
        self.name = str(origin)
        self.proxy = None if is_loopback(origin.host) else proxy
        host = origin.host if origin.host.isascii() else origin.host.encode("idna").decode("ascii")
        self.address = Origin(origin.scheme, host, origin.port)
        self.members: set[Connection] = set()
        self.idle: list[Connection] = []
        self.twins = Twins()
        authority = self.address.authority.encode("ascii")
        self.absolute = (
            self.proxy is not None and self.proxy.kind != "socks5" and origin.scheme == "http"
        )
        host_line = b"host: %b\r\n" % authority
        if self.absolute:
            assert self.proxy is not None
            own = host_line + proxy_authorization(self.proxy)
            self.heads = HeadWriter(b"http://" + authority, own)
        else:
            self.heads = HeadWriter(b"", host_line)

    def abandon(self, connection: Connection) -> None:
        """Drop a connection that did not come about, however far it got.

        A loop that is interrupted while it hands a connection over may close it without a word, so
        this does not wait for ``connection_lost``.
        """
        connection.abort()
        self.closed(connection)

    def opened(self, connection: Connection) -> None:
        self._client._open.add(connection)

    def free(self, connection: Connection) -> None:
        client = self._client
        if len(self.idle) >= client._max_idle:
            connection.close()
            return
        now = connection.idle_since = client._loop.time()
        self.idle.append(connection)
        if now + client._idle_timeout < client._watch.next_look:
            client._watch.expect(now + client._idle_timeout)

    def lost(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)

    def closed(self, connection: Connection) -> None:
        client = self._client
        client._open.discard(connection)
        self.members.discard(connection)
        if not self.members and client._sites.get(self._key) is self:
            del client._sites[self._key]
        if client._all_gone is not None and not client._open and not client._all_gone.done():
            client._all_gone.set_result(None)

    def expect(self, when: float) -> None:
        self._client._watch.expect(when)


def _too_late(site: _Site) -> DeadlinePassed:
    return DeadlinePassed(
        f"the request's deadline passed before it was sent to {site.name}", sent_anything=False
    )
