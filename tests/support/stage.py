"""One gateway and one scripted backend that tests share, and the command run beside them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.gateway_process import ADMIN_PASSWORD, GatewayProcess, gateway_process, run_command
from support.scripted_backend import Play, Script, ScriptedBackend, Seen, json_play


class Stage:
    """``script`` answers the backend's next requests; each test sets its own."""

    def __init__(self, data_dir: Path, backend: ScriptedBackend) -> None:
        self.data_dir = data_dir
        self.backend = backend
        self.script: Script = missing_token
        self.gateway: GatewayProcess

    def play(self, seen: Seen) -> Play:
        return self.script(seen)

    def run(
        self, *arguments: str, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the gateway's own data folder, with its settings."""
        return run_command(
            *arguments,
            data_dir=self.data_dir,
            input=input,
            **{"API_REVERSE_PROXY": self.backend.url(), "EMBEDDED_MODEL": "off", **environment},
        )

    def put_tokens(self, *tokens: Any) -> None:
        """Make these the gateway's tokens."""
        answer = self.gateway.admin("PATCH", "/admin/tokens", list(tokens))
        assert answer.status == 200, answer.text


def missing_token(seen: Seen) -> Play:
    """What a conversation backend says to a request without a token."""
    return json_play({"errorMessage": "Missing accessToken."}, 401)


@contextlib.contextmanager
def backend_thread(script: Script) -> Iterator[ScriptedBackend]:
    """Run a scripted backend on a thread of its own, for tests that block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    backend = ScriptedBackend(script)

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    run(backend.__aenter__())
    try:
        yield backend
    finally:
        run(backend.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@contextlib.contextmanager
def stage(data_dir: Path, **environment: str) -> Iterator[Stage]:
    """Run a gateway in front of a scripted backend."""

    def play(seen: Seen) -> Play:
        return standing.play(seen)

    with backend_thread(play) as backend:
        standing = Stage(data_dir, backend)
        variables = {"API_REVERSE_PROXY": backend.url(), "ADMIN_PASSWORD": ADMIN_PASSWORD}
        with gateway_process(data_dir, **variables, **environment) as gateway:
            standing.gateway = gateway
            assert gateway.port
            yield standing
