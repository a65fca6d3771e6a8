"""Keep the embedded model's child process running, and know how it is doing.

The port is chosen once and kept bound here, so the upstream's address holds over restarts and
nobody else can take it while the child is away. A random key between the two keeps other users of
the machine out.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from chatgpt_to_api.config.settings import EmbeddedModelSettings
from chatgpt_to_api.local_model.errors import ModelUnavailable
from chatgpt_to_api.local_model.model_file import MODEL_NAME, VECTOR_SIZE
from chatgpt_to_api.local_model.order import Order, Report
from chatgpt_to_api.local_model.runtime import RUNTIME_MISSING, runtime_available
from chatgpt_to_api.wire.secret import Secret

log = structlog.get_logger(__name__)

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
STEADY_AFTER: Final = 60.0
"""Seconds between restarts: doubled each time, from the first again after a steady run."""

LOAD_TIMEOUT: Final = 120.0
"""Longest time to load the model, seconds."""

STOP_TIMEOUT: Final = 5.0
"""Longest time a child gets to end by itself, seconds."""

MOST_THREADS: Final = 8
"""More threads make so small a model slower. So do threads that have to wait for a core: they wait
for each other at every layer, which on two busy cores is ten times slower than one thread. Half the
cores leaves room for the gateway and for others."""

_LAST_LINES: Final = 5
_LONGEST_LINE: Final = 8192


class ModelState(msgspec.Struct, frozen=True):
    """How the embedded model is doing.

    ``phase``: ``starting`` (loading), ``ready``, ``waiting`` (for its next start) or ``stopped``.
    ``reason``: why it is not ready, "" where there is nothing to say. ``restarts``: how often it
    had to be started again. ``pid`` of the child, None while there is none.
    """

    phase: Literal["starting", "ready", "waiting", "stopped"] = "stopped"
    reason: str = ""
    restarts: int = 0
    pid: int | None = None


class LocalModel:
    """The embedded model as an OpenAI-compatible server on loopback.

    ``base_url``, ``api_key`` and ``models`` say how it is called; they hold from the beginning to
    the end, whatever happens to the child.
    """

    def __init__(
        self,
        model: Path,
        settings: EmbeddedModelSettings,
        on_state: Callable[[ModelState], None] | None = None,
    ) -> None:
        """Reserve the address; ``on_state`` will be told of each new state.

        Raises ModelUnavailable where the runtime is not installed.
        """
        if not runtime_available():
            raise ModelUnavailable(RUNTIME_MISSING)
        self.api_key = Secret(secrets.token_urlsafe(24))
        self.models: tuple[str, ...] = (MODEL_NAME,)
        self.vector_size = VECTOR_SIZE
        self.context = settings.context
        self.state = ModelState()
        self._place = _reserve_port()
        port: int = self._place.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        reuse_port = hasattr(socket, "SO_REUSEPORT")
        if not reuse_port:  # a port is either reserved or free to be listened on
            self._place.close()
        self._order = Order(
            model=str(model),
            name=MODEL_NAME,
            port=port,
            reuse_port=reuse_port,
            api_key=self.api_key.reveal(),
            threads=settings.threads or max(1, min(_cores() // 2, MOST_THREADS)),
            parallel=settings.parallel,
            context=settings.context,
        )
        self._changed = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None
        self._on_state = on_state

    def start(self) -> None:
        """Begin to load and supervise; returns at once. Does nothing if it runs already."""
        if self._supervision is None:
            self._set(ModelState("starting"))
            self._supervision = asyncio.create_task(self._supervise(), name="embedded model")

    async def ready(self, within: float) -> bool:
        """Wait until it answers, at most ``within`` seconds; tell whether it does.

        False at once if it is not ready and will only be tried again later.
        """
        try:
            async with asyncio.timeout(within):
                while self.state.phase == "starting":
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.state.phase == "ready"

    async def stop(self) -> None:
        """End the child and the supervision; a second call does nothing."""
        supervision, self._supervision = self._supervision, None
        if supervision is not None:
            supervision.cancel()
            await asyncio.wait([supervision])
        self._place.close()
        self._set(ModelState("stopped", restarts=self.state.restarts))

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        delay, restarts = FIRST_DELAY, 0
        while True:
            began = loop.time()
            reason = await self._run_once(restarts)
            if loop.time() - began > STEADY_AFTER:
                delay = FIRST_DELAY
            log.warning("embedded model ended", reason=reason, restart_in=delay)
            self._set(ModelState("waiting", reason, restarts))
            await asyncio.sleep(delay)
            delay, restarts = min(delay * 2, LONGEST_DELAY), restarts + 1
            self._set(ModelState("starting", reason, restarts))

    async def _run_once(self, restarts: int) -> str:
        """Run the child until it ends; return why it did."""
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # what lies in the working directory is not ours to import
                "-m",
                "chatgpt_to_api.local_model.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            return f"it could not be started: {error.strerror}"
        assert child.stdin and child.stdout and child.stderr
        last_words: deque[str] = deque(maxlen=_LAST_LINES)
        listener = asyncio.create_task(_listen(child.stderr, last_words))
        try:
            child.stdin.write(msgspec.json.encode(self._order) + b"\n")
            try:
                async with asyncio.timeout(LOAD_TIMEOUT):
                    said = await child.stdout.readline()
            except TimeoutError:
                return f"it did not load within {LOAD_TIMEOUT:g} s"
            if said.endswith(b"\n"):
                address = msgspec.json.decode(said, type=Report).address
                self._set(ModelState("ready", "", restarts, child.pid))
                log.info("embedded model ready", address=address, pid=child.pid)
            code = await child.wait()
            await listener
            return " ".join([_end(code), *last_words])
        finally:
            await _finish(child)
            listener.cancel()

    def _set(self, state: ModelState) -> None:
        self.state = state
        self._changed.set()
        self._changed.clear()
        if self._on_state is not None:
            self._on_state(state)


_REMARK: Final = re.compile(r"[\d.]+ [DIW] ")
"""A line of llama.cpp's own log that tells of no error: none of them is why a child ended."""


async def _listen(stream: asyncio.StreamReader, last: deque[str]) -> None:
    """Read what the child says until it ends: to our log, and the last lines kept."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit; what was read of it is dropped
            continue
        if not line:
            return
        text = line.decode("utf-8", "replace").strip()
        if text:
            if not _REMARK.match(text):
                last.append(text)
            log.debug("embedded model said", line=text)


async def _finish(child: asyncio.subprocess.Process) -> None:
    """See to it that the child has ended."""
    if child.returncode is not None:
        return
    assert child.stdin
    child.stdin.close()  # asks it to end
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _end(code: int) -> str:
    return f"killed by signal {-code}." if code < 0 else f"ended with code {code}."


def _reserve_port() -> socket.socket:
    """Bind a free loopback port without listening, shared only with our own child."""
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if hasattr(socket, "SO_REUSEPORT"):
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", 0))
    return place


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
