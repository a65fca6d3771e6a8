"""A reply as its reader sees it: the head, then body bytes as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from chatgpt_to_api.by_hand import Pause
from chatgpt_to_api.transport.errors import ConnectionBroken, ProtocolViolation, TransportError
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.inflate import Inflater

MAX_BUFFERED: Final = 256 * 1024  # bytes held for a slow reader before the socket is left alone


class Carrier(Protocol):
    """The connection a reply is still coming in on."""

    name: str
    paused: bool

    def resume(self) -> None:
        """Read from the socket again."""
        ...

    def give_up(self, error: TransportError) -> None:
        """Break the connection; the reply it carries fails with ``error``."""
        ...

    def linger(self) -> None:
        """Nobody reads the reply any more, but its end may come in a moment."""
        ...

    def hurry(self, seconds: float) -> None:
        """Bring the reply's deadline forward to so many seconds from now, where it is later."""
        ...


class Reply:
    """One reply. ``head`` is there from the start; ``read`` gives the body; ``close`` ends it.

    For callers: ``head``, ``framed``, ``ended``, ``read``, ``pump``, ``hurry``, ``close``,
    ``finish``. The rest is for the connection, which fills it, and the watch, which looks at its
    times.

    ``framed``: the reply itself says where it ends (a length, chunks, or no body at all). Where it
    is False the body ends when the upstream closes, so a cut one looks whole.
    ``ended``: the last byte has come, so that one more ``read`` gives all that is left (of a
    compressed body: not necessarily all).
    ``head`` describes the body as ``read`` gives it: one that came compressed has lost its
    ``content-encoding`` and ``content-length``.
    """

    head: ReplyHead

    # What most replies never touch stands on the class: a fresh one costs fewer stores.
    size = 0
    """Bytes read from the socket since the reader last took what there was."""
    framed = True
    closed = False
    error: TransportError | None = None
    inflater: Inflater | None = None
    sink: Callable[[bytes], bool] | None = None
    """Takes what comes, in the connection's own time, while a task waits in ``pump``."""
    trouble: Exception | None = None
    """What the sink raised."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        carrier: Carrier,
        silence: float,
        deadline: float,
        now: float,
    ) -> None:
        self.loop = loop
        self.carrier: Carrier | None = carrier
        """The connection while the reply is coming in; None once it is whole or broken."""
        self.silence = silence
        self.deadline = deadline
        self.since = now
        """Loop time since when ``waiter`` has heard nothing; means nothing while that is None."""
        self.waiter: Pause | None = Pause()
        """Somebody waits: at first for the head, later for more of the body."""
        self.parts: list[bytes] = []
        self.headed = False
        self.ended = False

    def read(self) -> Coroutine[object, object, bytes]:
        """Return all body bytes that have arrived, in one piece; wait if there are none.

        b"" is the good end. Bytes that came before a failure are given first. Raises
        ConnectionBroken, SilenceTimeout, DeadlinePassed or ProtocolViolation. A cancelled read
        gives the whole call up: who wants to do something else meanwhile keeps the read in a task.
        """
        if self.inflater is not None:
            return self._read_inflated(self.inflater)
        return self._read_raw()

    def arrived(self) -> bytes | None:
        """The whole body if it is there already, and nothing is left to close; else None."""
        if not self.ended or self.inflater is not None:
            return None
        parts = self.parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def pump(self, sink: Callable[[bytes], bool]) -> None:
        """Hand all body bytes to ``sink`` as they come, b"" at the good end, until it says False.

        What comes while this waits is handed on without waking the task, which is most of what an
        event alone in its read costs. Raises what ``read`` does, and what ``sink`` does.
        """
        if self.inflater is not None:
            while sink(await self._read_inflated(self.inflater)):
                pass
            return
        while sink(await self._read_raw()):
            if self.parts or self.carrier is None:
                continue
            self.since = self.loop.time()
            self.sink = sink
            self.waiter = waiter = Pause()
            try:
                await waiter
            except asyncio.CancelledError:
                self.waiter = None
                self.close()
                raise
            finally:
                stopped, self.sink = self.sink is None, None
            if self.trouble is not None:
                raise self.trouble
            if stopped:
                return

    def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Hand what has just come to the waiting task's sink; wake the task if that had enough."""
        data = self._drain()
        self.since = self.loop.time()
        try:
            if sink(data):
                return
        except Exception as trouble:  # noqa: BLE001  # it belongs to the task that pumps
            self.trouble = trouble
        self.sink = None
        self.wake()

    def hurry(self, seconds: float) -> None:
        """Give what is still to come so many seconds; then reading raises DeadlinePassed."""
        if self.carrier is not None:
            self.carrier.hurry(seconds)

    def close(self) -> None:
        """End the call: a whole reply's connection is in the pool already, any other is broken.

        A plain call, safe at any time, also while a task reads (its read fails) and twice.
        """
        carrier = self.carrier
        if carrier is not None:
            carrier.give_up(_given_up())
        self.closed = True
        self.ended = False
        if self.parts:
            self.parts = []

    def finish(self) -> None:
        """Close a reply whose end the caller has seen in the body itself (an SSE ``[DONE]``).

        The framing's last bytes often come a moment later; they get that moment, so that the
        connection can be used again. For a call that was given up, ``close`` is right.
        """
        carrier = self.carrier
        if carrier is None or not self.framed or self.waiter is not None:
            self.close()
            return
        self.closed = True
        self.parts = []
        self.size = 0
        carrier.linger()

    def whole(self) -> None:
        """The last byte has come."""
        self.carrier = None
        self.ended = not self.closed
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.end()

    def fail(self, error: TransportError) -> None:
        """The connection is lost."""
        self.carrier = None
        if self.error is None:
            self.error = error
        self.wake()

    def wake(self) -> None:
        """Let who waits go on, perhaps inside this call."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.end()

    async def _read_raw(self) -> bytes:
        while not self.parts:
            if self.error is not None:
                raise self.error
            if self.closed:
                raise _given_up()
            if self.ended:
                return b""
            if self.waiter is not None:
                raise RuntimeError("another task is reading this reply")
            self.since = self.loop.time()
            self.waiter = waiter = Pause()
            try:
                await waiter
            except asyncio.CancelledError:
                self.waiter = None
                self.close()
                raise
        return self._drain()

    def _drain(self) -> bytes:
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.size = 0
        if self.carrier is not None and self.carrier.paused:
            self.carrier.resume()
        return data

    async def _read_inflated(self, inflater: Inflater) -> bytes:
        try:
            while True:
                data = inflater.take(MAX_BUFFERED)
                if data:
                    return data
                raw = await self._read_raw()
                if not raw:
                    break
                inflater.put(raw)
        except ValueError as error:
            self.error = ProtocolViolation(
                f"the upstream sent a body that is {error}", sent_anything=True
            )
            self.close()
            raise self.error from None
        if inflater.cut:
            raise ConnectionBroken(
                "the upstream's reply ended in the middle of its compressed body",
                sent_anything=True,
            )
        return b""


def _given_up() -> ConnectionBroken:
    return ConnectionBroken("the call was given up on this side", sent_anything=True)
