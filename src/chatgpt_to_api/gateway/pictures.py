"""Pictures by URL, fetched for upstreams that cannot: bounded, and from public addresses alone."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from chatgpt_to_api.dialects.contract import LinksPictures
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.http import HttpRequest, split_url

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.question import Question

MAX_PICTURE: Final = 20 * 1024 * 1024
"""Largest picture, bytes."""

MAX_TOGETHER: Final = 40 * 1024 * 1024
"""Most that all pictures of a request may hold, bytes: they are held whole, three times over."""

MAX_PICTURES: Final = 16
"""Most pictures of one request."""

PATIENCE: Final = 20.0
"""Longest time all pictures of a request may take, seconds."""

_HEADERS: Final = (
    (b"accept", b"image/png, image/jpeg, image/gif, image/webp"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"chatgpt-to-api"),
)


class Pictures:
    """Fetches through ``client``, which has to be one that calls only public addresses.

    No redirect is followed, no proxy used, nothing of the caller's sent along.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: HttpClient) -> None:
        self._loop = loop
        self._client = client

    async def show(self, question: Question) -> None:
        """Put the data of linked pictures into a request: once, though several parts ask for it.

        Raises what :meth:`inlined` does.
        """
        question.showing = question.showing or asyncio.Lock()
        async with question.showing:
            if isinstance(question.asked, LinksPictures):
                asked = await self.inlined(question.asked, question.deadline)
                if asked is not question.asked:
                    question.replace(asked)

    async def inlined(self, asked: LinksPictures, deadline: float) -> LinksPictures:
        """Return the request with its linked pictures as data; ``deadline`` is loop time.

        Raises InvalidRequest that names the field of a picture that cannot be had.
        """
        links = asked.linked_pictures()
        if not links:
            return asked
        if len(links) > MAX_PICTURES:
            raise InvalidRequest(
                f"The request links to {len(links)} pictures; at most {MAX_PICTURES} are fetched.",
                param=[*links.values()][MAX_PICTURES],
                code="image_not_fetched",
            )
        until = min(deadline, self._loop.time() + PATIENCE)
        room = _Room(MAX_TOGETHER)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    url: group.create_task(self._fetch(url, param, until, room))
                    for url, param in links.items()
                }
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        data: Mapping[str, str] = {url: task.result() for url, task in tasks.items()}
        return asked.with_pictures(data)

    async def _fetch(self, url: str, param: str, deadline: float, room: _Room) -> str:
        try:
            origin, target = split_url(url)
            path = target.encode("ascii")
        except ValueError:
            raise _refused(param, "the URL is not valid") from None
        try:
            reply = await self._client.send(
                HttpRequest(b"GET", origin, path, _HEADERS),
                proxy=None,
                connect_timeout=PATIENCE,
                read_timeout=PATIENCE,
                deadline=deadline,
            )
            try:
                if reply.head.status != 200:
                    raise _refused(param, f"the server answered with status {reply.head.status}")
                body = bytearray()
                while data := await reply.read():
                    body += data
                    if len(body) > MAX_PICTURE:
                        raise _refused(param, f"it is larger than {MAX_PICTURE} bytes")
                    if not room.takes(len(data)):
                        raise _refused(param, f"together they are larger than {MAX_TOGETHER} bytes")
            finally:
                reply.close()
        except TransportError as error:
            raise _refused(param, error.message) from None
        except ValueError:
            raise _refused(param, "the URL is not valid") from None
        kind = _kind(body)
        if kind is None:
            raise _refused(param, "it is no PNG, JPEG, GIF or WebP")
        return f"data:{kind};base64,{b64encode(body).decode()}"


class _Room:
    """What the pictures of one request may still hold, bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def takes(self, size: int) -> bool:
        """Take up ``size`` bytes; whether there was room for them."""
        self._left -= size
        return self._left >= 0


def _kind(data: bytes | bytearray) -> str | None:
    """Tell a picture's type by its first bytes: headers lie."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _refused(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The picture at '{param}' was not fetched: {why}.",
        param=param,
        code="image_not_fetched",
    )
