"""Connecting to names: every address gets its chance, and a failure says what happened."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from chatgpt_to_api.transport import dial
from chatgpt_to_api.transport.errors import ConnectFailed, DeadlinePassed
from support.calls import Caller, until
from support.raw_server import RawServer, answering, http_reply

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port on 127.0.0.1 whose queue is full, so that a connection attempt gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(8)]
        for sock in filling:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for sock in filling:
            sock.close()


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, str]) -> list[str]:
    """Make this loop resolve any name to ``addresses``; returns the names it was asked for."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    resolver = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **more: Any) -> list[Any]:
        if host[0].isdigit():  # the loop's own way to read an address
            return await resolver(host, port, **more)
        asked.append(host)
        return [(family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_with_a_dead_address_first_still_answers(call: Caller) -> None:
    """localhost, often ::1 first, reaches a server that listens on 127.0.0.1 only."""
    async with RawServer(answering(http_reply(b"here"))) as server:
        assert await call.text(server.port, host="localhost") == b"here"


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of both families alternate, the resolver's first choice first."""
    resolving(monkeypatch, (V6, "::a"), (V6, "::b"), (V6, "::c"), (V4, "1.0.0.1"))
    found = await dial.resolve(asyncio.get_running_loop(), "name.example", 80)
    assert [name[0] for _, name in found] == ["::a", "1.0.0.1", "::b", "::c"]


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", V4), ("::1", V6)])
async def test_an_address_is_not_looked_up(
    monkeypatch: pytest.MonkeyPatch, host: str, family: int
) -> None:
    """IP literals need no resolver, which on asyncio would be a thread."""
    asked = resolving(monkeypatch)
    assert [kind for kind, _ in await dial.resolve(asyncio.get_running_loop(), host, 80)] == [
        family
    ]
    assert asked == []


async def test_an_address_that_swallows_packets_costs_a_quarter_second(full_port: int) -> None:
    """The next address is tried after HEAD_START, and the attempt that lost leaves no socket."""
    loop = asyncio.get_running_loop()
    async with RawServer(answering(http_reply())) as server:
        addresses: list[dial.Address] = [
            (V4, ("127.0.0.1", full_port)),
            (V4, ("127.0.0.1", server.port)),
        ]
        before = loop.time()
        sock = await dial.first_to_connect(loop, addresses)
        assert 0.2 < loop.time() - before < 5
        assert sock.getpeername()[1] == server.port
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()
        await until(lambda: len(asyncio.all_tasks()) == 1 + server.open)


async def test_a_second_winner_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that answer at the same moment leave one socket, and none to the collector."""
    monkeypatch.setattr(dial, "HEAD_START", 0.0)
    loop = asyncio.get_running_loop()
    async with RawServer(answering(http_reply())) as server:
        address: dial.Address = (V4, ("127.0.0.1", server.port))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            for _ in range(50):
                (await dial.first_to_connect(loop, [address] * 3)).close()
            await until(lambda: server.open == 0)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []


async def test_a_refusal_starts_the_next_address_at_once(unused_port: int) -> None:
    """Nothing is waited for after an address that refuses."""
    loop = asyncio.get_running_loop()
    async with RawServer(answering(http_reply())) as server:
        refusing: dial.Address = (V4, ("127.0.0.1", unused_port))
        addresses: list[dial.Address] = [refusing] * 20 + [(V4, ("127.0.0.1", server.port))]
        before = loop.time()
        (await dial.first_to_connect(loop, addresses)).close()
        assert loop.time() - before < 20 * dial.HEAD_START / 2


async def test_when_all_fail_the_error_that_says_most_is_told(unused_port: int) -> None:
    """A network that this machine has no way to does not hide that the server refused."""
    loop = asyncio.get_running_loop()
    addresses: list[dial.Address] = [
        (V4, ("224.0.0.1", unused_port)),  # no network leads there for TCP
        (V4, ("127.0.0.1", unused_port)),
    ]
    with pytest.raises(ConnectionRefusedError):
        await dial.first_to_connect(loop, addresses)


async def test_a_refused_connection_says_so(call: Caller, unused_port: int) -> None:
    """The message is short, names the origin and keeps the system's number."""
    with pytest.raises(ConnectFailed) as caught:
        await call(unused_port)
    assert str(caught.value) == f"http://127.0.0.1:{unused_port}: connection refused"
    assert caught.value.errno == errno.ECONNREFUSED
    assert not caught.value.sent_anything
    assert not caught.value.at_proxy


async def test_an_unknown_name_says_so(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is told apart from a server that is down."""

    async def getaddrinfo(*_args: object, **_more: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectFailed, match=r"nowhere\.example: the host name was not found"):
        await call(80, host="nowhere.example")


async def test_no_answer_is_within_the_connect_timeout(call: Caller, full_port: int) -> None:
    """A host that swallows packets is given up after the connect timeout, with ETIMEDOUT."""
    with pytest.raises(ConnectFailed, match=r"no connection within 0\.1 s") as caught:
        await call(full_port, connect_timeout=0.1)
    assert caught.value.errno == errno.ETIMEDOUT
    assert call.client.open_connections == 0


async def test_the_deadline_holds_while_connecting(call: Caller, full_port: int) -> None:
    """A deadline sooner than the connect timeout ends the attempt, and is what is told."""
    with pytest.raises(DeadlinePassed) as caught:
        await call(full_port, connect_timeout=5.0, deadline=0.1)
    assert not caught.value.sent_anything


async def test_a_host_name_beyond_ascii_goes_out_in_its_ascii_form(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An international name is encoded for the resolver and the Host header alike."""
    asked = resolving(monkeypatch, (V4, "127.0.0.1"))

    async with RawServer(answering(http_reply(b"x"))) as server:
        assert await call.text(server.port, host="bücher.example") == b"x"
    assert asked == ["xn--bcher-kva.example"]
