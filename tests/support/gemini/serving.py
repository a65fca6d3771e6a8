"""A gateway in front of a Gemini API and of an OpenAI-compatible vendor, for clients of Gemini."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.gateway_process import GatewayProcess, gateway_process, wait_until
from support.gemini.server import KEY, Gemini
from support.scripted_backend import ScriptedBackend, json_play
from support.stage import backend_thread
from support.vendor.server import KEY as VENDOR_KEY
from support.vendor.server import Vendor

CLIENT_KEY = "planted-client-key-of-somebody"
CONFIG = """
[upstreams.google]
kind = "gemini"
base_url = "{google}"
api_keys = ["{key}"]
models = ["gemini-*"]

[upstreams.vendor]
kind = "openai"
base_url = "{vendor}"
api_keys = ["{vendor_key}"]
models = ["gpt-*", "o*"]
endpoints = ["chat", "models", "embeddings"]

[[routes]]
model = "vectors"
candidates = [{{ upstream = "google", model = "gemini-embedding-001" }}]

[[routes]]
model = "nick"
candidates = [{{ upstream = "google", model = "gemini-2.5-flash" }}]
"""


def configuration(google: ScriptedBackend, vendor: ScriptedBackend, key: str = KEY) -> str:
    """The gateway's configuration file."""
    return CONFIG.format(
        google=google.url("/v1beta"), vendor=vendor.url("/v1"), key=key, vendor_key=VENDOR_KEY
    )


@dataclass
class Served:
    """The gateway and who stands behind it."""

    gateway: GatewayProcess
    google: ScriptedBackend
    vendor: ScriptedBackend
    outside: ScriptedBackend
    """A proxy: whatever a client wants of another host arrives here, and gets a 502."""

    def environment(self) -> dict[str, str]:
        """Variables for a client's process."""
        proxy = self.outside.url("")
        return {
            "GATEWAY_URL": self.gateway.url(""),
            "GEMINI_API_KEY": CLIENT_KEY,
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
        }

    def forget(self) -> None:
        """Forget what was asked, and what the gateway learnt from it."""
        for name in ("google", "vendor"):
            answer = self.gateway.admin("POST", f"/admin/tokens/reset?upstream={name}")
            assert answer.status == 200, answer.text
        for backend in (self.google, self.vendor, self.outside):
            backend.seen.clear()


@contextlib.contextmanager
def serving(data_dir: Path) -> Iterator[Served]:
    """Run them all."""
    data_dir.mkdir()
    with (
        backend_thread(Gemini()) as google,
        backend_thread(Vendor()) as vendor,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
    ):
        (data_dir / "config.toml").write_text(configuration(google, vendor))
        variables = {"API_KEYS": CLIENT_KEY, "CHATGPT_TO_API_LOG_LEVEL": "debug"}
        with gateway_process(data_dir, **variables) as gateway:
            wait_until(lambda: google.listed() and vendor.listed())
            yield Served(gateway, google, vendor, outside)
