"""One connection fed by hand: any chunking of a reply means the same, and no bytes crash it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.transport.connection import MAX_HEAD, Connection
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.transport.reply import Reply
from chatgpt_to_api.transport.twins import STRANGERS, Twins
from support.raw_server import chunked, http_reply

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
COMPRESSED = gzip.compress(b"some text " * 50, mtime=0)

RECORDED = {
    "length": http_reply(b'{"object": "chat.completion"}', b"Content-Type: application/json"),
    "empty": http_reply(),
    "chunks": CHUNKED + chunked(b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"),
    "extensions": CHUNKED + b'5;a=b;c="d e"\r\nhello\r\n000;last\r\n\r\n',
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n",
    "until close": b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it",
    "interim": b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + http_reply(b"ok"),
    "no content": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx",
    "close": http_reply(b"bye", b"Connection: close"),
    "gzip": http_reply(COMPRESSED, b"Content-Encoding: gzip"),
    "gzip chunks": CHUNKED[:-2] + b"content-encoding: gzip\r\n\r\n" + chunked(COMPRESSED),
    "deflate": http_reply(zlib.compress(b"x" * 999), b"Content-Encoding: deflate"),
    "gzip cut": http_reply(COMPRESSED[:-1], b"Content-Encoding: gzip"),
    "no gzip": http_reply(b"hello, this is text", b"Content-Encoding: gzip"),
    "brotli": http_reply(b"??", b"Content-Encoding: br"),
    "cut body": http_reply(b"12345")[:-1],
    "cut chunks": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nX-A: b\r\n",
    "nothing": b"",
    "extra reply": http_reply(b"one") + http_reply(b"two"),
    "extra bytes": http_reply(b"one") + b"\r\n\r\n?",
    "bad chunk": CHUNKED + b"5\r\nhello\r\nxyz\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "no http": b"220 mail.example ESMTP\r\n",
    "upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
}  # fmt: skip


# Here a connection's coming back depends on timing, rightly: bytes behind a reply can meet it idle,
# and a body can turn out to be no gzip before or after its last byte has come.
FATE_DEPENDS = ("extra reply", "extra bytes", "no gzip")


class Wire(asyncio.Transport):
    """The loop's side of a connection: remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Shelf:
    """The pool's side of a connection: remembers whether it came back."""

    name = "http://upstream"

    def __init__(self, twins: Twins | None = None) -> None:
        self.came_back = False
        self.twins = twins or Twins()

    def opened(self, connection: Connection) -> None: ...

    def free(self, connection: Connection) -> None:
        self.came_back = True

    def lost(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def expect(self, when: float) -> None: ...


async def outcome(pieces: list[bytes], twins: Twins | None = None) -> tuple[object, ...]:
    """Everything a caller can tell of a reply that comes in ``pieces`` and then the close.

    ``twins``: what the site has seen of replies before.
    """
    loop = asyncio.get_running_loop()
    wire, shelf = Wire(), Shelf(twins)
    connection = Connection(loop, shelf)
    connection.connection_made(wire)
    reply = Reply(loop, connection, 1.0, 1.0, 0.0)
    connection.begin(reply, b"GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    reading = asyncio.ensure_future(_read(reply))
    for piece in pieces:
        if wire.closing:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)  # the reader takes what there is before the next piece comes
    connection.connection_lost(None)
    body, error = await reading
    if not reply.headed:
        return error, shelf.came_back
    return reply.head, reply.framed, body, error, shelf.came_back


async def _read(reply: Reply) -> tuple[bytes, str | None]:
    body = b""
    if reply.waiter is not None:
        await reply.waiter
    try:
        while data := await reply.read():
            body += data
    except TransportError as error:
        return body, f"{type(error).__name__}: {error}"
    return body, None


@pytest.mark.parametrize("name", RECORDED)
async def test_byte_by_byte_means_the_same_as_at_once(name: str) -> None:
    """A reply that comes one byte at a time has the outcome of one that comes in one packet."""
    raw = RECORDED[name]
    at_once = await outcome([raw])
    bytewise = await outcome([raw[i : i + 1] for i in range(len(raw))])
    if name in FATE_DEPENDS:
        at_once, bytewise = at_once[:-1], bytewise[:-1]
    assert bytewise == at_once


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in FATE_DEPENDS])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_chunking_means_the_same(name: str, data: st.DataObject) -> None:
    """However a recorded reply is cut, head, body, error and the connection's fate are the same."""
    raw = RECORDED[name]
    cuts = data.draw(st.sets(st.integers(0, len(raw)), max_size=12))
    pieces = [raw[a:b] for a, b in pairwise([0, *sorted(cuts), len(raw)]) if a < b]

    async def both() -> None:
        assert await outcome(pieces) == await outcome([raw] if raw else [])

    asyncio.run(both())


async def test_the_recorded_replies_show_every_outcome() -> None:
    """The recordings the chunking tests rest on succeed and fail as they are meant to."""
    bodies = {name: (await outcome([raw] if raw else []))[-3:] for name, raw in RECORDED.items()}
    assert bodies["chunks"] == (b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", None, True)
    assert bodies["gzip"] == bodies["gzip chunks"] == (b"some text " * 50, None, True)
    assert bodies["deflate"] == (b"x" * 999, None, True)
    assert bodies["until close"] == (b"all of it", None, False)
    assert bodies["interim"] == (b"ok", None, True)
    assert bodies["close"] == (b"bye", None, False)
    assert bodies["extra reply"] == (b"one", None, False)
    for name in ("cut body", "cut chunks", "cut head", "nothing", "gzip cut"):
        assert str(bodies[name][-2]).startswith("ConnectionBroken"), name
    for name in ("bad chunk", "two lengths", "no http", "upgrade", "brotli", "no gzip"):
        assert str(bodies[name][-2]).startswith("ProtocolViolation"), name


# -- replies whose head is like one seen before ----------------------------------------------------

SEEN = http_reply(
    b'{"id": 1}',
    b"Date: Thu, 26 Nov 2026 10:00:00 GMT",
    b"Content-Type: application/json",
    b"X-Request-Id:  r-1",
    b"Connection: keep-alive",
)


def but(*changes: tuple[bytes, bytes]) -> bytes:
    reply = SEEN
    for old, new in changes:
        assert old in reply
        reply = reply.replace(old, new, 1)
    return reply


LIKE = {
    "the same": SEEN,
    "another date and id": but((b"10:00:00", b"23:59:59"), (b"r-1", b"anything \t goes \xe9")),
    "an empty value": but((b"r-1", b"")),
    "another length": but((b"-length: 9", b"-length: 11"), (b'{"id": 1}', b'{"id": 123}')),
    "odd white space": but((b"-Id:  r-1", b"-Id:\t r-1\t ")),
}
UNLIKE = {
    "a status": but((b"200 OK", b"500 Oh")),
    "a reason": but((b"200 OK", b"200 Fine")),
    "a content type": but((b"application/json", b"text/html")),
    "the connection": but((b"keep-alive", b"close")),
    "a field more": but((b"\r\n\r\n", b"\r\nX: y\r\n\r\n")),
    "chunks": but((b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")),
    "a coding": but((b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")),
    "a second length": but((b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n")),
    "a field less": but((b"X-Request-Id:  r-1\r\n", b"")),
    "a name": but((b"X-Request-Id", b"X-Request-Ip")),
    "the order": but((b"Date", b"Content-Type"), (b"\nContent-Type: app", b"\nDate: app")),
    "a folded line": but((b"r-1", b"r\r\n -1")),
    "a bare line feed": but((b"r-1", b"r\n-1")),
    "a NUL": but((b"r-1", b"r\x00-1")),
    "a control character": but((b"r-1", b"r\x7f-1")),
    "a length with a sign": but((b"-length: 9", b"-length: +9")),
    "no length": but((b"-length: 9", b"-length: ")),
    "a length too long to be one": but((b"-length: 9", b"-length: 0000000000009")),
    "a body too short": SEEN[:-1],
    "bytes behind it": SEEN + b"x",
    "a reply behind it": SEEN + SEEN,
    "a blank line before it": b"\r\n" + SEEN,
    "an interim reply before it": b"HTTP/1.1 100 Continue\r\n\r\n" + SEEN,
}  # fmt: skip


async def seen() -> Twins:
    twins = Twins()
    await outcome([SEEN], twins)
    return twins


@pytest.mark.parametrize("name", LIKE)
async def test_a_head_like_one_seen_before_is_read_as_the_parser_reads_it(name: str) -> None:
    """Recognised, with head, body and the connection's fate as on a site never seen before."""
    twins = await seen()
    assert twins.read(LIKE[name]) is not None
    assert await outcome([LIKE[name]], twins) == await outcome([LIKE[name]])


@pytest.mark.parametrize("name", [*UNLIKE, *RECORDED])
async def test_what_could_mean_something_else_goes_to_the_parser(name: str) -> None:
    """And means the same as on a site never seen before."""
    reply = UNLIKE.get(name) or RECORDED[name]
    twins = await seen()
    assert twins.read(reply) is None
    pieces = [reply] if reply else []
    assert await outcome(pieces, twins) == await outcome(pieces)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_changed_byte_never_means_another_reply_for_what_was_seen_before(
    data: st.DataObject,
) -> None:
    """Any reply, some bytes replaced by any others: with and without memory it is one thing."""
    reply = bytearray(data.draw(st.sampled_from([*LIKE.values(), *UNLIKE.values()])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(reply) - 1))
        reply[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b":", b" ", b"\r\n", b"9"]))
        )

    async def both() -> None:
        pieces = [bytes(reply)]
        assert await outcome(pieces, await seen()) == await outcome(pieces)

    asyncio.run(both())


async def test_a_reply_without_a_body_is_never_taken_for_one_with_a_body() -> None:
    """The reply to HEAD has the head of another, length included, and no body."""
    loop = asyncio.get_running_loop()
    connection = Connection(loop, Shelf(await seen()))
    connection.connection_made(Wire())
    reply = Reply(loop, connection, 1.0, 1.0, 0.0)
    connection.begin(reply, b"HEAD", b"HEAD / HTTP/1.1\r\n\r\n", b"")
    connection.data_received(SEEN)
    assert await reply.read() == b""


async def test_heads_that_never_come_again_are_not_remembered_for_ever() -> None:
    """A server that numbers its fields soon costs nothing extra; it is read all the same."""
    twins = Twins()
    replies = [but((b"X-Request-Id", b"X-%d" % number)) for number in range(STRANGERS + 1)]
    for reply in replies:
        assert await outcome([reply], twins) == await outcome([reply])
    assert twins.read(replies[-1]) is None
    assert twins.read(replies[-2]) is not None


SCRAPS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 204 x\r\n",
        b"HTTP/1.1 101 x\r\n",
        b"content-length: 5\r\n",
        b"content-length: 0\r\n",
        b"transfer-encoding: chunked\r\n",
        b"content-encoding: gzip\r\n",
        b"content-encoding: deflate\r\n",
        b"connection: close\r\n",
        b"upgrade: x\r\n",
        b"x:\r\n",
        b"\r\n",
        b"\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"hello",
        COMPRESSED,
    ]
)


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.one_of(SCRAPS, st.binary(min_size=1, max_size=40)), max_size=14))
def test_no_bytes_crash_or_hang_it(pieces: list[bytes]) -> None:
    """Whatever an upstream sends, the caller gets a reply or a TransportError, and an end."""

    async def play() -> tuple[object, ...]:
        async with asyncio.timeout(5):
            return await outcome(pieces)

    result = asyncio.run(play())
    error = result[0] if len(result) == 2 else result[3]
    assert error is None or str(error).startswith(("ConnectionBroken", "ProtocolViolation"))


async def test_the_limit_on_heads_is_the_same_in_any_chunking() -> None:
    """A head of exactly the limit passes and one byte more does not, at once and in pieces."""
    lines = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: "
    fields = len(b"content-length: 0\r\nx: \r\n")
    good = lines + b"y" * (MAX_HEAD - fields - 40) + b"\r\n\r\n"
    bad = lines + b"y" * (MAX_HEAD - fields + 1) + b"\r\n\r\n"
    for raw, passes in ((good, True), (bad, False)):
        for size in (len(raw), 1000, 30_000):
            result = await outcome([raw[i : i + size] for i in range(0, len(raw), size)])
            assert (len(result) == 5) is passes, size


async def test_bytes_that_wake_nobody_are_signs_of_life() -> None:
    """Pieces of a head or of a chunk's size put off the silence timeout; a piece of body wakes."""
    loop = asyncio.get_running_loop()
    connection = Connection(loop, Shelf())
    connection.connection_made(Wire())
    reply = Reply(loop, connection, 1.0, 1.0, 0.0)
    connection.begin(reply, b"GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    for piece in (b"HTTP/1.1 200 OK\r\n", b"transfer-encoding: chu"):
        reply.since = -1.0
        connection.data_received(piece)
        assert reply.since >= 0
        assert reply.waiter is not None
    connection.data_received(b"nked\r\n\r\n")
    assert reply.headed and reply.waiter is None
    reading = asyncio.ensure_future(reply.read())
    await asyncio.sleep(0)
    for piece in (b"0", b"0005\r\n"):
        reply.since = -1.0
        connection.data_received(piece)
        assert reply.since >= 0
        assert reply.waiter is not None
    connection.data_received(b"hel")
    assert await reading == b"hel"
    reply.close()


async def test_a_long_body_does_not_use_up_the_limit_on_heads() -> None:
    """Only bytes that bring no body count, from the last that did; a lone chunk size is nothing."""
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    pieces = [CHUNKED, *[chunk] * 100, b"40", b"0\r\n", b"x" * 1024 + b"\r\n0\r\n\r\n"]
    _, _, body, error, came_back = await outcome(pieces)
    assert (body, error, came_back) == (b"x" * 1024 * 101, None, True)
