"""Requests and replies over real sockets: keep-alive, stale connections, limits, closing."""

from __future__ import annotations

import asyncio

import pytest

from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import (
    ConnectFailed,
    ConnectionBroken,
    DeadlinePassed,
    ProtocolViolation,
    SilenceTimeout,
)
from chatgpt_to_api.transport.reply import MAX_BUFFERED
from chatgpt_to_api.wire.http import HttpRequest, Origin, ReplyHead
from support.calls import Caller, held_back, until, whole
from support.raw_server import Peer, RawServer, answering, chunked, http_reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def elapse(call: Caller, seconds: float) -> None:
    """Let time pass: until a call to a server that says nothing is given up."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as silent:
        with pytest.raises(SilenceTimeout):
            await call(silent.port, read_timeout=seconds)


async def test_a_request_arrives_as_it_was_given(call: Caller) -> None:
    """Method, target, headers in order, host, length and body are on the wire."""

    async def script(peer: Peer) -> None:
        server.requests.append(await peer.request())
        await peer.send(http_reply(b"ok"))

    async with RawServer(script) as server:
        reply = await call(
            server.port,
            method=b"POST",
            target=b"/v1/x?y=%20",
            headers=((b"x-one", b"1"), (b"x-two", b"2")),
            body=b'{"a":1}',
        )
        assert await whole(reply) == b"ok"
    assert server.requests[0].head == (
        b"POST /v1/x?y=%%20 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-one: 1\r\nx-two: 2\r\n"
        b"content-length: 7\r\naccept-encoding: identity\r\n\r\n" % server.port
    )
    assert server.requests[0].body == b'{"a":1}'


async def test_a_head_has_lower_case_names_and_trimmed_values(call: Caller) -> None:
    """Header names are lower-case, values lose outer white space, order and repeats stay."""
    raw = http_reply(b"x", b"X-A:  1 \t", b"Set-Cookie: a", b"set-cookie: b", b"Empty:")
    async with RawServer(answering(raw)) as server:
        reply = await call(server.port)
        await whole(reply)
    assert reply.framed
    assert reply.head == ReplyHead(
        200,
        [
            (b"content-length", b"1"),
            (b"x-a", b"1"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"empty", b""),
        ],
    )


async def test_one_connection_serves_request_after_request(call: Caller) -> None:
    """A reply read to its end gives its connection to the next call, whatever its framing."""
    replies = (
        http_reply(b"one"),
        CHUNKED + chunked(b"t", b"wo"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 9\r\n\r\n',
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nold",
        http_reply(b"", b"location: /there", status=b"302 Found"),
        http_reply(b"last"),
    )
    async with RawServer(answering(*replies)) as server:
        got = [await call.text(server.port) for _ in replies]
        assert server.connections == 1
    assert got == [b"one", b"two", b"", b"", b"old", b"", b"last"]


async def test_the_connection_is_free_before_the_reply_is_read(call: Caller) -> None:
    """Once the last byte has come the next call uses the connection; the bytes stay readable."""
    async with RawServer(answering(http_reply(b"one"), http_reply(b"two"))) as server:
        first = await call(server.port)
        second = await call(server.port)
        assert server.connections == 1
        assert (await whole(first), await whole(second)) == (b"one", b"two")


@pytest.mark.parametrize(
    "raw",
    [
        http_reply(b"ok", b"connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        http_reply(b"ok") + b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nstolen!",
        http_reply(b"ok") + b"H",
        http_reply(b"ok") + b"\0rubbish",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(
    call: Caller, raw: bytes
) -> None:
    """After a close, an old version or bytes behind the reply, the next call gets a new one."""
    async with RawServer(answering(raw)) as server:
        for _ in range(2):
            reply = await call(server.port)
            assert reply.head.status in (200, 204)
            assert await whole(reply) in (b"ok", b"")
        assert server.connections == 2


async def test_bytes_on_an_idle_connection_close_it(call: Caller) -> None:
    """An answer nobody asked for is never given to the next request."""
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"good"))
        if peer.number == 0:
            await sent.wait()
            await peer.send(http_reply(b"evil"))
        await peer.gone()

    async with RawServer(script) as server:
        assert await call.text(server.port) == b"good"
        sent.set()
        await server.quiet()
        assert await call.text(server.port) == b"good"
        assert server.connections == 2


async def test_a_head_reply_has_no_body_whatever_its_length_says(call: Caller) -> None:
    """HEAD ends with the head, and the parser's wrong idea of a body harms nobody after it."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        whole_reply = http_reply(b"12345")
        await peer.send(whole_reply if request.line.startswith(b"GET") else whole_reply[:-5])
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port, method=b"HEAD")
        assert (b"content-length", b"5") in reply.head.headers
        assert reply.framed
        assert await reply.read() == b""
        assert await call.text(server.port) == b"12345"


async def test_interim_replies_are_passed_over(call: Caller) -> None:
    """1xx heads are not the reply, and their headers do not end up in it."""
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + http_reply(b"ok", b"x-real: 1")
    )
    async with RawServer(answering(raw)) as server:
        for _ in range(2):
            reply = await call(server.port)
            assert [name for name, _ in reply.head.headers] == [b"content-length", b"x-real"]
            assert await whole(reply) == b"ok"
        assert server.connections == 1


async def test_trailers_end_a_body_and_belong_to_nobody(call: Caller) -> None:
    """Trailers are read over; neither this head nor the next one shows them."""
    body = b"2\r\nok\r\n0\r\nX-Trailer: 1\r\nContent-Type: evil\r\n\r\n"
    async with RawServer(answering(CHUNKED + body, http_reply(b"next"))) as server:
        first = await call(server.port)
        assert await whole(first) == b"ok"
        second = await call(server.port)
        assert await whole(second) == b"next"
        assert server.connections == 1
    assert first.head.headers == [(b"transfer-encoding", b"chunked")]
    assert second.head.headers == [(b"content-length", b"4")]


async def test_a_body_without_framing_ends_with_the_connection(call: Caller) -> None:
    """Where only the close ends a body it is a good end, and the reply says so."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"all ", b"of it")

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert not reply.framed
        assert await whole(reply) == b"all of it"


async def test_a_reset_does_not_end_a_body_well(call: Caller) -> None:
    """A body that ends by closing is broken if the close is a reset."""
    got = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await got.wait()
        peer.reset()

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert await reply.read() == b"half"
        got.set()
        with pytest.raises(ConnectionBroken, match="reset the connection in the middle"):
            await reply.read()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200", "middle of its reply's head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "middle of its reply's head"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "middle of its reply"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf", "middle of its reply"),
        (CHUNKED + b"4\r\nhalf\r\n", "middle of its reply"),
        (CHUNKED + b"4\r\nhalf\r\n0\r\n", "middle of its reply"),
    ],
)
async def test_an_early_close_is_never_a_quiet_success(
    call: Caller, raw: bytes, message: str
) -> None:
    """A reply cut anywhere raises ConnectionBroken; what came before the cut is given first."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(raw)

    async with RawServer(script) as server:
        got = b""
        with pytest.raises(ConnectionBroken, match=message) as caught:  # noqa: PT012
            reply = await call(server.port)
            while data := await reply.read():
                got += data
        assert caught.value.sent_anything
        assert server.connections == 1
    assert got in (b"", b"half")


NOT_ASKED_FOR = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", "broke HTTP"),
    "status below 100": (b"HTTP/1.1 099 Odd\r\n\r\n", "status 99"),
    "upgrade": (
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "status 101",
    ),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "broke HTTP",
    ),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "broke HTTP",
    ),
    "compressed chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "transfer-encoding",
    ),
    "chunked twice": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        "transfer-encoding",
    ),
    "no chunk size": (CHUNKED + b"zz\r\n", "broke HTTP"),
    "endless chunk size": (CHUNKED + b"ffffffffffffffffff\r\n", "broke HTTP"),
    "folded header": (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", "broke HTTP"),
    "many headers": (
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 201 + b"\r\n",
        "more than 200 headers",
    ),
    "long header": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 65536 + b"\r\n\r\n", "bytes of headers"),
    "endless header": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 400_000, "bytes of headers"),
    "endless hints": (b"HTTP/1.1 103 Hint\r\nx: y\r\n\r\n" * 4000, "bytes of headers"),
    "endless trailer": (CHUNKED + b"2\r\nok\r\n0\r\nx: " + b"y" * 400_000, "bytes of headers"),
    "brotli": (http_reply(b"??", b"content-encoding: br"), "content-encoding 'br'"),
    "gzip twice": (
        http_reply(b"??", b"content-encoding: gzip", b"content-encoding: gzip"),
        "content-encoding 'twice'",
    ),
}


@pytest.mark.parametrize("name", NOT_ASKED_FOR)
async def test_what_is_not_the_http_we_asked_for_is_refused(call: Caller, name: str) -> None:
    """Broken, oversized or unasked-for replies are a ProtocolViolation, and the connection goes."""
    raw, message = NOT_ASKED_FOR[name]
    async with RawServer(answering(raw)) as server:
        with pytest.raises(ProtocolViolation, match=message):
            await whole(await call(server.port))
        await server.quiet()


async def test_many_and_long_headers_within_the_limits_pass(call: Caller) -> None:
    """The limits on a head are where they say they are, even with a body in the same packet."""
    many = http_reply(b"ok", *[b"x: y"] * 199)
    long = http_reply(b"b" * 100_000, b"x: " + b"y" * 64_000)
    async with RawServer(answering(many, long)) as server:
        assert await call.text(server.port) == b"ok"
        assert await call.text(server.port) == b"b" * 100_000


async def test_a_stale_connection_is_replaced_silently(call: Caller) -> None:
    """A kept connection that the server closed when the next request came is tried afresh, once."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"%d" % peer.number))
        if peer.number == 0:
            await peer.request()  # and close without a byte: the keep-alive ran out
        else:
            await peer.gone()

    async with RawServer(script) as server:
        assert await call.text(server.port, method=b"POST", body=b"x") == b"0"
        assert await call.text(server.port, method=b"POST", body=b"x") == b"1"
        assert server.connections == 2


async def test_a_kept_connection_that_is_reset_is_forgotten(call: Caller) -> None:
    """Of two idle connections one is reset: the other serves on, and the dead one is not tried."""
    both, reset = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        if peer.number == 1:
            both.set()
        await peer.request()
        await both.wait()
        await peer.send(http_reply(b"%d" % peer.number))
        if peer.number == 1:
            await reset.wait()
            peer.reset()
        else:
            await peer.request()
            await peer.send(http_reply(b"again"))

    async with RawServer(script) as server:
        await asyncio.gather(call.text(server.port), call.text(server.port))
        reset.set()
        await until(lambda: call.client.open_connections == 1)
        assert await call.text(server.port) == b"again"
        assert server.connections == 2


async def test_a_kept_connection_that_is_closing_this_moment_is_stale(call: Caller) -> None:
    """Taken between its close and the news of it, a connection is replaced like any stale one."""
    async with RawServer(answering(http_reply(b"ok"))) as server:
        assert await call.text(server.port) == b"ok"
        [site] = call.client._sites.values()
        transport = site.idle[0].transport
        assert transport is not None
        transport.abort()
        assert await call.text(server.port) == b"ok"
        assert server.connections == 2


async def test_a_connection_that_answered_a_byte_is_not_stale(call: Caller) -> None:
    """Once a byte of the reply has come the request is not sent again."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(b"ok"))
        await peer.request()
        await peer.send(b"H")

    async with RawServer(script) as server:
        assert await call.text(server.port) == b"ok"
        with pytest.raises(ConnectionBroken):
            await call(server.port)
        assert server.connections == 1


async def test_a_fresh_connection_that_closes_is_an_error(call: Caller) -> None:
    """Only kept connections are tried again: a server that closes at once is not called twice."""

    async def script(peer: Peer) -> None:
        await peer.request()

    async with RawServer(script) as server:
        with pytest.raises(ConnectionBroken, match="without an answer"):
            await call(server.port)
        assert server.connections == 1


async def test_read_gives_all_that_one_packet_held_at_once(call: Caller) -> None:
    """Chunks that came together are read together, and what is there is given without waiting."""
    raw = CHUNKED + chunked(*[b"data: x\n\n"] * 50)
    async with RawServer(answering(raw)) as server:
        reply = await call(server.port)
        read = reply.read()
        with pytest.raises(StopIteration) as done:  # the coroutine ends without a suspension
            read.send(None)
        assert done.value.value == b"data: x\n\n" * 50
        assert await reply.read() == b""


async def test_a_slow_reader_stops_the_upstream(call: Caller) -> None:
    """Unread bytes are bounded: the upstream's sending stands still until somebody reads."""
    total = 16 * 1024 * 1024
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            await peer.send(b"x" * 65536)
            sent += 65536

    async with RawServer(script) as server:
        reply = await call(server.port)
        await held_back(reply)
        await elapse(call, 0.1)  # in which nothing more comes in
        assert reply.size <= MAX_BUFFERED * 3
        assert sent < total
        assert len(await whole(reply)) == total


async def test_a_paused_connection_serves_again_once_its_reply_is_read(call: Caller) -> None:
    """A connection held back for a slow reader is read from again for the next reply."""
    big = b"y" * (MAX_BUFFERED * 8)
    async with RawServer(answering(http_reply(big), http_reply(b"small"))) as server:
        reply = await call(server.port)
        await held_back(reply)
        assert await whole(reply) == big
        assert await call.text(server.port) == b"small"
        assert server.connections == 1


async def test_a_large_body_arrives_whole(call: Caller) -> None:
    """A request's body of many megabytes is sent as it is."""
    body = bytes(range(256)) * 32768

    async def script(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(http_reply(b"same" if request.body == body else b"different"))

    async with RawServer(script) as server:
        assert await call.text(server.port, method=b"POST", body=body) == b"same"


async def test_an_answer_before_the_body_was_read_spoils_the_connection(call: Caller) -> None:
    """A 413 while the body is still being sent is the reply; its connection is not used again."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(http_reply(b"too large", status=b"413 Content Too Large"))
        await peer.gone()

    async with RawServer(script) as server:
        body = b"x" * (32 * 1024 * 1024)
        for _ in range(2):
            reply = await call(server.port, method=b"POST", body=body)
            assert reply.head.status == 413
            assert await whole(reply) == b"too large"
        assert server.connections == 2


async def test_silence_before_the_head_is_a_timeout(call: Caller) -> None:
    """An upstream that takes the request and says nothing is given up after the read timeout."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(SilenceTimeout, match=r"sent nothing for 0\.05 s"):
            await call(server.port, read_timeout=0.05)
        await server.quiet()


async def test_silence_amid_the_body_is_a_timeout(call: Caller) -> None:
    """The read timeout holds between bytes of the body too."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nhi\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port, read_timeout=0.3)
        assert await reply.read() == b"hi"
        with pytest.raises(SilenceTimeout):
            await reply.read()
        with pytest.raises(SilenceTimeout):
            await reply.read()
        await server.quiet()


async def test_silence_is_not_counted_while_the_reader_is_slow(call: Caller) -> None:
    """Time in which nobody asks for bytes is the reader's, not the upstream's."""
    slow = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nhi\r\n")
        await slow.wait()
        await peer.send(chunked(b"there"))

    async with RawServer(script) as server:
        reply = await call(server.port, read_timeout=0.3)
        await elapse(call, 0.7)
        slow.set()
        assert await whole(reply) == b"hithere"


async def test_the_deadline_ends_a_talkative_reply(call: Caller) -> None:
    """The deadline holds however lively the upstream is, and says so."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"1\r\nx\r\n")
            await asyncio.sleep(0)

    async with RawServer(script) as server:
        reply = await call(server.port, deadline=0.4)
        with pytest.raises(DeadlinePassed, match="deadline passed before http://127"):
            await whole(reply)
        await server.quiet()


async def test_the_deadline_holds_while_nobody_reads(call: Caller) -> None:
    """An upstream call whose reader has stalled is broken when the deadline passes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port, deadline=0.4)
        await server.quiet()
        with pytest.raises(DeadlinePassed):
            await reply.read()


async def test_a_deadline_in_the_past_sends_nothing(call: Caller) -> None:
    """Nothing is connected to for a request that is too late already."""
    async with RawServer(answering(http_reply())) as server:
        with pytest.raises(DeadlinePassed) as caught:
            await call(server.port, deadline=-1.0)
        assert not caught.value.sent_anything
        assert server.connections == 0


async def test_timeouts_of_different_calls_do_not_mix(call: Caller) -> None:
    """One timer serves all calls, yet each has its own limits, the short after the long too."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        if request.line.startswith(b"GET /silent"):
            await peer.gone()
        await late.wait()
        await peer.send(http_reply(b"late"))

    late = asyncio.Event()
    async with RawServer(script) as server:
        patient = asyncio.ensure_future(call.text(server.port, read_timeout=5.0))
        await asyncio.sleep(0)
        with pytest.raises(SilenceTimeout, match=r"0\.05"):
            await call(server.port, target=b"/silent", read_timeout=0.05)
        late.set()
        assert await patient == b"late"


async def test_close_breaks_a_reply_that_is_still_coming(call: Caller) -> None:
    """close() of an unfinished reply closes the connection at once; reading it is an error."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nhi\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        reply.close()
        reply.close()
        await server.quiet()
        with pytest.raises(ConnectionBroken, match="given up on this side"):
            await reply.read()


async def test_close_ends_a_read_that_is_waiting(call: Caller) -> None:
    """A task that waits in read() is told when another one closes the reply."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        reading = asyncio.ensure_future(reply.read())
        await asyncio.sleep(0)
        reply.close()
        with pytest.raises(ConnectionBroken, match="given up on this side"):
            await reading
        await server.quiet()


async def test_close_of_a_whole_reply_keeps_the_connection(call: Caller) -> None:
    """Closing without reading costs nothing where the reply was complete already."""
    async with RawServer(answering(http_reply(b"x"))) as server:
        reply = await call(server.port)
        reply.close()
        with pytest.raises(ConnectionBroken):
            await reply.read()
        assert await call.text(server.port) == b"x"
        assert server.connections == 1


async def test_two_reads_at_once_are_a_mistake_that_is_told(call: Caller) -> None:
    """A second concurrent read raises instead of stealing the first one's bytes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await more.wait()
        await peer.send(chunked(b"x"))

    more = asyncio.Event()
    async with RawServer(script) as server:
        reply = await call(server.port)
        reading = asyncio.ensure_future(reply.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await reply.read()
        more.set()
        assert await reading == b"x"


async def test_finish_lets_the_last_bytes_come_and_keeps_the_connection(call: Caller) -> None:
    """A reply whose end was seen in the body gives its connection back when the framing ends."""
    finished = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED + b"6\r\n[DONE]\r\n")
            await finished.wait()
            await peer.send(b"0\r\n\r\n")

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert await reply.read() == b"[DONE]"
        reply.finish()
        finished.set()
        with pytest.raises(ConnectionBroken, match="given up"):
            await reply.read()
        await until(lambda: reply.carrier is None)
        assert await call.text(server.port) == b"[DONE]"
        assert server.connections == 1


async def test_finish_waits_for_the_end_only_a_moment(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished reply whose end does not come is broken soon."""
    monkeypatch.setattr("chatgpt_to_api.transport.connection.LINGER", 0.05)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"6\r\n[DONE]\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert await reply.read() == b"[DONE]"
        reply.finish()
        await server.quiet()


@pytest.mark.parametrize("dribbles", [False, True])
async def test_a_body_that_is_hurried_is_broken_soon(call: Caller, *, dribbles: bool) -> None:
    """Whether nothing more comes or never enough: who has its head already waits no longer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nhello\r\n")
        while dribbles:
            await peer.send(b"1\r\n.\r\n")
            await asyncio.sleep(0)
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        reply.hurry(0.05)
        with pytest.raises(DeadlinePassed):
            await whole(reply)
        reply.hurry(5)  # nothing is left to hurry
        await server.quiet()


async def test_a_whole_body_needs_no_hurry(call: Caller) -> None:
    """A deadline that is sooner stays, and what is there already is given."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")

    async with RawServer(script) as server:
        reply = await call(server.port)
        await until(lambda: reply.ended)
        reply.hurry(0)
        assert await reply.read() == b"hello"


async def test_finish_takes_only_so_much_for_the_end(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished reply that goes on and on is broken long before its moment is over."""
    monkeypatch.setattr("chatgpt_to_api.transport.connection.LINGER", 60.0)
    finished = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"6\r\n[DONE]\r\n")
        await finished.wait()
        while True:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert await reply.read() == b"[DONE]"
        reply.finish()
        finished.set()
        await server.quiet()


async def test_finish_of_a_body_without_framing_is_a_close(call: Caller) -> None:
    """Where only the close ends the body there is nothing to wait for."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n[DONE]")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call(server.port)
        assert await reply.read() == b"[DONE]"
        reply.finish()
        await server.quiet()


async def test_idle_connections_are_few_and_expire() -> None:
    """No more than ``max_idle`` are kept, and none for longer than ``idle_timeout``."""
    all_here = asyncio.Event()

    async def script(peer: Peer) -> None:
        if peer.number == 4:
            all_here.set()
        await peer.request()
        await all_here.wait()
        await peer.send(http_reply(b"ok"))
        await peer.gone()

    client = HttpClient(asyncio.get_running_loop(), max_idle=2, idle_timeout=0.5)
    call = Caller(client)
    async with RawServer(script) as server:
        await asyncio.gather(*(call.text(server.port) for _ in range(5)))
        await until(lambda: server.open == 2)
        await server.quiet()
        await until(lambda: client.open_connections == 0)
        assert client._sites == {}  # nothing is remembered of a site without connections
    await client.close()


async def test_a_closed_client_breaks_calls_and_refuses_new_ones() -> None:
    """close() ends what is running with an error that says why, and nothing new begins."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    client = HttpClient(asyncio.get_running_loop())
    call = Caller(client)
    async with RawServer(script) as server:
        reply = await call(server.port)
        reading = asyncio.ensure_future(reply.read())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionBroken, match="stopping"):
            await reading
        with pytest.raises(ConnectFailed, match="stopping"):
            await call(server.port)
        await client.close()
        await server.quiet()


async def test_a_bad_request_is_refused_before_anything_is_sent(call: Caller) -> None:
    """A header with a line break never reaches a socket, and its value is not in the error."""
    async with RawServer(answering(http_reply())) as server:
        with pytest.raises(ValueError, match="line break") as caught:
            await call(server.port, headers=((b"authorization", b"Bearer s3cret\r\nx: y"),))
        assert "s3cret" not in str(caught.value)
        assert server.connections == 0


async def test_a_thousand_calls_at_once_share_nothing_but_the_client(call: Caller) -> None:
    """Concurrent calls each get their own reply."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(http_reply(request.line.split()[1]))

    async with RawServer(script) as server:
        targets = [b"/%d" % i for i in range(1000)]
        for start in range(0, 1000, 100):
            some = targets[start : start + 100]
            got = await asyncio.gather(*(call.text(server.port, target=t) for t in some))
            assert got == some


def test_the_repr_of_a_request_shows_no_secret() -> None:
    """What the transport may put into a log or traceback of a request is harmless."""
    request = HttpRequest(
        b"GET", Origin("http", "h", 80), b"/", ((b"authorization", b"Bearer s3cret"),), b"s3cret"
    )
    assert "s3cret" not in repr(request)
