"""A package index on loopback with one file, which can stop in the middle of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class PackageIndex:
    """Serves one wheel as pip's index. ``downloads`` counts how often it was asked for.

    While ``stalled`` is set a download stops after half of the file: ``half_sent`` tells when.
    """

    def __init__(self, wheel: Path) -> None:
        self.downloads = 0
        self.stalled = threading.Event()
        self.half_sent = threading.Event()
        self._going_on = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    index.send(self, wheel)
                    return
                page = f'<!DOCTYPE html><a href="/files/{wheel.name}">{wheel.name}</a>'.encode()
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple/"

    def send(self, handler: BaseHTTPRequestHandler, wheel: Path) -> None:
        self.downloads += 1
        size = wheel.stat().st_size
        handler.send_response(200)
        handler.send_header("content-type", "application/octet-stream")
        handler.send_header("content-length", str(size))
        handler.end_headers()
        try:
            with wheel.open("rb") as file:
                handler.wfile.write(file.read(size // 2))
                if self.stalled.is_set():
                    self.half_sent.set()
                    self._going_on.wait()
                handler.wfile.write(file.read())
        except ConnectionError:
            pass

    def go_on(self) -> None:
        """Let stalled downloads, and those to come, run to their end."""
        self.stalled.clear()
        self._going_on.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()
