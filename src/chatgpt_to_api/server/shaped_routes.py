"""Routes of a protocol whose pages and errors have a shape of their own, errors of methods too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from chatgpt_to_api.errors import BodyTooLarge, GatewayError, MethodNotAllowed
from chatgpt_to_api.wire.http import HttpReply

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

Handler: TypeAlias = Callable[[Request], Awaitable[object]]
"""Returns a page's value, or a whole HttpReply."""


class Shape:
    """``page`` renders what a handler returns, ``failure`` a GatewayError that it raises."""

    def __init__(
        self, page: Callable[[object], HttpReply], failure: Callable[[GatewayError], HttpReply]
    ) -> None:
        self._page = page
        self._failure = failure

    def route(self, path: str, handlers: Mapping[str, Handler]) -> Route:
        """Return a route for every method; HEAD works wherever GET does."""
        allowed = ", ".join(handlers)

        async def refuse(request: Request) -> object:
            shown = request.url.path[:200]
            raise MethodNotAllowed(f"{shown} takes {allowed}, not {request.method}.")

        async def endpoint(request: Request) -> Response:
            handler = handlers.get("GET" if request.method == "HEAD" else request.method)
            response = await self.answer(request, handler or refuse)
            if handler is None:
                response.headers["allow"] = allowed
            return response

        return Route(path, endpoint, methods=list(METHODS))

    async def answer(self, request: Request, handler: Handler) -> Response:
        """Return what a handler says, in this shape."""
        try:
            answer = await handler(request)
            return _response(answer if isinstance(answer, HttpReply) else self._page(answer))
        except GatewayError as error:
            response = _response(self._failure(error))
            if error.status == 401:
                response.headers["www-authenticate"] = "Bearer"
            return response
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it


def _response(reply: HttpReply) -> Response:
    headers = {name.decode(): value.decode("latin-1") for name, value in reply.headers}
    # All of it is somebody's own.
    headers["cache-control"] = "no-store"
    return Response(reply.body, reply.status, headers)


async def whole_body(request: Request, limit: int) -> bytes:
    """Return a request's body. Raises BodyTooLarge beyond ``limit`` bytes."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
    return bytes(body)
