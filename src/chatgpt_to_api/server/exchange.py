"""One request and its reply on a connection: what the gateway sees of HTTP/1.

No event objects, no message dictionaries: body bytes land in a list, the reply is written to the
transport as it comes, and a future is made only where somebody really has to wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import structlog

from chatgpt_to_api.by_hand import Work
from chatgpt_to_api.errors import BodyTooLarge, GatewayError
from chatgpt_to_api.gateway.exchange import ClientGone
from chatgpt_to_api.server.coding import check_coding, decoded
from chatgpt_to_api.server.heads import BODILESS, CONTINUE, head_lines
from chatgpt_to_api.server.limits import HIGH_WATER, Limits
from chatgpt_to_api.server.problem import problem
from chatgpt_to_api.server.twins import Twin
from chatgpt_to_api.wire.http import Header, Headers, HttpReply, RequestHead

log = structlog.get_logger(__name__)


class Connection(Protocol):
    """What an exchange needs of the connection it stands on."""

    transport: asyncio.Transport
    limits: Limits
    loop: asyncio.AbstractEventLoop
    peer: str
    peername: tuple[str, int] | None
    sockname: tuple[str, int] | None
    write_paused: bool
    stopping: bool

    def pause_reading(self) -> None:
        """Read no more for now."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    async def writable(self) -> None:
        """Wait until the client has taken enough."""
        ...

    def finished(self, exchange: HttpExchange) -> None:
        """The reply has ended well."""
        ...

    def aborted(self, exchange: HttpExchange) -> None:
        """The reply was cut."""
        ...


class HttpExchange:
    """One request of one client; implements the gateway's ``Exchange``.

    ``fields`` maps each header name to its first value; ``target`` is the request target as sent.
    """

    # State that most requests never change stands on the class: a fresh exchange then costs a
    # handful of stores.
    keep_alive = True
    """The connection may go on after the reply."""
    version = "1.1"
    declared: int | None = 0
    """The request's content-length, None for a chunked body."""
    gone = False
    """The client has gone away before the reply's end."""
    started = False
    over = False
    """The reply has ended, or was cut, or nobody is left to read it."""
    complete = False
    """The whole request body has arrived."""
    coding = b""
    """The coding of the request's body, where there is one."""
    expecting = False
    """The client waits for ``100 Continue`` before it sends the body."""
    extra = b""
    """Header lines for the reply that depend on the request (CORS)."""
    failure: Callable[[GatewayError], HttpReply] = staticmethod(problem)
    """How an error is rendered: by the door, once the request has found one."""
    refusal: GatewayError | None = None
    """Why the request is not to be served: its head is at fault."""
    twin: Twin | None = None
    """Its head, as far as the connection's next request may have the same."""

    work: asyncio.Task[None] | Work
    """What answers the request, from its turn on."""

    _taken = 0
    _waiting_bytes = 0
    _collecting = False
    _error: GatewayError | None = None
    _waiters: list[asyncio.Future[None]] | None = None
    _gone_calls: list[Callable[[], None]] | None = None
    _head: bytes | None = None
    _chunked = False
    _bodiless = False
    _unsent: int | None = None

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        fields: Mapping[bytes, bytes],
        target: bytes,
        request_id: str,
    ) -> None:
        self.head = head
        self.fields = fields
        self.target = target
        self.peer = connection.peer
        self.request_id = request_id
        self._connection = connection
        self._limit = connection.limits.body
        self._pieces: list[bytes] = []

    @property
    def client(self) -> tuple[str, int] | None:
        """The client's address and port."""
        return self._connection.peername

    @property
    def server(self) -> tuple[str, int] | None:
        """The address and port the client reached."""
        return self._connection.sockname

    # -- the request's body ------------------------------------------------------------------

    def arrived(self, limit: int) -> bytes | None:
        """The whole body if it is there and no larger than ``limit``; None: ask for ``body``."""
        size = self._waiting_bytes
        if self.over or not self.complete or self._error is not None or self._taken + size > limit:
            return None
        return None if self.coding else self._take()

    async def body(self, limit: int) -> bytes:
        """The whole body, decompressed.

        Raises BodyTooLarge, UnsupportedEncoding, ClientGone, or what is wrong with its framing.
        """
        if self.over:
            raise ClientGone
        if self.coding:
            check_coding(self.coding)
        if not self.complete or self._error is not None:
            await self._collect(limit)
        if self._taken + self._waiting_bytes > limit:
            raise too_large(limit)
        if self.coding:
            return decoded(self._take(), self.coding, min(limit, self._limit))
        return self._take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; reading pauses while the consumer does not ask."""
        while piece := await self.next_chunk():
            yield piece

    async def next_chunk(self) -> bytes:
        """All body bytes that have arrived and were not taken; waits for some; b"" at the end."""
        while not self._pieces and not self.complete and self._error is None:
            self._ask_for_body()
            await self._arrival()
        if self.over:
            raise ClientGone
        if self._error is not None:
            raise self._error
        piece = self._take()
        if self._taken > self._limit:
            self.fail(too_large(self._limit))
            raise too_large(self._limit)
        self._connection.resume_reading()
        return piece

    def any_size(self) -> None:
        """Take a body of any size: it will be read piece by piece."""
        self._limit = sys.maxsize

    @property
    def drained(self) -> bool:
        """The whole body has arrived and was taken."""
        return self.complete and not self._pieces

    @property
    def received(self) -> int:
        """Body bytes that have arrived so far."""
        return self._taken + self._waiting_bytes

    def feed(self, data: bytes) -> None:
        """Take body bytes from the connection; those nobody wants any more are dropped."""
        if self.over or self._error is not None:
            self._taken += len(data)
            return
        self._waiting_bytes += len(data)
        # Only who collects can be flooded: else the reading pauses, and ``next_chunk`` counts.
        if self._collecting and self.received > self._limit:
            self.fail(too_large(self._limit))
            return
        self._pieces.append(data)
        if self._waiters is not None:
            self._wake()
        if self._waiting_bytes > HIGH_WATER and not self._collecting:
            self._connection.pause_reading()

    def hold(self, body: bytes) -> None:
        """Take a body that came whole with the head."""
        self.declared = self._waiting_bytes = len(body)
        self._pieces.append(body)
        self.complete = True

    def ended(self) -> None:
        """The body has arrived as a whole."""
        self.complete = True
        if self._waiters is not None:
            self._wake()

    def fail(self, error: GatewayError) -> None:
        """The body cannot be had; who waits for it, or asks later, is told why."""
        self._error = error
        self._taken += self._waiting_bytes
        self._waiting_bytes = 0
        self._pieces.clear()
        self._wake()
        self._connection.resume_reading()

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._taken += self._waiting_bytes
        self._waiting_bytes = 0
        return data

    async def _collect(self, limit: int) -> None:
        self._limit = min(self._limit, limit)
        if self.declared is not None and self.declared > self._limit:
            raise too_large(self._limit)
        if self.received > self._limit:
            raise too_large(self._limit)
        self._collecting = True
        if not self.complete:
            self._ask_for_body()
        while self._error is None and not self.complete:
            await self._arrival()
        if self._error is not None:
            raise self._error

    def _ask_for_body(self) -> None:
        """Let the client send: it may wait for our word, or the connection may be paused."""
        if self.over:
            raise ClientGone
        if self.expecting:
            self.expecting = False
            if not self.received and not self.started:
                self._connection.transport.write(CONTINUE)
        self._connection.resume_reading()

    async def _arrival(self) -> None:
        await self._change()
        if self.over:
            raise ClientGone

    # -- the reply ---------------------------------------------------------------------------

    def start(self, status: int, headers: Headers) -> None:
        """Begin the reply; its head leaves with the first write, at the latest in this round.

        Fields that only the server sets are left out, whoever gives them.
        Raises ValueError for a header with a line break in it.
        """
        if self.over:
            return
        head, length = self._begin(status, tuple(headers))
        self._unsent = length
        if self.head.method == "HEAD" or status in BODILESS:
            self._bodiless = True
            self._unsent = None
        elif length is None:
            if self.version == "1.1":
                self._chunked = True
                head += b"transfer-encoding: chunked\r\n"
            else:  # the end of the connection is the end of the body
                self.keep_alive = False
        self._head = head + self._head_end()
        if self._chunked:  # an event may be long in coming: the head does not wait for it
            self._connection.loop.call_soon(self._flush)

    def _begin(self, status: int, headers: tuple[Header, ...]) -> tuple[bytes, int | None]:
        """Begin the reply; return its first lines and the length they declare."""
        if self.started:
            raise RuntimeError("the reply was started twice")
        text, length, closes = head_lines(status, headers)
        self.started = True
        if closes:
            self.keep_alive = False
        return text, length

    def _head_end(self) -> bytes:
        """The head's last lines: what depends on the connection, and on the request."""
        end = b"x-request-id: %b\r\n\r\n" % self.request_id.encode()
        if self.extra:
            end = self.extra + end
        if self.keep_alive and (
            self._connection.stopping or not (self.complete or self._can_swallow())
        ):
            self.keep_alive = False
        if not self.keep_alive:
            return b"connection: close\r\n" + end
        if self.version == "1.0":
            return b"connection: keep-alive\r\n" + end
        return end

    def write(self, data: bytes) -> None:
        """Send body bytes. Raises RuntimeError beyond a declared content-length."""
        if self.over or not data or self._bodiless:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self._unsent is not None:
            self._unsent -= len(data)
            if self._unsent < 0:
                self.abort()
                raise RuntimeError("the reply is longer than its content-length")
        if self._head is not None:
            data = self._head + data
            self._head = None
        self._connection.transport.write(data)

    @property
    def congested(self) -> bool:
        """Whether the client takes too little of what was written: ``drain`` before more."""
        return self._connection.write_paused

    async def drain(self) -> None:
        """Wait while the client takes too little; returns at once when it has gone."""
        if self._head is not None:
            self._flush()
        if self._connection.write_paused and not self.over:
            await self._connection.writable()

    def finish(self, last: bytes = b"") -> None:
        """End the reply well; its ``last`` bytes leave in one packet with the end.

        Raises RuntimeError where bytes of its content-length are missing.
        """
        if self.over:
            return
        if last and not self._chunked:
            self.write(last)
            last = b""
        if self._unsent:
            self.abort()
            raise RuntimeError("the reply is shorter than its content-length")
        tail = self._head or b""
        self._head = None
        if last:
            tail += b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last)
        elif self._chunked:
            tail += b"0\r\n\r\n"
        if tail:
            self._connection.transport.write(tail)
        self._end()
        self._connection.finished(self)

    def abort(self) -> None:
        """Cut the reply: what was written still leaves, an end that looks good does not."""
        if self.over:
            return
        if self._head is not None and self._chunked:
            self._flush()
        self._end()
        self._connection.aborted(self)

    def fail_with(self, error: GatewayError, *more: Header) -> None:
        """Answer with an error while nothing has left, else cut the reply."""
        if self.started:
            self.abort()
            return
        if error.status == 401:
            more = (*more, (b"www-authenticate", b"Bearer"))
        self.reply(self.failure(error), *more)

    def reply(self, reply: HttpReply, *more: Header) -> None:
        """Send a reply whose body is known whole, with more headers than it brings."""
        if self.over:
            return
        body, status = reply.body, reply.status
        head, _ = self._begin(status, (*reply.headers, *more))
        if status in BODILESS:
            whole = head + self._head_end()
        else:
            shown = b"" if self.head.method == "HEAD" else body
            whole = b"%bcontent-length: %d\r\n%b%b" % (head, len(body), self._head_end(), shown)
        self._connection.transport.write(whole)
        self._end()
        self._connection.finished(self)

    def _can_swallow(self) -> bool:
        """Whether the unread rest of the body is small enough to be dropped, then go on."""
        # A client told nothing by us may or may not send the body it announced with Expect.
        if self.expecting or self.declared is None:
            return False
        return self.declared - self.received <= self._connection.limits.swallow

    def _flush(self) -> None:
        head = self._head
        if head is not None and not self.over:
            self._head = None
            self._connection.transport.write(head)

    # -- the client's going away -------------------------------------------------------------

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once when the client goes away before the reply's end."""
        if self.gone:
            self._connection.loop.call_soon(callback)
        elif not self.over:
            if self._gone_calls is None:
                self._gone_calls = []
            self._gone_calls.append(callback)

    def lost(self) -> None:
        """The connection tells that the client has gone."""
        if self.over:
            return
        calls = self._gone_calls
        self.gone = True
        self._end()
        for call in calls or ():
            call()

    async def until_over(self) -> None:
        """Wait until the reply has ended or the client has gone."""
        while not self.over:
            await self._change()

    def _end(self) -> None:
        self.over = True
        self._head = None
        self._gone_calls = None
        if self._waiting_bytes:
            self._pieces.clear()
            self._taken += self._waiting_bytes
            self._waiting_bytes = 0
        if self._waiters is not None:
            self._wake()

    async def _change(self) -> None:
        """Wait for anything to happen: bytes, their end, an error, the end of the exchange."""
        waiter = self._connection.loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)


def too_large(limit: int) -> BodyTooLarge:
    """Return the error for a body of more than ``limit`` bytes."""
    return BodyTooLarge(
        f"The request body is larger than {limit} bytes, the most this gateway takes "
        "(CHATGPT_TO_API_MAX_BODY)."
    )
