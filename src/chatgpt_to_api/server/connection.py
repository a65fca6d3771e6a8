"""A client's connection: its requests answered in their order, one at a time, and how it ends.

What a request looks like in bytes is the reading half's business (``protocol.py``); here it becomes
one task, waits for its turn, and the connection goes on or closes after its reply. The end of the
client's stream counts as its going away, at once and in every phase, as in nginx: an HTTP client
that still wants its answer keeps its side open.
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
from chatgpt_to_api.errors import GatewayError, RequestTimeout, Stopping, Unavailable
from chatgpt_to_api.gateway.exchange import ClientGone
from chatgpt_to_api.server.exchange import HttpExchange
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.request_ids import RequestIds
from chatgpt_to_api.server.roster import Roster, hung_up
from chatgpt_to_api.wire.http import RequestHead

log = structlog.get_logger(__name__)

IDLE, HEAD, BODY = range(3)
"""What of a request is being received: nothing yet, its head, its body."""

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


class ClientConnection(asyncio.Protocol):
    """The answering half of one client's connection."""

    __slots__ = (
        "_active",
        "_age",
        "_ahead",
        "_descriptor",
        "_front",
        "_lingered",
        "_lingering",
        "_parser",
        "_phase",
        "_queue",
        "_receiving",
        "_stalled",
        "_state",
        "_unsent",
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
        self._descriptor = -1
        # what is being received, as far as it matters to who is answered
        self._parser: httptools.HttpRequestParser | None = None  # nothing is read without it
        self._phase = IDLE
        self._receiving: HttpExchange | None = None
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

    # -- requests in their order -------------------------------------------------------------

    def _queue_up(self, exchange: HttpExchange) -> None:
        if self._active is None:
            self._begin(exchange)
        elif len(self._queue) < self.limits.requests_ahead:
            self._queue.append(exchange)
        else:
            raise TooManyAhead

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
            exchange.fail_with(Stopping())
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


class TooManyAhead(Exception):
    """A client sends requests faster than any honest one could want answers."""


def _address(name: object) -> tuple[str, int] | None:
    if isinstance(name, tuple | list) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return None
