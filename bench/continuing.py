"""What going on with the backend's conversation saves: a chat of 30 turns, with it and without.

Run as ``python bench/continuing.py``. A client that holds the whole chat asks one question after
another; the backend plays snapshots and counts what it is sent. CPU is the gateway's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import executable

import processes

TURNS = 30
CHATS = 20
"""How many chats are played one after another for each line; figures are medians of chats."""

QUESTION = "Then what follows from that for the second case, and where would you expect it? " * 3
ANSWER = "It follows that the tides of the second bay come later, by a quarter of a day. " * 15
PIECES = 20


@dataclass
class Counts:
    """What the backend was sent."""

    requests: int = 0
    sent: int = 0
    conversations: int = 0


class Backend:
    """A conversation backend: an answer in snapshots for whatever is asked."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.number = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                asked = json.loads(body)
                self.counts.requests += 1
                self.counts.sent += length
                self.counts.conversations += asked.get("conversation_id") is None
                self.number += 1
                data = self.reply(asked.get("conversation_id") or f"c-{self.number}")
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(data), data)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def reply(self, conversation_id: str) -> bytes:
        events = []
        for piece in range(1, PIECES + 1):
            last = piece == PIECES
            message = {
                "id": f"m-{self.number}",
                "author": {"role": "assistant"},
                "content": {
                    "content_type": "text",
                    "parts": [ANSWER[: len(ANSWER) * piece // PIECES]],
                },
                "status": "finished_successfully" if last else "in_progress",
                "end_turn": True if last else None,
                "metadata": {"finish_details": {"type": "stop"}} if last else {},
                "recipient": "all",
            }
            event = {"message": message, "conversation_id": conversation_id, "error": None}
            events.append(b"data: " + json.dumps(event).encode() + b"\n\n")
        return b"".join([*events, b"data: [DONE]\n\n"])


@contextmanager
def gateway(folder: Path, backend: int, *, goes_on: bool) -> Iterator[processes.Server]:
    """Run a gateway in front of the backend."""
    port = processes.free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "API_REVERSE_PROXY": f"http://127.0.0.1:{backend}/backend-api/conversation",
        "ACCESS_TOKENS": "eyJbench",
        "ENABLE_HISTORY": "true",
        "CHATGPT_TO_API_CONTINUE_CONVERSATIONS": str(goes_on).lower(),
        "CHATGPT_TO_API_DATA_DIR": str(folder / f"data-{goes_on}"),
        "SERVER_PORT": str(port),
        "EMBEDDED_MODEL": "off",
    }
    command = [executable, "-m", "chatgpt_to_api", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        processes.wait_for(port)
        yield processes.Server("gateway", port, (process.pid,))
    finally:
        process.terminate()
        process.wait(20)


async def chat(port: int, opening: str) -> None:
    """Play one chat: every question with all that was said before it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    messages = [{"role": "system", "content": opening}]
    for _ in range(TURNS):
        messages.append({"role": "user", "content": QUESTION})
        body = json.dumps({"model": "gpt-4", "messages": messages}).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        reply = json.loads(await reader.readexactly(length))
        messages.append(reply["choices"][0]["message"])
        assert messages[-1]["content"] == ANSWER, reply
    writer.close()


class Way:
    """One way to ask, with a gateway and a backend of its own."""

    def __init__(self, name: str, running: processes.Server, backend: Backend) -> None:
        self.name = name
        self.running = running
        self.backend = backend
        self.costs: list[float] = []
        self.times: list[float] = []

    async def play(self, number: int) -> None:
        """Play one chat; the first only warms up."""
        cpu, start = self.running.cpu(), time.perf_counter()
        await chat(self.running.port, f"This is chat {number}.")
        if number:
            self.costs.append((self.running.cpu() - cpu) * 1e3)
            self.times.append((time.perf_counter() - start) * 1e3)
        else:
            self.backend.counts = Counts()

    def line(self) -> str:
        counts = self.backend.counts
        columns = [
            self.name,
            f"{counts.requests / CHATS:g}",
            f"{counts.conversations / CHATS:g}",
            f"{counts.sent / CHATS / 1000:.1f} kB",
            f"{statistics.median(self.costs):.1f} ms",
            f"{statistics.median(self.times):.0f} ms",
        ]
        return f"| {' | '.join(columns)} |"


async def main() -> None:
    print(
        f"One chat of {TURNS} turns: questions of {len(QUESTION)} characters, answers of "
        f"{len(ANSWER)}; medians of {CHATS} chats, the two ways in turns.\n"
    )
    ways = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for goes_on in (False, True):
            backend = Backend()
            server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=1 << 20)
            port = server.sockets[0].getsockname()[1]
            running = stack.enter_context(gateway(folder, port, goes_on=goes_on))
            ways.append(Way("continued" if goes_on else "whole each time", running, backend))
        for number in range(CHATS + 1):
            for way in ways:
                await way.play(number)
    await asyncio.sleep(0.1)  # the backends see the gateways' connections end
    print("| | upstream requests | conversations | sent upstream | gateway's CPU | whole time |")
    print("|---|---:|---:|---:|---:|---:|")
    for way in ways:
        print(way.line())


if __name__ == "__main__":
    asyncio.run(main())
