"""One client connection: bytes to exchanges, in order, one answered at a time.

This is a protocol class for uvicorn (``http=``). Every request becomes an ``HttpExchange`` and one
task; requests for the programs behind ASGI get their scope and messages there (``asgi.py``), the
doors never see any. The end of the client's stream counts as its going away, at once and in every
phase, as in nginx: an HTTP client that still wants its answer keeps its side open.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol

import httptools
import structlog

from chatgpt_to_api.by_hand import Work
from chatgpt_to_api.errors import (
    GatewayError,
    InvalidRequest,
    RequestTimeout,
    Unavailable,
)
from chatgpt_to_api.gateway.exchange import ClientGone
from chatgpt_to_api.server.exchange import HttpExchange
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.request_head import (
    head_size,
    head_too_large,
    repeated,
    split_target,
    without_offer,
)
from chatgpt_to_api.server.request_ids import RequestIds
from chatgpt_to_api.server.roster import Roster, hung_up
from chatgpt_to_api.server.twins import Twin, remember
from chatgpt_to_api.wire.http import Header, RequestHead

log = structlog.get_logger(__name__)

IDLE, HEAD, BODY = range(3)
"""What of a request is being received: nothing yet, its head, its body."""

STRANGERS: Final = 8
"""After how many heads in a row that never came again no more are remembered."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Front(Protocol):
    """What all connections of one server share, and who answers their requests."""

    limits: Limits
    roster: Roster
    ids: RequestIds
    targets: Mapping[bytes, tuple[str, bytes]]
    """Usual request targets, already taken apart."""

    def answer(self, exchange: HttpExchange) -> Awaitable[None]:
        """Answer one request, whatever it is."""
        ...


class ServerState(Protocol):
    """What uvicorn's server watches at a stop."""

    connections: set[Any]
    tasks: set[asyncio.Task[None]]


class HttpProtocol(asyncio.Protocol):
    """A connection of one client."""

    __slots__ = (
        "_active",
        "_age",
        "_ahead",
        "_descriptor",
        "_front",
        "_head_bytes",
        "_headers",
        "_lingered",
        "_lingered_bytes",
        "_lingering",
        "_parser",
        "_phase",
        "_queue",
        "_read_size",
        "_receiving",
        "_stalled",
        "_state",
        "_strangers",
        "_twin",
        "_unread",
        "_unsent",
        "_upgrading",
        "_url",
        "_writers",
        "limits",
        "loop",
        "peer",
        "peername",
        "read_paused",
        "sockname",
        "stopping",
        "transport",
        "write_paused",
    )

    transport: asyncio.Transport

    def __init__(
        self, front: Front, state: ServerState, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.peer = ""
        self.peername: tuple[str, int] | None = None
        self.sockname: tuple[str, int] | None = None
        self.stopping = False
        self.write_paused = False
        self._front = front
        self.limits = front.limits
        self._state = state
        self._parser: httptools.HttpRequestParser | None = _parser_for(self)
        self._descriptor = -1
        # what is being received
        self._phase = IDLE
        self._url = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._read_size = 0
        self._upgrading = False
        self._receiving: HttpExchange | None = None
        self._twin: Twin | None = None
        self._strangers = 0  # heads remembered since one was met again
        self._unread = b""  # a read whose first byte begins a request, until that is whole
        self.read_paused = False
        # what is being answered, and what waits for its turn
        self._active: HttpExchange | None = None
        self._queue: deque[HttpExchange] = deque()
        self._ahead = 0
        # who waits, and for how long already
        self._writers: list[asyncio.Future[None]] = []
        self._age = 0
        self._unsent = 0
        self._stalled = 0
        self._lingering = False
        self._lingered = 0
        self._lingered_bytes = 0

    # -- the connection ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Welcome a client, unless its address has too many connections already."""
        self.transport = transport
        self.peername = _address(transport.get_extra_info("peername"))
        self.sockname = _address(transport.get_extra_info("sockname"))
        self.peer = self.peername[0] if self.peername else ""
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._state.connections.add(self)
        if not self._front.roster.join(self, self.peer, self.loop):
            self._refuse(
                Unavailable("There are too many open connections from your address.", retry_after=1)
            )

    def eof_received(self) -> None:
        """The client's stream has ended: it is gone. The transport closes itself after this."""
        active = self._active
        if active is not None:
            self._lost()
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is closed, by whomever."""
        self._state.connections.discard(self)
        self._front.roster.leave(self, self.peer)
        self._lost()
        self._parser = None

    def _lost(self) -> None:
        """Tell everybody on this connection that the client is gone."""
        active, self._active = self._active, None
        self._queue.clear()
        self._receiving = None
        self._parser = None
        if active is not None:
            active.lost()
        self.write_paused = False
        self._wake_writers()

    def shutdown(self) -> None:
        """The server stops: close if nothing is asked, else after the running reply."""
        self.stopping = True
        active = self._active
        if active is not None and isinstance(active.work, Work):
            active.work.become_task()  # which the server waits for
        if self._active is None and self._phase == IDLE and not self._lingering:
            self.transport.close()

    def cut(self) -> None:
        """The server's patience is over: close, whatever is going on."""
        self._lost()
        self.transport.abort()

    # -- bytes in ----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        twin = self._twin
        if (
            twin is not None
            and self._active is None
            and self._phase == IDLE
            and self._parser is not None
            and not self._lingering
            and not self.stopping
        ):
            body = twin.body(data)
            if body is not None and len(body) <= self.limits.body:
                self._repeat(twin, body)
                return
        size = len(data)
        if self._lingering:
            self._age = 0
            self._lingered_bytes += size
            if self._lingered_bytes > self.limits.linger_bytes:
                self.transport.abort()
                return
        elif self._phase == HEAD:
            self._head_bytes += size
            if self._head_bytes > self.limits.head:
                self._refuse(head_too_large(self.limits))
                return
        else:
            self._age = 0
        self._unread = data if self._phase == IDLE else b""
        if self._queue:
            self._ahead += size
            if self._ahead > self.limits.ahead:
                self.pause_reading()
        parser = self._parser
        if parser is None:
            return
        self._read_size = size
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrading:
                self._replay(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _TooManyAhead):
                log.exception("reading a request failed", peer=self.peer)
            self.cut()
        except httptools.HttpParserError as error:
            self._malformed(error)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._phase = HEAD
        self._age = 0
        self._head_bytes = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer after a chunked body, which nobody reads."""
        if self._phase == HEAD:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: the request can be answered, its body comes as it comes."""
        parser = self._parser
        headers = self._headers
        self._phase = BODY
        if parser is None:  # in the same bytes, behind a request whose reply closes
            return
        fields = dict(headers)
        method = parser.get_method()
        if (b"upgrade" in fields or method == b"CONNECT") and parser.should_upgrade():
            self._upgrading = True
            return
        refusal: GatewayError | None = None
        if len(fields) != len(headers):
            fields = dict(reversed(headers))  # the first of equals counts
            refusal = repeated(headers)
        limits = self.limits
        if len(headers) > limits.fields or (
            self._read_size + self._head_bytes > limits.head
            and head_size(self._url, headers) > limits.head
        ):
            refusal = head_too_large(limits)
        keep_alive = parser.should_keep_alive()
        version = "1.1"
        if not keep_alive or b"connection" in fields:
            version = parser.get_http_version()
            if version not in ("1.0", "1.1"):
                refusal = InvalidRequest(f"HTTP/{version} is not spoken here, HTTP/1.1 is.")
        if version == "1.1" and b"host" not in fields:
            refusal = refusal or InvalidRequest("The request has no Host header.")
        url = self._url
        path, query = self._front.targets.get(url) or split_target(url)
        exchange = HttpExchange(
            self,
            RequestHead(method.decode(), path, query, headers),
            fields,
            url,
            self._front.ids.next(),
        )
        if not keep_alive:
            exchange.keep_alive = False
        if version != "1.1":
            exchange.version = version
        length = fields.get(b"content-length")
        if length is not None:
            exchange.declared = int(length)
        elif b"transfer-encoding" in fields:
            exchange.declared = None
            if fields[b"transfer-encoding"].lower() != b"chunked":
                refusal = InvalidRequest("Of transfer encodings, only chunked is read here.")
        if b"expect" in fields and fields[b"expect"].lower() == b"100-continue":
            exchange.expecting = version == "1.1"
        if refusal is not None:
            exchange.refusal = refusal
            exchange.keep_alive = False
        elif (
            self._unread
            and length is not None
            and keep_alive
            and version == "1.1"
            and not exchange.expecting
            and self._strangers < STRANGERS
            and url in self._front.targets
        ):
            self._strangers += 1
            exchange.twin = self._twin = remember(self._unread, exchange.head, fields, url)
        self._receiving = exchange
        self._queue_up(exchange)

    def on_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        exchange = self._receiving
        if exchange is not None:
            exchange.feed(data)

    def on_message_complete(self) -> None:
        """The request is whole; another may follow in the same bytes."""
        self._phase = IDLE
        self._unread = b""
        if self._upgrading:
            return
        exchange = self._receiving
        if exchange is not None:
            self._receiving = None
            exchange.ended()
        if self._lingering:
            self._parser = None
            self.transport.close()

    def _repeat(self, twin: Twin, body: bytes) -> None:
        """Begin a request that has the last one's head."""
        self._age = 0
        self._strangers = 0
        exchange = HttpExchange(self, twin.head, twin.fields, twin.target, self._front.ids.next())
        exchange.twin = twin
        exchange.hold(body)
        self._active = exchange
        work = Work(self.loop, self._run(exchange), exchange.request_id, self._state.tasks)
        exchange.work = work
        work.go_on()

    def _replay(self, rest: bytes) -> None:
        """Go on without the protocol change a client offered: we may ignore it, and do.

        The parser stops at such a head and drops the body. So the same head is read again by a
        fresh parser, without the offer. (HTTP clients that try h2c first are common.)
        """
        self._upgrading = False
        assert self._parser is not None
        method = self._parser.get_method()
        self._parser = _parser_for(self)
        if method == b"CONNECT":
            self._refuse(InvalidRequest("This is not a proxy: CONNECT is refused."))
            return
        self._phase = IDLE
        self.data_received(without_offer(method, self._url, self._headers) + rest)

    # -- requests in their order -------------------------------------------------------------

    def _queue_up(self, exchange: HttpExchange) -> None:
        if self._active is None:
            self._begin(exchange)
        elif len(self._queue) < self.limits.requests_ahead:
            self._queue.append(exchange)
        else:
            raise _TooManyAhead

    def _begin(self, exchange: HttpExchange) -> None:
        self._active = exchange
        # One task owns the whole request. It is also what a server that stops waits for.
        # (A repeated head's request begins by hand instead, and gets a task where it needs one.)
        task = asyncio.Task(self._run(exchange), loop=self.loop, name=exchange.request_id)
        exchange.work = task
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _run(self, exchange: HttpExchange) -> None:
        """The outer edge of a request: whatever happens inside, the client gets an end."""
        try:
            await self._front.answer(exchange)
            if not exchange.over:
                log.error("a request was left unanswered", request_id=exchange.request_id)
                exchange.fail_with(GatewayError("The gateway gave no answer to this request."))
        except ClientGone:
            pass
        except GatewayError as error:
            exchange.fail_with(error)
        except asyncio.CancelledError:
            exchange.keep_alive = False
            exchange.fail_with(Unavailable("The gateway is stopping.", retry_after=5))
            raise
        except Exception:  # the outer edge of the request's task
            log.exception("a request failed", request_id=exchange.request_id)
            exchange.fail_with(
                GatewayError(
                    "The gateway failed on this request; its log has the reason under "
                    f"request id {exchange.request_id}."
                ),
            )
        finally:
            if not exchange.over:  # not even the error could be told
                exchange.abort()

    def finished(self, exchange: HttpExchange) -> None:
        """A reply has ended well: answer the next request, wait for one, or close."""
        self._active = None
        self._age = 0
        if not exchange.keep_alive or self.stopping:
            self._close_after(exchange)
        elif self._queue:
            following = self._queue.popleft()
            if not self._queue:
                self._ahead = 0
            self._begin(following)
        if self.read_paused:
            self.resume_reading()

    def aborted(self, exchange: HttpExchange) -> None:
        """A reply was cut: no further byte may make it look whole."""
        self._active = None
        self._parser = None
        transport = self.transport
        if exchange.started and exchange.version == "1.0":
            # Without chunks only a reset tells a cut reply from a whole one.
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        if self.write_paused:
            transport.abort()
        else:
            transport.close()

    def _close_after(self, exchange: HttpExchange) -> None:
        """Close once the client has had its chance to read the reply.

        Closing on a client that still sends resets the connection and destroys the reply on its
        way. So only our side is closed, and what still comes is read and dropped, within bounds.
        """
        still_sending = not exchange.complete or self._queue or self._phase != IDLE
        self._queue.clear()
        if not still_sending:
            self._parser = None
            self.transport.close()
            return
        if exchange.complete:
            self._parser = None
        self._lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse(self, error: GatewayError) -> None:
        """Answer something that never became a request, in its turn, and close.

        Nothing after it is read as HTTP: where a next request would begin is unknown.
        """
        self._parser = None
        self._phase = IDLE
        exchange = HttpExchange(self, RequestHead("", "", b"", ()), {}, b"", self._front.ids.next())
        exchange.keep_alive = False
        exchange.declared = None
        exchange.refusal = error
        self._queue_up(exchange)

    def _malformed(self, error: httptools.HttpParserError) -> None:
        """What came is not HTTP: a bad head is refused, a bad body fails who reads it."""
        refusal = InvalidRequest(f"The request is not valid HTTP: {error}.")
        exchange = self._receiving
        if self._phase == BODY and exchange is not None:
            self._parser = None
            exchange.keep_alive = False
            exchange.fail(refusal)
        else:
            self._refuse(refusal)

    # -- flow control ------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Read no more until somebody takes what was read."""
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.read_paused and self._ahead <= self.limits.ahead:
            self.read_paused = False
            self._age = 0
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The client takes too little: writers wait in ``writable``."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.write_paused = False
        self._wake_writers()

    async def writable(self) -> None:
        """Wait until more may be written."""
        waiter = self.loop.create_future()
        self._writers.append(waiter)
        await waiter

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for waiter in writers:
            if not waiter.done():
                waiter.set_result(None)

    # -- time --------------------------------------------------------------------------------

    def on_tick(self) -> None:
        """A tick has passed: end what has taken too long."""
        self._age += 1
        limits, age, active = self.limits, self._age, self._active
        if self._takes_nothing() or (
            self.read_paused and active is not None and hung_up(self._descriptor)
        ):
            self.cut()
        elif self._lingering:
            self._lingered += 1
            if age > limits.ticks(limits.linger_silence) or self._lingered > limits.ticks(
                limits.linger
            ):
                self.transport.abort()
        elif self._phase == HEAD:
            if active is None and age > limits.ticks(limits.head_time):
                self._refuse(
                    RequestTimeout(f"No whole request came within {limits.head_time:g} s.")
                )
        elif self._phase == BODY:
            if not self.read_paused and age > limits.ticks(limits.silence):
                self._body_stopped()
        elif active is None and age > limits.ticks(limits.idle):
            self.transport.close()

    def _takes_nothing(self) -> bool:
        """Whether the client has taken no byte of what waits for it for too long."""
        # While a reply may still grow, the amount that waits says nothing about progress.
        if not self.write_paused and self._active is not None:
            return False
        unsent = self.transport.get_write_buffer_size()
        self._stalled = self._stalled + 1 if 0 < self._unsent <= unsent else 0
        self._unsent = unsent
        return self._stalled > self.limits.ticks(self.limits.stall)

    def _body_stopped(self) -> None:
        exchange = self._receiving
        if exchange is None or exchange.over:
            self.transport.abort()
        elif exchange is self._active:
            self._age = 0
            exchange.keep_alive = False
            exchange.fail(
                RequestTimeout(
                    f"Nothing more of the request body came for {self.limits.silence:g} s."
                )
            )


class _TooManyAhead(Exception):
    """A client sends requests faster than any honest one could want answers."""


def protocol_for(front: Front) -> type[HttpProtocol]:
    """Return the protocol class to hand to uvicorn: its connections share ``front``."""

    class Bound(HttpProtocol):
        __slots__ = ()

        def __init__(
            self,
            config: object,  # noqa: ARG002  # uvicorn's way to make a protocol
            server_state: ServerState,
            app_state: dict[str, Any],  # noqa: ARG002
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(front, server_state, _loop)

    return Bound


def _parser_for(protocol: HttpProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # A client may send more after a request that closes; it is dropped, and its answer arrives.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _address(name: object) -> tuple[str, int] | None:
    if isinstance(name, tuple | list) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return None
