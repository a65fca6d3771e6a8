"""A scripted upstream: a real HTTP server on loopback that plays exact bytes, in exact pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Literal, Self

Ending = Literal["whole", "close", "reset", "hang"]


@dataclass
class Play:
    """One reply: status, headers, body pieces (each written and flushed alone), and its end.

    ``whole``: a complete chunked body; ``close``: the connection closes without the last chunk;
    ``reset``: it is reset; ``hang``: nothing more comes until the client goes away.
    ``gate`` is awaited before the head leaves, ``gates[i]`` before piece ``i``.
    """

    status: int = 200
    pieces: Sequence[bytes] = ()
    content_type: str = "text/event-stream; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()
    end: Ending = "whole"
    gate: asyncio.Event | None = None
    gates: dict[int, asyncio.Event] = field(default_factory=dict)


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str:
        """The bearer token, "" where there is none."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


Script = Callable[[Seen], Play]


class ScriptedBackend:
    """Plays a script: plays in order (the last one repeats), or a function of the request.

    ``running`` counts requests whose reply has not ended; ``most_running`` is its highest value,
    ``most_per_token`` the same for each token.
    """

    def __init__(self, script: Script | Sequence[Play]) -> None:
        self.running = 0
        self.running_per_token: dict[str, int] = {}
        self._begin(script)
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _begin(self, script: Script | Sequence[Play]) -> None:
        self._plays = list(script) if not callable(script) else []
        self._script = script if callable(script) else self._next
        self.seen: list[Seen] = []
        self.most_running = 0
        self.most_per_token: dict[str, int] = {}
        self.hung_up = 0

    async def forget(self, script: Script | Sequence[Play]) -> None:
        """Play this from now on, as if nothing had been asked before."""
        await self.until(lambda: self.running == 0)
        self._begin(script)

    def _next(self, seen: Seen) -> Play:
        return self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, path: str = "/backend-api/conversation") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def tokens(self) -> list[str]:
        """Tokens of the requests, in order of arrival."""
        return [seen.token for seen in self.seen]

    def listed(self, times: int = 1) -> bool:
        """Whether it was asked so often for its models: as a gateway does by itself once it runs.

        Whoever counts what a test has asked waits for that first.
        """
        paths = [seen.path.partition("?")[0] for seen in self.seen if seen.method == "GET"]
        return sum(path.endswith(("/models", "/tags")) for path in paths) >= times

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is looked at whenever something happened here."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(condition)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            early: bytes | None = b""
            while early is not None:
                early = await self._one(early, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up += 1
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await self._note()

    async def _one(
        self, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """Serve one request; return what came early of the next one, None where none can follow."""
        head = early + await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(method, path, headers, body)
        play = self._script(seen)
        self.seen.append(seen)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        count = self.running_per_token[seen.token] = self.running_per_token.get(seen.token, 0) + 1
        self.most_per_token[seen.token] = max(self.most_per_token.get(seen.token, 0), count)
        await self._note()
        # A client that hangs up is seen by reading on; a byte that comes is the next request's.
        gone = asyncio.create_task(reader.read(1))
        playing = asyncio.create_task(self._play(play, writer))
        try:
            await asyncio.wait({gone, playing}, return_when=asyncio.FIRST_COMPLETED)
            next_byte = gone.result() if gone.done() else b""
            if not playing.done() and not next_byte:
                self.hung_up += 1
                return None
            await playing
            return next_byte if play.end == "whole" else None
        finally:
            gone.cancel()
            playing.cancel()
            await asyncio.gather(gone, playing, return_exceptions=True)
            self.running -= 1
            self.running_per_token[seen.token] -= 1
            await self._note()

    async def _play(self, play: Play, writer: asyncio.StreamWriter) -> None:
        if play.gate is not None:
            await play.gate.wait()
        lines = [
            f"HTTP/1.1 {play.status} X",
            f"content-type: {play.content_type}",
            "transfer-encoding: chunked",
            *(f"{name}: {value}" for name, value in play.headers),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        for i, piece in enumerate(play.pieces):
            if i in play.gates:
                await play.gates[i].wait()
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if play.end == "whole":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif play.end == "hang":
            await asyncio.Event().wait()
        elif play.end == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@contextlib.asynccontextmanager
async def scripted_backend(script: Script | Sequence[Play]) -> AsyncIterator[ScriptedBackend]:
    """Run a scripted backend for the length of a block."""
    async with ScriptedBackend(script) as backend:
        yield backend


# -- bytes in the shapes of the protocols ---------------------------------------------------------


def conversation_events(
    texts: Iterable[str],
    *,
    model: str = "text-davinci-002-render-sha",
    finish: str = "stop",
    conversation_id: str = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61",
    message_id: str = "a94f2c07-31d8-4be5-8c6f-0e57d9b3a218",
) -> list[bytes]:
    """A v0 reply: one growing snapshot for each piece of text, the finished one, and [DONE]."""
    text = ""
    events = []

    def event(**more: Any) -> bytes:
        message = {
            "id": message_id,
            "author": {"role": "assistant", "name": None, "metadata": {}},
            "create_time": 1697031001.25,
            "update_time": None,
            "content": {"content_type": "text", "parts": [text]},
            "status": "in_progress",
            "end_turn": None,
            "weight": 1.0,
            "metadata": {"message_type": "next", "model_slug": model},
            "recipient": "all",
            **more,
        }
        data = {"message": message, "conversation_id": conversation_id, "error": None}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    for piece in texts:
        text += piece
        events.append(event())
    metadata = {
        "message_type": "next",
        "model_slug": model,
        "finish_details": {"type": finish},
    }
    ended = None if finish == "max_tokens" else True
    events.append(event(status="finished_successfully", end_turn=ended, metadata=metadata))
    events.append(b"data: [DONE]\n\n")
    return events


def conversation(*texts: str, **more: Any) -> Play:
    """A whole v0 reply of these pieces."""
    return Play(pieces=conversation_events(texts, **more))


def chat_chunks(texts: Iterable[str], *, model: str = "gpt-x", **more: Any) -> list[bytes]:
    """A streamed chat-completions reply; ``more`` goes into every chunk."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        data = {
            "id": "chatcmpl-up",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            **more,
        }
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    pieces = [chunk({"role": "assistant", "content": ""})]
    pieces += [chunk({"content": text}) for text in texts]
    return [*pieces, chunk({}, "stop"), b"data: [DONE]\n\n"]


def json_play(data: Any, status: int = 200, **headers: str) -> Play:
    """A whole JSON reply."""
    return Play(
        status=status,
        pieces=[json.dumps(data).encode()],
        content_type="application/json",
        headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
    )


def html_play(status: int, html: str = "<html><title>Just a moment...</title></html>") -> Play:
    """A page instead of an API reply."""
    return Play(status=status, pieces=[html.encode()], content_type="text/html; charset=UTF-8")
