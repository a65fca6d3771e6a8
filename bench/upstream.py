"""The benchmark's upstream: plays prepared bytes as fast, or as evenly, as asked.

Run as ``python bench/upstream.py``; prints its port. The path says what is played:
``/v1/chat/completions`` a chat reply (streamed if the body asks), ``/snapshots…`` and
``/deltas…`` a conversation reply in a burst. ``/paced/…`` before a path sends one event every
``PACE`` seconds; ``/held/…`` sends the first events and then nothing until the client leaves.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import replies
import uvloop

PACE = 0.02


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def json_reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


WHOLE = json_reply(replies.chat_reply())
MODELS = json_reply(b'{"object":"list","data":[]}')
EVENTS = {
    "chat": replies.chat_events(),
    "snapshots": replies.snapshot_events(),
    "deltas": replies.delta_events(),
}
BURST = {name: HEAD + chunked(b"".join(events)) + b"0\r\n\r\n" for name, events in EVENTS.items()}


class Player(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.parser = httptools.HttpRequestParser(self)
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def on_message_begin(self) -> None:
        self.path = b""
        self.streams = False

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.streams = self.streams or b'"stream":true' in body.replace(b" ", b"")

    def on_message_complete(self) -> None:
        if self.path.endswith(b"/models"):
            self.transport.write(MODELS)
            return
        name = next((n for n in EVENTS if n.encode() in self.path), "chat")
        if name == "chat" and not self.streams:
            self.transport.write(WHOLE)
        elif self.path.startswith(b"/paced/"):
            self.transport.write(HEAD)
            self.pace(EVENTS[name], 0)
        elif self.path.startswith(b"/held/"):
            self.transport.write(HEAD + b"".join(map(chunked, EVENTS[name][:4])))
        else:
            self.transport.write(BURST[name])

    def pace(self, events: list[bytes], i: int) -> None:
        if i == len(events):
            self.transport.write(b"0\r\n\r\n")
            return
        self.transport.write(chunked(events[i]))
        self.timer = self.loop.call_later(PACE, self.pace, events, i + 1)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Player(loop), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # ends with the benchmark


if __name__ == "__main__":
    uvloop.run(main())
