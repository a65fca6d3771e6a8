"""Bodies sent piece by piece: framing, backpressure, early replies, and everything that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from chatgpt_to_api.transport.errors import ConnectionBroken, DeadlinePassed, SilenceTimeout
from support.calls import Caller, whole
from support.raw_server import Peer, RawServer, answering, http_reply

OK = http_reply(b"ok")
ODD = [b"a", b"", b"bc" * 40_000, b"\r\n0\r\n\r\n", b"\x00" * 7]


async def given(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece:
            yield piece


async def read_chunked(peer: Peer) -> bytes:
    """Read a head and a chunked body."""
    head = await peer.reader.readuntil(b"\r\n\r\n")
    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert b"content-length" not in head
    body = b""
    while size := int(await peer.reader.readuntil(b"\r\n"), 16):
        body += await peer.reader.readexactly(size)
        assert await peer.reader.readexactly(2) == b"\r\n"
    assert await peer.reader.readexactly(2) == b"\r\n"
    return body


async def test_pieces_arrive_as_one_body_of_known_length(call: Caller) -> None:
    """The head announces the length, the bytes are the same, and the connection stays."""
    bodies: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            bodies.append((await peer.request()).body)
            await peer.send(OK)

    sent = b"".join(ODD)
    async with RawServer(script) as server:
        reply = await call.upload(server.port, given(ODD), len(sent))
        assert await whole(reply) == b"ok"
        assert await whole(await call(server.port, method=b"POST", body=b"next")) == b"ok"
        assert server.connections == 1
    assert bodies == [sent, b"next"]


async def test_pieces_arrive_as_chunks_where_the_length_is_unknown(call: Caller) -> None:
    """Whatever the bytes look like, they are the body and not its framing."""
    bodies: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            bodies.append(await read_chunked(peer))
            await peer.send(OK)

    async with RawServer(script) as server:
        for pieces in (ODD, []):
            assert await whole(await call.upload(server.port, given(pieces), None)) == b"ok"
    assert bodies == [b"".join(ODD), b""]


async def test_no_piece_is_taken_before_there_is_room(call: Caller) -> None:
    """An upstream that does not read holds the source back, however much there is."""
    piece = b"x" * 65_536
    taken = 0
    read_on = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 1600:
            taken += 1
            yield piece

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 104857600" in head
        await read_on.wait()
        await peer.reader.readexactly(1600 * len(piece))
        await peer.send(OK)

    async with RawServer(script) as server:
        task = asyncio.create_task(call.upload(server.port, endless(), 1600 * len(piece)))
        stood = -1
        while stood != taken or not taken:  # as long as it moves, the sockets are filling
            stood = taken
            await asyncio.sleep(0.1)
        assert taken < 400, "more than any socket holds has been taken"
        read_on.set()
        assert await whole(await task) == b"ok"
    assert taken == 1600


async def test_an_early_reply_ends_the_sending(call: Caller) -> None:
    """A refusal is heard while the body still comes, and that connection is not used again."""
    hangs = asyncio.Event()

    async def unfinished() -> AsyncIterator[bytes]:
        yield b"beginning"
        await hangs.wait()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"beginning")
        await peer.send(http_reply(b"too much", status=b"413 Content Too Large"))
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call.upload(server.port, unfinished(), 10_000_000)
        assert reply.head.status == 413
        assert await whole(reply) == b"too much"
        await server.quiet()


async def test_a_source_that_fails_breaks_the_connection(call: Caller) -> None:
    """Half a body never looks like a whole one, chunked or not; the source's error is told."""
    endings: list[bytes] = []

    async def failing() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError("the client has gone")

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        try:
            await peer.reader.readuntil(b"0\r\n\r\n" if b"chunked" in head else b"halfhalf")
        except (asyncio.IncompleteReadError, ConnectionError):
            endings.append(b"cut")

    async with RawServer(script) as server:
        for length in (8, None):
            with pytest.raises(LookupError, match="has gone"):
                await call.upload(server.port, failing(), length)
        await server.quiet()
    assert endings == [b"cut", b"cut"]


@pytest.mark.parametrize(("length", "wrong"), [(3, "longer"), (5, "shorter")])
async def test_a_length_that_does_not_hold_is_an_error(
    call: Caller, length: int, wrong: str
) -> None:
    """What was announced is what is sent, or the connection breaks."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(ValueError, match=wrong):
            await call.upload(server.port, given([b"four"]), length)
        await server.quiet()


async def test_an_upstream_that_goes_away_is_noticed_while_the_source_waits(call: Caller) -> None:
    """Nobody waits for a client's next piece that nobody could be sent."""
    never = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"beginning"
        await never.wait()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"beginning")
        peer.reset()

    async with RawServer(script) as server:
        with pytest.raises(ConnectionBroken, match="without an answer"):
            await call.upload(server.port, waiting(), None)


async def test_a_slow_source_is_not_a_silent_upstream(call: Caller) -> None:
    """Silence counts only while the upstream has all that could be sent to it."""
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await go.wait()
        yield b"two"

    async with RawServer(answering(OK)) as server:
        task = asyncio.create_task(call.upload(server.port, slow(), 6, read_timeout=0.1))
        await asyncio.sleep(0.3)  # three times the silence an upstream is allowed
        assert not task.done()
        go.set()
        assert await whole(await task) == b"ok"


async def test_an_upstream_silent_after_the_body_times_out(call: Caller) -> None:
    """Once it has everything, it has to answer."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(SilenceTimeout):
            await call.upload(server.port, given([b"all"]), 3, read_timeout=0.1)
        with pytest.raises(DeadlinePassed):
            await call.upload(server.port, given([b"all"]), 3, deadline=0.1)
        await server.quiet()


async def test_a_cancelled_upload_leaves_nothing(call: Caller) -> None:
    """Connection and source are let go at once."""
    let_go, arrived = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"beginning"
            await asyncio.Event().wait()
        finally:
            let_go.set()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"beginning")
        arrived.set()
        await peer.gone()

    async with RawServer(script) as server:
        task = asyncio.create_task(call.upload(server.port, waiting(), None))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(let_go.wait(), 5)
        await server.quiet()
