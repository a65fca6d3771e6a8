"""One connection to an upstream: a request out, its reply in, then the next.

What one read from the socket held of the body is joined, handed to the Reply, and its reader is
woken once, however many chunks that were.
"""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from chatgpt_to_api.transport.errors import ConnectionBroken, ProtocolViolation, TransportError
from chatgpt_to_api.transport.reply import MAX_BUFFERED, Reply
from chatgpt_to_api.transport.twins import Twins
from chatgpt_to_api.wire.http import Header, ReplyHead
from chatgpt_to_api.wire.inflate import CODINGS, Inflater

MAX_HEAD: Final = 64 * 1024  # bytes without any body among them: a head, or trailers
MAX_HEADERS: Final = 200
LINGER: Final = 1.0  # seconds
_JOINED: Final = 64 * 1024  # bytes of body up to which one copy is cheaper than a second buffer

_NO_BODY: Final = frozenset({204, 304})
_NOTED: Final = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})


class Keeper(Protocol):
    """The pool a connection belongs to."""

    name: str
    twins: Twins

    def opened(self, connection: Connection) -> None:
        """It has a transport, which has to be closed one day."""
        ...

    def free(self, connection: Connection) -> None:
        """Its reply is whole and it can carry another."""
        ...

    def lost(self, connection: Connection) -> None:
        """Nothing more can be sent on it."""
        ...

    def closed(self, connection: Connection) -> None:
        """Its socket is closed."""
        ...

    def expect(self, when: float) -> None:
        """Something is due at loop time ``when``."""
        ...


class _StopParsing(Exception):
    """Raised inside a parser callback to make it leave the rest alone."""


class Connection(asyncio.Protocol):
    """The protocol of one socket; carries one reply at a time."""

    __slots__ = (
        "_barren",
        "_body",
        "_bulky",
        "_can_write",
        "_complete",
        "_head_only",
        "_headers",
        "_interim",
        "_keep",
        "_keeper",
        "_loop",
        "_noted",
        "_parser",
        "_refusal",
        "_twins",
        "idle_since",
        "name",
        "on_body",
        "paused",
        "reply",
        "sending",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper) -> None:
        self._loop = loop
        self._keeper = keeper
        self._twins = keeper.twins
        self.name = keeper.name
        self.transport: asyncio.Transport | None = None
        self.reply: Reply | None = None
        """What is coming in; None while idle."""
        self.paused = False
        self.idle_since = 0.0
        self._body: list[bytes] = []  # pieces of the body in one read
        self.on_body = self._body.append  # for the parser; no Python code runs for a chunk
        self._parser = HttpResponseParser(self)
        self._headers: list[Header] = []
        self._noted: list[Header] = []  # those of _headers that say how the body comes
        self._barren = 0  # bytes read since the last one of body
        self._interim = False
        self._complete = False
        self._keep = False
        self._refusal = ""
        # These two stay once set: no harm is done, and there is less to clear for each request.
        self._head_only = False
        self._bulky = False
        self.sending = False
        """A body that is sent piece by piece has not come to its end."""
        self._can_write: asyncio.Future[None] | None = None

    # What the client, the reply and the watch ask of it

    @property
    def usable(self) -> bool:
        """Whether a request can be sent, as far as is known."""
        return self.transport is not None and not self.transport.is_closing()

    def begin(self, reply: Reply, method: bytes, head: bytes, body: bytes) -> None:
        """Send a request, head and body in one write; ``reply`` takes what comes back."""
        self.reply = reply
        self._complete = False
        self._barren = 0
        if self._headers:  # trailers of the last reply
            self._headers, self._noted = [], []
        if method == b"HEAD":
            self._head_only = True
        assert self.transport is not None
        if len(body) <= _JOINED:
            self.transport.write(head + body)
        else:
            self._bulky = True
            self.transport.writelines((head, body))

    async def send(self, data: bytes) -> None:
        """Send a piece of a body; return when the socket has room for the next one.

        What is sent on a connection that is gone is lost: its reply knows.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._bulky = True
        transport.write(data)
        if self._can_write is not None:
            await self._can_write

    def give_up(self, error: TransportError) -> None:
        """Break the connection; the reply it carries fails with ``error``."""
        reply = self.reply
        self.reply = None
        self.abort()
        if reply is not None:
            reply.fail(error)

    def linger(self) -> None:
        """Nobody reads the reply any more: give its end LINGER to come, and no more."""
        self.hurry(LINGER)
        if self.paused:
            self.resume()

    def hurry(self, seconds: float) -> None:
        """Bring the reply's deadline forward to so many seconds from now, where it is later."""
        reply = self.reply
        assert reply is not None
        reply.deadline = min(reply.deadline, self._loop.time() + seconds)
        self._keeper.expect(reply.deadline)

    def resume(self) -> None:
        """Read from the socket again."""
        self.paused = False
        if self.transport is not None:
            self.transport.resume_reading()

    def close(self) -> None:
        """Close an idle connection politely."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._keeper.lost(self)
        if self.transport is not None:
            self.transport.abort()

    # What the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; after a tunnel, the one that speaks TLS through it."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._keeper.opened(self)

    def pause_writing(self) -> None:
        """The upstream takes too little: ``send`` waits."""
        self._can_write = self._loop.create_future()

    def resume_writing(self) -> None:
        """The upstream has taken enough."""
        waiter, self._can_write = self._can_write, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Parse what came and wake the reader once for all of it."""
        reply = self.reply
        if reply is None:
            # Nobody asked: an answer kept for the next request would be the wrong one.
            self.abort()
            return
        headed = reply.headed
        if not headed and not self._barren:
            known = self._twins.read(data)
            if known is not None and not self._head_only:
                reply.head, whole = known
                reply.headed = self._keep = True
                if whole:
                    reply.parts.append(whole)
                self._settle(reply)
                return
        self._barren += len(data)
        violation = ""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self._complete:
                self._keep = False  # the reply is whole, what follows it is not ours
            else:
                violation = self._refusal or f"broke HTTP: {error}"
        body = self._body
        if body:
            reply.parts.append(body[0] if len(body) == 1 else b"".join(body))
        if self._complete:
            body.clear()
            in_one_read = not headed and self._barren == len(data)
            if in_one_read and self._keep and reply.head.status not in _NO_BODY:
                self._twins.learn(data, reply.head)
            self._settle(reply)
        elif violation:
            self._violated(violation)
        elif body:
            body.clear()
            self._barren = 0
            if reply.sink is not None:
                reply.pour(reply.sink)
                return
            reply.size += len(data)
            if reply.size > MAX_BUFFERED:
                self._hold_back(reply)
            reply.wake()
        elif reply.headed and not headed:
            reply.wake()
        elif self._barren > MAX_HEAD:
            self._violated(f"sent more than {MAX_HEAD} bytes of headers")
        else:
            reply.since = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reply: well, if the close is what ends it, else broken."""
        reply = self.reply
        self.reply = None
        self.transport = None
        self.resume_writing()
        self._keeper.lost(self)
        self._keeper.closed(self)
        del self._parser  # it holds our methods, we hold it
        if reply is None:
            return
        if exc is None and not reply.framed:
            reply.whole()
        else:
            reply.fail(self._broken(reply, exc))

    # What the parser tells it

    def on_message_begin(self) -> None:
        """Refuse a second reply to one request."""
        if self._complete:
            raise _StopParsing

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field; note those that say how the body comes."""
        field = (name.lower(), value.strip())
        self._headers.append(field)
        if field[0] in _NOTED:
            self._noted.append(field)

    def on_headers_complete(self) -> None:
        """Publish the head and wake the sender, or pass over an interim head."""
        headers, noted = self._headers, self._noted
        self._headers, self._noted = [], []  # trailers go there: begin() drops them
        status = self._parser.get_status_code()
        if len(headers) > MAX_HEADERS:
            self._refuse(f"sent more than {MAX_HEADERS} headers")
        if self._barren > MAX_HEAD:  # it may be body that came in the same read
            size = sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MAX_HEAD:
                self._refuse(f"sent more than {MAX_HEAD} bytes of headers")
        if status < 200:
            if status < 100 or status == 101:
                self._refuse(f"answered with status {status}, which was not asked for")
            self._interim = True
            return
        reply = self.reply
        assert reply is not None
        bodiless = self._head_only or status in _NO_BODY
        if len(noted) != 1 or noted[0][0] != b"content-length":
            headers = self._frame(reply, headers, noted, bodiless)
        reply.head = ReplyHead(status, headers)
        reply.headed = True
        if self._head_only:
            # The parser does not know that no body follows; such a connection is not used again.
            self._complete = True
            self._keep = False
            raise _StopParsing

    def on_message_complete(self) -> None:
        """Note the end; only here does the parser know whether the connection stays open."""
        if self._interim:
            self._interim = False
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    # Its own steps

    def _frame(
        self, reply: Reply, headers: list[Header], noted: list[Header], bodiless: bool
    ) -> list[Header]:
        """Find out how the body comes, where that is not simply with a length."""
        length = transfer = coding = None
        for name, value in noted:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                transfer = value.lower() if transfer is None else b"twice"
            else:
                coding = value.lower() if coding is None else b"twice"
        if transfer is not None and transfer != b"chunked":
            self._refuse("sent a transfer-encoding that was not asked for")
        reply.framed = bodiless or length is not None or transfer is not None
        if bodiless or length == b"0" or coding is None or coding in (b"identity", b""):
            return headers
        if coding not in CODINGS:
            shown = coding[:20].decode("latin-1")
            self._refuse(f"sent a body in content-encoding {shown!r}, which was not asked for")
        reply.inflater = Inflater(coding)
        gone = (b"content-encoding", b"content-length")
        return [field for field in headers if field[0] not in gone]

    def _settle(self, reply: Reply) -> None:
        """The reply is whole: part from it, and be free for the next."""
        self.reply = None
        transport = self.transport
        assert transport is not None
        if self.sending or (self._bulky and transport.get_write_buffer_size()):
            # It answered before it had read all: it is not listening for a next request.
            self.abort()
        elif self._keep:
            self._keeper.free(self)
        else:
            self._keeper.lost(self)
            transport.close()
        reply.whole()  # at last: who waits for it may go on at once, even on this connection

    def _hold_back(self, reply: Reply) -> None:
        """Stop reading while nobody takes what is there; wait no longer where nobody will."""
        assert self.transport is not None
        if reply.closed:
            self.abort()
        elif not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def _refuse(self, why: str) -> NoReturn:
        self._refusal = why
        raise _StopParsing

    def _violated(self, what: str) -> None:
        self.give_up(ProtocolViolation(f"{self.name} {what}", sent_anything=True))

    def _broken(self, reply: Reply, exc: Exception | None) -> ConnectionBroken:
        how = "reset the connection" if isinstance(exc, OSError) else "closed the connection"
        if reply.headed:
            where = "in the middle of its reply"
        elif self._barren:
            where = "in the middle of its reply's head"
        else:
            where = "without an answer"
        error = ConnectionBroken(f"{self.name} {how} {where}", sent_anything=True)
        error.answered = reply.headed or self._barren > 0
        return error
