"""An exchange without a socket: the request is given, the reply is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from chatgpt_to_api.errors import BodyTooLarge
from chatgpt_to_api.wire.http import Header, Headers, HttpReply, RequestHead


class RecordedExchange:
    """Implements the gateway's ``Exchange``. ``sent`` is the reply's body so far."""

    def __init__(
        self, body: Any, path: str = "/backend-api/conversation", headers: Headers = ()
    ) -> None:
        self.head = RequestHead("POST", path, b"", headers)
        self.peer = "127.0.0.1"
        self.request_id = "test"
        self.status = 0
        self.headers: Headers = ()
        self.sent = b""
        self.wrote = asyncio.Event()
        self.finished = False
        self.aborted = False
        self.gone = False
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()

    @property
    def work(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None
        return task

    def arrived(self, limit: int) -> bytes | None:
        return None

    async def body(self, limit: int) -> bytes:
        if len(self._body) > limit:
            raise BodyTooLarge("too large")
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def start(self, status: int, headers: Headers) -> None:
        assert not self.status, "started twice"
        self.status, self.headers = status, headers

    def write(self, data: bytes) -> None:
        assert self.status, "written before it was started"
        assert not self.finished, "written after its end"
        self.sent += data
        self.wrote.set()

    @property
    def congested(self) -> bool:
        return False

    async def drain(self) -> None:
        pass

    def reply(self, reply: HttpReply, *more: Header) -> None:
        self.start(reply.status, [*reply.headers, *more])
        self.finish(reply.body)

    def finish(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    def on_gone(self, callback: Callable[[], None]) -> None:
        pass

    @property
    def started(self) -> bool:
        return bool(self.status)

    @property
    def json(self) -> Any:
        return json.loads(self.sent)

    @property
    def events(self) -> list[Any]:
        """The JSON of the stream's events; ``[DONE]`` as text."""
        found = []
        for event in self.sent.decode().split("\n\n"):
            if event.startswith("data: "):
                found.append("[DONE]" if event == "data: [DONE]" else json.loads(event[6:]))
        return found
