"""A load generator: keep-alive connections that ask the same question again and again."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

import httptools


@dataclass
class Result:
    """What a run brought: replies, their latencies in seconds, body bytes, and what went wrong."""

    replies: int = 0
    failures: int = 0
    body_bytes: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Latency that ``share`` of the replies stay below, seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def question(path: str, model: str, *, stream: bool) -> bytes:
    """One request, ready to be written."""
    body = json.dumps(
        {
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": "Why do clocks envy the tide?"}],
            **({"stream_options": {"include_usage": True}} if stream else {}),
        }
    ).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class _Asker(asyncio.Protocol):
    """One connection: asks, waits for the whole reply, asks again until the budget is spent."""

    def __init__(self, request: bytes, budget: list[int], result: Result, done: asyncio.Event):
        self._request = request
        self._budget = budget
        self._result = result
        self._done = done
        self._status = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._ask()

    def _ask(self) -> None:
        if self._budget[0] <= 0:
            self._transport.close()
            return
        self._budget[0] -= 1
        self._start = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_status(self, _: bytes) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._result.body_bytes += len(body)

    def on_message_complete(self) -> None:
        self._result.latencies.append(time.perf_counter() - self._start)
        if self._status == 200:
            self._result.replies += 1
        else:
            self._result.failures += 1
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._done.set()


async def ask(port: int, request: bytes, *, replies: int, connections: int) -> Result:
    """Ask for ``replies`` replies over ``connections`` connections."""
    loop = asyncio.get_running_loop()
    result = Result()
    budget = [replies]
    finished = [asyncio.Event() for _ in range(connections)]
    start = time.perf_counter()
    for done in finished:
        await loop.create_connection(
            lambda done=done: _Asker(request, budget, result, done),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    await asyncio.gather(*(done.wait() for done in finished))
    result.seconds = time.perf_counter() - start
    return result


async def hold(port: int, request: bytes, count: int) -> list[asyncio.StreamWriter]:
    """Open ``count`` streams and wait until each has brought its first event."""

    async def one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"data: ")
        return writer

    writers: list[asyncio.StreamWriter] = []
    for _ in range(0, count, 100):
        writers += await asyncio.gather(*(one() for _ in range(min(100, count - len(writers)))))
    return writers
