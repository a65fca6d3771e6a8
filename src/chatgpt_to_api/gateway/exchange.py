"""One request of one client, whatever server is underneath."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from chatgpt_to_api.wire.http import Header, Headers, HttpReply, RequestHead


class Running(Protocol):
    """What answers a request: a task, or what does its work."""

    def cancel(self) -> object:
        """Raise CancelledError where it waits; does nothing once it has ended."""
        ...

    def uncancel(self) -> object:
        """It has taken notice, and ends in its own way."""
        ...


class Exchange(Protocol):
    """What the gateway needs of a server: the request in, the reply out, and news of a hang-up.

    The server adds ``x-request-id`` and CORS headers by itself to whatever ``start`` is given.
    ``write`` never blocks; ``drain`` waits while the client reads too slowly. After the client has
    gone, ``write``, ``finish`` and ``abort`` do nothing and ``drain`` returns at once.
    """

    head: RequestHead
    peer: str
    """The client's address (no port), "" where unknown."""
    request_id: str

    @property
    def work(self) -> Running:
        """What answers this request."""
        ...

    def arrived(self, limit: int) -> bytes | None:
        """The whole body if it is there and no larger than ``limit``; None: ask for ``body``."""
        ...

    target: bytes
    """The request target as it was sent."""
    declared: int | None
    """The body's length, None where only its end will tell."""

    def any_size(self) -> None:
        """Take a body of any size: it will be read piece by piece."""
        ...

    async def body(self, limit: int) -> bytes:
        """The whole request body. Raises BodyTooLarge beyond ``limit`` bytes, or ClientGone."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The request body piece by piece, with backpressure. Raises ClientGone."""
        ...

    def start(self, status: int, headers: Headers) -> None:
        """Send the reply's head. With a ``content-length`` the body is sent as is, else chunked."""
        ...

    def write(self, data: bytes) -> None:
        """Send body bytes; the first write leaves in one packet with the head."""
        ...

    def reply(self, reply: HttpReply, *more: Header) -> None:
        """Send a reply whose body is known whole, with more headers than it brings."""
        ...

    @property
    def congested(self) -> bool:
        """Whether the client takes too little of what was written: ``drain`` before more."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        ...

    def finish(self, last: bytes = b"") -> None:
        """End the reply well; ``last`` bytes of the body leave in one packet with the end."""
        ...

    def abort(self) -> None:
        """Break the connection: a cut reply must not look whole."""
        ...

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once, from the event loop, when the client goes away before the reply's end."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has gone."""
        ...

    @property
    def started(self) -> bool:
        """Whether the reply's head was sent."""
        ...


class ClientGone(Exception):  # not an error: nobody is left to be told
    """The client closed its connection before the reply's end."""
