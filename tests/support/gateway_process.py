"""The gateway as users run it: the installed command as a process, spoken to over its socket."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ADMIN_PASSWORD = "TotallySecurePassword"


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that configures a gateway or a proxy."""
    ours = ("CHATGPT_TO_API_", "SERVER_", "OPENAI_", "ACCESS_TOKENS", "API_", "PUID", "ADMIN_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **more}


class Answer:
    """A whole HTTP reply."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Answer:
    """Make one request; an error status is an answer too."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)
    try:
        with _opener.open(request, timeout=timeout) as reply:
            return Answer(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


class GatewayProcess:
    """A running ``serve``. ``output`` grows with what it prints."""

    def __init__(self, process: subprocess.Popen[str], data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.output: list[str] = []
        self._listening = threading.Event()
        self._port: int | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if self._port is None and (found := re.search(r"http://[\w.\-\[\]]+:(\d+)", line)):
                self._port = int(found[1])
                self._listening.set()
        self._listening.set()

    @property
    def text(self) -> str:
        return "".join(self.output)

    @property
    def port(self) -> int:
        """The port it listens on; waits for the start-up lines."""
        assert self._listening.wait(60), self.text
        assert self._port is not None, f"the gateway did not start:\n{self.text}"
        return self._port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def fetch(self, path: str, **more: Any) -> Answer:
        return fetch(self.url(path), **more)

    def ask(self, content: str = "hello", model: str = "gpt-3.5-turbo", **more: Any) -> Answer:
        """Ask one question at the chat completions door, as the guide's curl does."""
        headers, timeout = more.pop("headers", None), more.pop("timeout", 60)
        messages = more.pop("messages", [{"role": "user", "content": content}])
        body = json.dumps({"model": model, "messages": messages, **more}, ensure_ascii=False)
        path = "/v1/chat/completions"
        return self.fetch(path, method="POST", body=body, headers=headers, timeout=timeout)

    def admin(self, method: str, path: str, body: Any = None) -> Answer:
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        return self.fetch(path, method=method, body=data, headers={"Authorization": ADMIN_PASSWORD})

    def kill(self) -> None:
        """``kill -9``: nothing is written any more."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


def command(*arguments: str) -> list[str]:
    """The command line of this installation."""
    return [sys.executable, "-m", "chatgpt_to_api", *arguments]


@contextlib.contextmanager
def gateway_process(
    data_dir: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> Iterator[GatewayProcess]:
    """Run ``serve`` on a free port with this data folder and environment, and nothing else set."""
    defaults = {
        "SERVER_PORT": "0",
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "EMBEDDED_MODEL": "off",
        "CHATGPT_TO_API_DATA_DIR": str(data_dir),
    }
    process = subprocess.Popen(
        command("serve", *arguments),
        env=clean_environment(**{**defaults, **environment}),
        cwd=cwd or data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = GatewayProcess(process, data_dir)
    try:
        yield running
    finally:
        if process.poll() is None:
            try:
                running.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_command(
    *arguments: str, data_dir: Path, input: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(*arguments),
        env=clean_environment(**{"CHATGPT_TO_API_DATA_DIR": str(data_dir), **environment}),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        input=input,
        timeout=120,
    )


def wait_until(condition: Any, seconds: float = 20) -> None:
    """Poll another process's state, which has no event to await here."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        threading.Event().wait(0.02)
