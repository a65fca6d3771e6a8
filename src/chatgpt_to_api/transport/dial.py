"""A TCP connection to a name: resolved, then tried address by address with a head start each.

uvloop tries a name's addresses one after the other, so that one that swallows packets eats the
whole connect timeout; asyncio's own race is not there on uvloop. This one runs on both.
Source: https://www.rfc-editor.org/rfc/rfc8305
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Final, TypeAlias

Address: TypeAlias = tuple[int, tuple[Any, ...]]
"""Address family and what ``connect`` wants for it."""

HEAD_START: Final = 0.25  # seconds, the RFC's recommended connection attempt delay

_NO_SUCH_FAMILY_HERE: Final = frozenset(
    {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EHOSTUNREACH}
)


async def resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Address]:
    """Return the addresses of ``host``, families taking turns. Raises socket.gaierror."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, UnicodeEncodeError):
            continue
        return [(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Address] = [(info[0], info[4]) for info in found]
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    turns = chain.from_iterable(zip_longest(first, other))
    return [address for address in turns if address is not None]


async def first_to_connect(
    loop: asyncio.AbstractEventLoop, addresses: Sequence[Address]
) -> socket.socket:
    """Return the first connection that comes about, non-blocking.

    Each address gets HEAD_START on the next; a refusal starts the next one at once. Raises the
    OSError that says most when all have failed.
    """
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    waiting = list(reversed(addresses))
    trying: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or trying:
            if waiting:
                trying.add(loop.create_task(_connect(loop, waiting.pop())))
            done, _ = await asyncio.wait(
                trying,
                timeout=HEAD_START if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    trying.discard(task)
                    return task.result()
                trying.discard(task)
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_close_loser)
    telling = [error for error in errors if error.errno not in _NO_SUCH_FAMILY_HERE]
    raise (telling or errors or [OSError("the name has no address")])[0]


async def _connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    family, name = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, name)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
