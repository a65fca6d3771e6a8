"""The processes of a benchmark run: the upstream, nginx, the gateway; their CPU and memory."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent


@dataclass
class Server:
    """A running server: its port, and the processes whose CPU and memory count."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """CPU time used so far, seconds, to the nanosecond (Linux ``schedstat``)."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def rss(self) -> int:
        """Resident memory, bytes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Start:
    """What a start took until the first ``/ping`` was answered: on the clock, and of CPU time."""

    seconds: float
    cpu: float


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int, path: str = "/ping", seconds: float = 20) -> float:
    """Wait until something answers on ``port``; return how long it took, seconds."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                sock.sendall(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
                if sock.recv(12).startswith(b"HTTP/1."):
                    return time.perf_counter() - start
        except OSError:
            time.sleep(0.005)
    raise TimeoutError(f"nothing answered on port {port}")


@contextlib.contextmanager
def _running(command: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, **more)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """Run the upstream; yield its port."""
    command = [sys.executable, str(BENCH / "upstream.py")]
    with _running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def nginx_version() -> str | None:
    """Version of the nginx on this machine, None where there is none."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        return None
    return subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr.strip()


@contextlib.contextmanager
def nginx(folder: Path, upstream_port: int) -> Iterator[Server]:
    """Run nginx as a plain proxy of one worker in front of the upstream."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(f"""
worker_processes 1;
user {getpass.getuser()};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream backend {{
    server 127.0.0.1:{upstream_port};
    keepalive 256;
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
""")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    binary = shutil.which("nginx", path=path)
    assert binary is not None
    with _running([binary, "-c", str(config), "-p", str(folder)]) as process:
        wait_for(port, "/v1/chat/completions")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Server("nginx", port, tuple(map(int, children)))


CONFIG = """
[upstreams.chat]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_keys = ["bench-key"]
models = ["bench-model"]

[upstreams.paced]
kind = "openai"
base_url = "http://127.0.0.1:{port}/paced/v1"
api_keys = ["bench-key"]
models = ["paced-model"]

[upstreams.held]
kind = "openai"
base_url = "http://127.0.0.1:{port}/held/v1"
api_keys = ["bench-key"]
models = ["held-model"]

[upstreams.{name}]
kind = "conversation"
base_url = "http://127.0.0.1:{port}/{name}/conversation"
models = ["{name}-model"]
"""


@contextlib.contextmanager
def gateway(folder: Path, upstream_port: int, conversation: str) -> Iterator[tuple[Server, Start]]:
    """Run the gateway in front of the upstream; yield it and what its start took."""
    port = free_port()
    data = folder / f"data-{conversation}"
    data.mkdir()
    config = folder / f"{conversation}.toml"
    config.write_text(CONFIG.format(port=upstream_port, name=conversation))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "CHATGPT_TO_API_CONFIG": str(config),
        "CHATGPT_TO_API_DATA_DIR": str(data),
        "SERVER_PORT": str(port),
        "EMBEDDED_MODEL": "off",
        "ADMIN_PASSWORD": "bench-password",
    }
    command = [sys.executable, "-m", "chatgpt_to_api", "serve"]
    with _running(command, env=environment, stdout=subprocess.DEVNULL) as process:
        seconds = wait_for(port)
        server = Server("gateway", port, (process.pid,))
        start = Start(seconds, server.cpu())
        tokens = json.dumps([f"eyJbench{i:04d}" for i in range(1200)]).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/admin/tokens",
            tokens,
            {"Authorization": "bench-password"},
            method="PATCH",
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()
        yield server, start
