"""A gateway in front of the vendor, and a proxy that notes whoever would leave this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.gateway_process import GatewayProcess, gateway_process, wait_until
from support.scripted_backend import ScriptedBackend, json_play
from support.stage import backend_thread
from support.vendor.server import KEY, Vendor

CLIENT_KEY = "sk-client-key"


@dataclass
class Served:
    """The vendor and the gateway in front of it."""

    gateway: GatewayProcess
    vendor: ScriptedBackend
    outside: ScriptedBackend
    """A proxy: whatever a client wants of another host arrives here, and gets a 502."""

    @property
    def base_url(self) -> str:
        return self.gateway.url("/v1")

    def environment(self) -> dict[str, str]:
        """Variables for a client's process."""
        proxy = self.outside.url("")
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": CLIENT_KEY,
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
        }

    def left_the_machine(self) -> list[str]:
        """What was asked of other hosts."""
        return [f"{seen.method} {seen.path}" for seen in self.outside.seen]

    def vendor_is_free(self) -> None:
        """Wait until the vendor is answering nobody."""
        wait_until(lambda: self.vendor.running == 0)

    def forget(self) -> None:
        """Forget what was asked, and what the gateway learnt from it."""
        answer = self.gateway.admin("POST", "/admin/tokens/reset?upstream=openai")
        assert answer.status == 200, answer.text
        self.vendor.seen.clear()
        self.outside.seen.clear()


@contextlib.contextmanager
def serving(data_dir: Path, **environment: str) -> Iterator[Served]:
    """Run the vendor and a gateway."""
    with (
        backend_thread(Vendor()) as vendor,
        backend_thread(lambda _: json_play({"error": "this machine only"}, 502)) as outside,
        gateway_process(
            data_dir,
            **{
                "OPENAI_BASE_URL": vendor.url("/v1"),
                "OPENAI_API_KEY": KEY,
                "OPENAI_ENDPOINTS": "chat,models,embeddings",
                "API_KEYS": CLIENT_KEY,
                "CHATGPT_TO_API_QUEUE_WAIT": "0",
                **environment,
            },
        ) as gateway,
    ):
        wait_until(vendor.listed)
        yield Served(gateway, vendor, outside)
