"""The ASGI side put together: routes, errors in OpenAI's shape, forgiving of a final slash."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from chatgpt_to_api.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)
from chatgpt_to_api.server.asgi import AsgiApp
from chatgpt_to_api.server.astray import nothing_at
from chatgpt_to_api.server.problem import problem

_KINDS: dict[int, type[GatewayError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
}

_SHOWN = 200
"""Longest piece of a path that an error repeats."""


def build_asgi(routes: Sequence[BaseRoute]) -> AsgiApp:
    """Return the ASGI program of everything that is not a door.

    Routes may raise GatewayErrors: they are rendered with their status. Whatever else goes wrong is
    a 500 that names the request id; the server's log has the rest.
    """
    app = Starlette(
        routes=list(routes),
        exception_handlers={
            GatewayError: _gateway_error,
            HTTPException: _http_exception,
            Exception: _unexpected,
        },
    )
    app.router.redirect_slashes = False

    async def tidy(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"
        await app(scope, receive, send)

    return tidy


def claimed(routes: Sequence[Route]) -> Callable[[str], bool]:
    """Return what tells whether one of the routes stands at a path, whatever the method."""

    def has_route(path: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": path.rstrip("/") or "/"}
        return any(route.matches(scope)[0] is not Match.NONE for route in routes)

    return has_route


async def _gateway_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, GatewayError)
    return _render(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    shown = path[:_SHOWN] + ("…" if len(path) > _SHOWN else "")
    message = error.detail
    if error.status_code == 404:
        message = nothing_at(path)
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{shown} does not take {request.method}; it takes {allowed}."
    rendered = _KINDS.get(error.status_code, GatewayError)(message)
    rendered.status = error.status_code
    response = _render(rendered)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001
    name = request.scope["state"]["request_id"]
    return _render(
        GatewayError(
            f"The gateway failed on this request; its log has the reason under request id {name}."
        )
    )


def _render(error: GatewayError) -> Response:
    reply = problem(error)
    headers = {name.decode(): value.decode("latin-1") for name, value in reply.headers}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(reply.body, reply.status, headers)
