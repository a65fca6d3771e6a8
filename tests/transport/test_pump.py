"""A reply handed on as it comes, without waking the task that waits for its end."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import pytest

from chatgpt_to_api.transport.errors import ConnectionBroken, SilenceTimeout
from support.calls import Caller, until
from support.raw_server import Peer, RawServer, chunked, http_reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Sink:
    """Collects; says False at ``stop`` and at the end."""

    def __init__(self, stop: bytes = b"never") -> None:
        self.taken: list[bytes] = []
        self.stop = stop

    def __call__(self, data: bytes) -> bool:
        self.taken.append(data)
        return bool(data) and self.stop not in data

    @property
    def all(self) -> bytes:
        return b"".join(self.taken)


def piecewise(gate: asyncio.Event, pieces: list[bytes], seen: Callable[[], int]) -> object:
    """A script that sends each piece once the one before it has been taken."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for number, piece in enumerate(pieces):
            await until(lambda number=number: seen() >= number)  # type: ignore[misc]
            await peer.send(chunked(piece).removesuffix(b"0\r\n\r\n"))
        await gate.wait()
        await peer.send(b"0\r\n\r\n")

    return script


async def test_pieces_go_on_as_they_come_and_the_end_is_empty(call: Caller) -> None:
    """Nobody's task is woken between them; the connection can be used again."""
    gate, sink = asyncio.Event(), Sink()
    gate.set()
    script = piecewise(gate, [b"one", b"two", b"three"], lambda: len(sink.taken))
    async with RawServer(script) as server:  # type: ignore[arg-type]
        reply = await call(server.port)
        await reply.pump(sink)
        assert sink.all == b"onetwothree"
        assert sink.taken[-1] == b""
        assert reply.carrier is None
        reply.close()


async def test_a_sink_that_has_enough_leaves_the_rest_to_be_read(call: Caller) -> None:
    """Pumping can go on later, and loses nothing."""
    gate, sink = asyncio.Event(), Sink(stop=b"two")
    script = piecewise(gate, [b"one", b"two", b"three"], lambda: len(sink.taken))
    async with RawServer(script) as server:  # type: ignore[arg-type]
        reply = await call(server.port)
        await reply.pump(sink)
        assert sink.all == b"onetwo"
        gate.set()
        await reply.pump(sink)
        assert sink.all == b"onetwothree"
        reply.close()


async def test_what_a_sink_raises_reaches_the_task_that_pumps(call: Caller) -> None:
    """Not the event loop's log; the connection is the caller's to close."""

    class Trouble(Exception):
        pass

    taken: list[bytes] = []

    def sink(data: bytes) -> bool:
        taken.append(data)
        if len(taken) == 2:
            raise Trouble
        return True

    gate = asyncio.Event()
    script = piecewise(gate, [b"one", b"two"], lambda: len(taken))
    async with RawServer(script) as server:  # type: ignore[arg-type]
        reply = await call(server.port)
        with pytest.raises(Trouble):
            await reply.pump(sink)
        reply.close()
        gate.set()


async def test_a_break_comes_after_the_bytes_before_it(call: Caller) -> None:
    """As with read: what has arrived is handed on first."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await until(lambda: bool(sink.taken))
        await peer.send(b"3\r\ntwo\r\n")

    sink = Sink()
    async with RawServer(script) as server:
        reply = await call(server.port)
        with pytest.raises(ConnectionBroken):
            await reply.pump(sink)
        assert sink.all == b"onetwo"
        reply.close()


async def test_silence_is_noticed_while_pumping(call: Caller) -> None:
    """It is counted from the last piece, whoever took it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()

    sink = Sink()
    async with RawServer(script) as server:
        reply = await call(server.port, read_timeout=0.1)
        with pytest.raises(SilenceTimeout):
            await reply.pump(sink)
        assert sink.all == b"one"


async def test_a_cancelled_pump_gives_the_call_up(call: Caller) -> None:
    """The upstream sees it at once."""
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await peer.gone()
        gone.set()

    sink = Sink()
    async with RawServer(script) as server:
        reply = await call(server.port)
        task = asyncio.create_task(reply.pump(sink))
        await until(lambda: bool(sink.taken))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


async def test_a_compressed_body_is_handed_on_plain(call: Caller) -> None:
    """An upstream that compresses unasked is read by the task itself."""
    packed = gzip.compress(b"plain words" * 100)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(http_reply(packed, b"content-encoding: gzip"))

    sink = Sink()
    async with RawServer(script) as server:
        reply = await call(server.port)
        await reply.pump(sink)
        assert sink.all == b"plain words" * 100
        reply.close()
