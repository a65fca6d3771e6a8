"""Listening, serving and stopping: uvicorn's server around our protocol class."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Final

import structlog
import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from chatgpt_to_api.server.front import ServerFront
from chatgpt_to_api.server.protocol import HttpProtocol, protocol_for

log = structlog.get_logger(__name__)

BACKLOG: Final = 2048

CUT_TIME: Final = 5.0
"""How long cancelled requests get to clean up before their connections are cut, seconds."""

OPEN_FILES: Final = 65_536
"""Sockets the process asks to be allowed: two a request, and systems often start at 1024."""


class CannotListen(Exception):
    """The address to listen on cannot be had; the message says why and what to do."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to every address of ``host``; port 0 takes a free one, for all the same.

    Raises CannotListen.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(
            f"SERVER_HOST {host!r} is neither an address nor a name of this machine ({error})."
        ) from error
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            where = (address[0], port or _port(sockets), *address[2:])
            sockets.append(_bound(family, where))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise CannotListen(_why(error, host, port)) from error
    return sockets


async def serve(
    front: ServerFront,
    sockets: Sequence[socket.socket],
    *,
    drain: float,
    started: Callable[[], None],
) -> None:
    """Serve until SIGTERM, SIGINT or cancellation.

    ``started`` is called once the sockets accept. At the signal they close, running requests get
    ``drain`` seconds, then they are cut; a second signal cuts them at once.
    """
    _allow_many_files()
    # An ASGI program is mandatory for uvicorn; ours is reached through the front.
    config = uvicorn.Config(
        _nothing,
        http=protocol_for(front),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
    )
    server = _Server(config, front, drain=drain, started=started)
    try:
        await server.serve(sockets=list(sockets))
    except asyncio.CancelledError:
        await server.shutdown(sockets=list(sockets))
        raise


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the fastest event loop of this platform: uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class _Server(uvicorn.Server):
    """uvicorn's server with our way to stop, and without its wake-ups ten times a second."""

    def __init__(
        self,
        config: uvicorn.Config,
        front: ServerFront,
        *,
        drain: float,
        started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._front = front
        self._drain = drain
        self._when_started = started
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_shut = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._when_started()

    async def main_loop(self) -> None:
        await self._stop.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """A signal came: stop, and stop at once if it is not the first."""
        event = self._at_once if self.should_exit else self._stop
        self.should_exit = True
        self._loop.call_soon_threadsafe(event.set)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals while serving; afterwards the caller still has things to close."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread hears of signals
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let running requests end, then end them."""
        if self._is_shut:
            return
        self._is_shut = True
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        connections: set[HttpProtocol] = self.server_state.connections  # type: ignore[assignment]
        tasks = self.server_state.tasks
        for connection in tuple(connections):
            connection.shutdown()
        if tasks:
            log.info(
                "stopping when running requests have ended; another signal cuts them",
                count=len(tasks),
                seconds=self._drain,
            )
        waits = {asyncio.create_task(self._quiet()), asyncio.create_task(self._at_once.wait())}
        await asyncio.wait(waits, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if tasks:
            log.warning("running requests are cut", count=len(tasks))
            for task in tuple(tasks):
                task.cancel()
            await asyncio.wait(tuple(tasks), timeout=CUT_TIME)
        for connection in tuple(connections):
            connection.cut()
        await self._front.roster.empty()

    async def _quiet(self) -> None:
        """Wait until nothing is asked, answered or sent any more."""
        await self._front.roster.empty()
        while tasks := tuple(self.server_state.tasks):
            await asyncio.wait(tasks)


async def _nothing(_scope: object, _receive: object, _send: object) -> None:
    raise RuntimeError("requests do not come this way")


def _bound(family: int, address: tuple[str | int, ...]) -> socket.socket:
    # Named outright: asyncio sends small writes at once (TCP_NODELAY) only on what says it is TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # there SO_REUSEADDR would let two programs share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _notice_vanished_peers(sock)
        if family == socket.AF_INET6:
            everywhere = address[0] == "::"
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not everywhere)
        sock.bind(address)
        # Listening shows a port in use that binding does not, and keeps early clients waiting.
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _notice_vanished_peers(sock: socket.socket) -> None:
    """Let the system probe silent connections; those that are accepted inherit it.

    A client whose machine lost power or network says nothing more, not even goodbye: it is found
    gone after about two minutes, and its request is stopped.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _port(sockets: Sequence[socket.socket]) -> int:
    """The port that the first socket got, 0 before there is one."""
    if not sockets:
        return 0
    port: int = sockets[0].getsockname()[1]
    return port


def _why(error: OSError, host: str, port: int) -> str:
    where = f"{host or 'any address'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use: another program, perhaps another gateway, listens there. Stop it, "
            "or choose another port with SERVER_PORT."
        )
    if error.errno == errno.EACCES:
        return (
            f"{where} may not be used by this user (ports below 1024 need rights). Choose another "
            "port with SERVER_PORT."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Set SERVER_HOST to one that is."
    return f"{where} cannot be listened on: {error.strerror or error}."


def _allow_many_files() -> None:
    """Raise the soft limit of open files as far as the hard one allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
