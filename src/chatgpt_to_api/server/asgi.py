"""ASGI programs (admin, console, health, home) on the same exchanges as the doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from chatgpt_to_api.gateway.exchange import ClientGone
from chatgpt_to_api.server.exchange import HttpExchange

Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


async def run_app(app: AsgiApp, exchange: HttpExchange) -> None:
    """Let ``app`` answer one exchange.

    A body that is too large, or badly framed, comes out of ``receive`` as a GatewayError: the
    program renders it like its own. Its exceptions go to the server's outer edge.
    """
    head = exchange.head
    path, _, _ = exchange.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": exchange.version,
        "scheme": "http",
        "server": exchange.server,
        "client": exchange.client,
        "root_path": "",
        "method": head.method,
        "path": head.path,
        "raw_path": path,
        "query_string": head.query,
        "headers": head.headers,
        "state": {"request_id": exchange.request_id},
    }
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            try:
                data = await exchange.next_chunk()
            except ClientGone:
                asked = True
                return {"type": "http.disconnect"}
            asked = exchange.drained
            return {"type": "http.request", "body": data, "more_body": not asked}
        await exchange.until_over()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.start(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            exchange.write(message.get("body", b""))
            if message.get("more_body", False):
                await exchange.drain()
            else:
                exchange.finish()

    await app(scope, receive, send)
