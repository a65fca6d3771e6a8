"""An error's body: its beginning is read, for a moment; its status counts all the same."""

from __future__ import annotations

import asyncio

import pytest

from chatgpt_to_api.gateway.faults import error_body
from chatgpt_to_api.transport.client import HttpClient
from support.calls import Caller
from support.raw_server import Peer, RawServer

LIMITED = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("sent", [b"", b'{"error": '])
async def test_a_body_that_stalls_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """The next credential is asked soon, and not after the longest silence of an upstream."""
    monkeypatch.setattr("chatgpt_to_api.gateway.faults.ERROR_BODY_TIME", 0.05)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(LIMITED + b"content-length: 500\r\n\r\n" + sent)
        await peer.gone()

    client = HttpClient(asyncio.get_running_loop())
    async with RawServer(script) as server:
        reply = await Caller(client)(server.port)
        async with asyncio.timeout(10):
            assert await error_body(reply) == (sent, False)
        await server.quiet()
    await client.close()


async def test_a_body_that_is_there_is_read_whole() -> None:
    """As nearly all are."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(LIMITED + b"content-length: 2\r\n\r\n{}")

    client = HttpClient(asyncio.get_running_loop())
    async with RawServer(script) as server:
        assert await error_body(await Caller(client)(server.port)) == (b"{}", True)
    await client.close()
