"""The client is used on both event loops, so every test here runs on both."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest

from chatgpt_to_api.transport.client import HttpClient
from support.calls import Caller

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """Run each asynchronous test once on each loop there is."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return factories  # a platform without it
    return factories | {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    """A client, ready to send, that must have no connection left once it is closed."""
    client = HttpClient(asyncio.get_running_loop())
    yield Caller(client)
    await client.close()
    assert client.open_connections == 0


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on 127.0.0.1 that refuses connections: held by a socket that does not listen."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
