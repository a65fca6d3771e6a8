"""Compressed request bodies: read like plain ones, within the same limit, or refused in words."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.server.limits import Limits
from support.door_server import door_server, post, whole


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
async def test_a_compressed_body_is_read(coding: str, compress: Callable[[bytes], bytes]) -> None:
    """Whole with its head, in pieces, again on the same connection, and a plain one after it."""
    async with door_server() as server:
        wire = await server.connect()
        request = post(compress(b'{"a": 1}'), f"Content-Encoding: {coding}")
        assert (await wire.ask(request)).json["body"] == '{"a": 1}'
        assert (await wire.ask(request)).json["body"] == '{"a": 1}'
        for byte in request:
            wire.send(bytes([byte]))
        assert (await wire.reply()).json["body"] == '{"a": 1}'
        assert (await wire.ask(post(b"plain"))).json["body"] == "plain"


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip", "é"])
async def test_a_coding_that_is_not_read_is_a_415_that_names_it(coding: str) -> None:
    """The body is not even waited for, and what can be sent instead is said."""
    async with door_server() as server:
        wire = await server.connect()
        wire.send(post(b"x" * 1000, f"Content-Encoding: {coding}", "Expect: 100-continue")[:-1000])
        reply = await wire.reply()
        assert reply.status == 415
        assert reply.json["door"] == "unsupported_content_encoding"


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"x" * 100)[:-9], gzip.compress(b"x")[:5]],
    ids=["no gzip", "cut", "cut in the head"],  # of its own it has the time of its making
)
async def test_a_broken_one_is_a_400_and_the_connection_goes_on(body: bytes) -> None:
    """What cannot be decompressed never looks like a whole body."""
    async with door_server() as server:
        wire = await server.connect()
        reply = await wire.ask(post(body, "Content-Encoding: gzip"))
        assert reply.status == 400
        assert reply.json["door"] == "invalid_request"
        assert (await wire.ask(post(b"plain"))).json["body"] == "plain"


@pytest.mark.parametrize(("size", "status"), [(1_000_000, 200), (1_000_001, 413)])
async def test_the_limit_is_one_of_decompressed_bytes(size: int, status: int) -> None:
    """A thousand bytes that stand for a million count as a million."""
    async with door_server(limits=Limits(body=1_000_000)) as server:
        wire = await server.connect()
        body = gzip.compress(b" " * size)
        assert len(body) < 2000
        reply = await wire.ask(post(body, "Content-Encoding: gzip"))
        assert reply.status == status


async def test_who_passes_a_body_on_gets_it_as_it_came() -> None:
    """What goes through to an upstream goes with its header, still compressed."""

    async def handle(exchange: Exchange, caller: Caller) -> None:
        whole(exchange, b"".join([piece async for piece in exchange.chunks()]))

    async with door_server(handle) as server:
        wire = await server.connect()
        body = gzip.compress(b"hello")
        assert (await wire.ask(post(body, "Content-Encoding: gzip"))).body == body
