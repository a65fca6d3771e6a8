"""A process that serves a front until it is told to stop: for what signals and ports do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.server.listen import bind, new_event_loop, serve
from support.door_server import EVENTS, Wire, make_front, whole


async def handle(exchange: Exchange, caller: Caller) -> None:
    """``stream``: an endless stream; ``hang``: no reply ever; else the body back, and the limit."""
    body = await exchange.body(1000)
    if body == b"stream":
        exchange.start(200, [EVENTS])
        exchange.write(b"event")
        await asyncio.Event().wait()
    elif body == b"hang":
        await asyncio.Event().wait()
    elif body == b"files":
        import resource

        whole(exchange, str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]).encode())
    else:
        whole(exchange, body)


class ServingProcess:
    """The running child."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def connect(self) -> Wire:
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stopped_listening(self) -> None:
        """Wait until nobody new is let in."""
        with contextlib.suppress(OSError):
            while True:
                (await self.connect()).close()

    async def output(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode()


@contextlib.asynccontextmanager
async def serving_process(drain: float, *before: str) -> AsyncIterator[ServingProcess]:
    """Start the child; ``before`` is a shell command to run first (``ulimit -n 200``)."""
    command = [sys.executable, "-m", "support.serving_process", str(drain)]
    if before:
        command = ["sh", "-c", f'{before[0]} && exec "$@"', "sh", *command]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield ServingProcess(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(drain: float) -> None:
    async def run() -> None:
        sockets = bind("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        await serve(make_front(handle), sockets, drain=drain, started=lambda: say(port))
        say("closed well")

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main(float(sys.argv[1]))
