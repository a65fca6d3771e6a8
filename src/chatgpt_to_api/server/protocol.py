"""What a client sends on its connection, read: bytes to exchanges.

This is a protocol class for uvicorn (``http=``). Every request becomes an ``HttpExchange``;
requests for the programs behind ASGI get their scope and messages there (``asgi.py``), the doors
never see any.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
import structlog

from chatgpt_to_api.by_hand import Work
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.server.connection import (
    BODY,
    HEAD,
    IDLE,
    ClientConnection,
    Front,
    ServerState,
    TooManyAhead,
)
from chatgpt_to_api.server.exchange import HttpExchange
from chatgpt_to_api.server.request_head import (
    head_size,
    head_too_large,
    repeated,
    split_target,
    without_offer,
)
from chatgpt_to_api.server.twins import Twin, remember
from chatgpt_to_api.wire.http import Header, RequestHead

log = structlog.get_logger(__name__)

STRANGERS: Final = 8
"""After how many heads in a row that never came again no more are remembered."""


class HttpProtocol(ClientConnection):
    """A connection of one client, both halves: this one takes its bytes apart."""

    __slots__ = (
        "_barren",
        "_head_bytes",
        "_headers",
        "_lingered_bytes",
        "_read_size",
        "_strangers",
        "_twin",
        "_unread",
        "_upgrading",
        "_url",
    )

    def __init__(
        self, front: Front, state: ServerState, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(front, state, loop)
        self._parser = _parser_for(self)
        self._url = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._barren = 0  # bytes of a body's framing and trailers since the last one of body
        self._read_size = 0
        self._upgrading = False
        self._twin: Twin | None = None
        self._strangers = 0  # heads remembered since one was met again
        self._unread = b""  # a read whose first byte begins a request, until that is whole
        self._lingered_bytes = 0

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
            self._barren += size
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
            self._barren += size
        self._unread = data if self._phase == IDLE else b""
        if self._queue:
            self._ahead += size
            if self._ahead > self.limits.ahead:
                self.pause_reading()
        parser = self._parser
        if parser is None:
            return
        self._read_size = size
        rest: bytes | None = None  # what follows a head that offers a change of the protocol
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, TooManyAhead):
                log.exception("reading a request failed", peer=self.peer)
            self.cut()
        except httptools.HttpParserError as error:
            self._malformed(f"The request is not valid HTTP: {error}.")
        else:
            # The parser holds a trailer until it is whole, and copies it for each piece.
            if self._barren > self.limits.head and self._phase == BODY:
                self._malformed("The request's body is followed by trailers without end.")
        # Not inside the handler: there each error in what follows would bear all before it.
        if rest is not None and self._upgrading:
            self._replay(rest)

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
        self._barren = 0
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
        coding = fields.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            exchange.coding = coding.lower()
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
            and not exchange.coding
            and self._strangers < STRANGERS
            and url in self._front.targets
        ):
            self._strangers += 1
            exchange.twin = self._twin = remember(self._unread, exchange.head, fields, url)
        self._receiving = exchange
        self._queue_up(exchange)

    def on_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        self._barren = 0
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

    def _malformed(self, why: str) -> None:
        """What came is not HTTP: a bad head is refused, a bad body fails who reads it."""
        refusal = InvalidRequest(why)
        exchange = self._receiving
        if self._phase == BODY and exchange is not None:
            self._parser = None
            exchange.keep_alive = False
            exchange.fail(refusal)
        else:
            self._refuse(refusal)


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
