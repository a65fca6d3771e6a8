"""A request's body that is sent piece by piece, while its reply may come at any moment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

from chatgpt_to_api.transport.connection import Connection
from chatgpt_to_api.transport.errors import ConnectionBroken
from chatgpt_to_api.transport.reply import Reply
from chatgpt_to_api.transport.watch import Watch


class Upload:
    """Sends ``pieces`` on a connection whose head has left, each when there is room for it.

    ``length``: the bytes that the head announced; None for chunks. While ``pieces`` are waited
    for, it is not the upstream that is silent. ``failure`` is what went wrong with the pieces
    themselves: the connection is then broken, so that half a body is not taken for a whole one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        connection: Connection,
        reply: Reply,
        pieces: AsyncIterator[bytes],
        length: int | None,
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._connection = connection
        self._reply = reply
        self._pieces = pieces
        self._length = length
        self.failure: BaseException | None = None
        connection.sending = True
        self._task = loop.create_task(self._send())
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Send no more; a connection with half a body on it is not used again."""
        self._task.cancel()

    async def _send(self) -> None:
        connection, left = self._connection, self._length
        while left != 0:
            self._reply.since = math.inf
            piece = await anext(self._pieces, b"")
            self._heard_nothing_since_now()
            if not piece:
                break
            if left is None:
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                continue
            left -= len(piece)
            if left < 0:
                raise ValueError("the body is longer than its length")
            if left == 0:
                connection.sending = False
            await connection.send(piece)
        if left:
            raise ValueError("the body is shorter than its length")
        connection.sending = False
        if left is None:
            await connection.send(b"0\r\n\r\n")
        self._heard_nothing_since_now()

    def _heard_nothing_since_now(self) -> None:
        """From now on the upstream's silence counts."""
        reply = self._reply
        reply.since = self._loop.time()
        self._watch.expect(min(reply.deadline, reply.since + reply.silence))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        self.failure = task.exception()
        if self.failure is not None:
            self._connection.give_up(
                ConnectionBroken("the body to be sent broke off", sent_anything=True)
            )
