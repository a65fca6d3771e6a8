"""The endpoints of kept responses and conversations, beside the one that asks for a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from chatgpt_to_api.errors import InvalidRequest, MethodNotAllowed
from chatgpt_to_api.late import Late
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.problem import problem
from chatgpt_to_api.server.shaped_routes import whole_body
from chatgpt_to_api.server.site import admitted

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.responses import Responses
    from chatgpt_to_api.gateway.responses_backend import ResponsesBackend

PREFIXES: Final = ("/v1/responses/", "/v1/conversations/")
"""What stands below these, and at the second itself."""

Handler: TypeAlias = "Callable[[Responses, Request, str], Awaitable[Any]]"


class ResponsesSite:
    """The routes, as methods; each gets what is kept, the request and whose it may see."""

    def __init__(
        self, backend: Late[ResponsesBackend], gatekeeper: Gatekeeper, *, max_body: int
    ) -> None:
        self._backend = backend
        self._gatekeeper = gatekeeper
        self._max_body = max_body

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        table: Mapping[str, Mapping[str, Handler]] = {
            "/v1/responses/{id}": {"GET": self.response, "DELETE": self.drop},
            "/v1/responses/{id}/input_items": {"GET": self.input_items},
            "/v1/responses/{id}/cancel": {"POST": self.cancel},
            "/v1/conversations": {"POST": self.begin},
            "/v1/conversations/{id}": {
                "GET": self.conversation,
                "POST": self.note,
                "DELETE": self.end,
            },
            "/v1/conversations/{id}/items": {"GET": self.items, "POST": self.add_items},
            "/v1/conversations/{id}/items/{item}": {"GET": self.item, "DELETE": self.drop_item},
        }
        return [self._route(path, handlers) for path, handlers in table.items()]

    async def response(self, kept: Responses, request: Request, owner: str) -> Any:
        """Show a response."""
        if request.query_params.get("stream") == "true":
            raise InvalidRequest(
                "A stream can be read only once, while it is written.",
                param="stream",
                code="unsupported_parameter",
            )
        return await kept.response(owner, _id(request), _include(request))

    async def drop(self, kept: Responses, request: Request, owner: str) -> Any:
        """Forget a response."""
        return await kept.drop(owner, _id(request))

    async def input_items(self, kept: Responses, request: Request, owner: str) -> Any:
        """List what a response was asked with."""
        return await kept.input_items(owner, _id(request), request.query_params, _include(request))

    async def cancel(self, kept: Responses, request: Request, owner: str) -> Any:
        """Cancel a response, which is always too late."""
        await kept.cancel(owner, _id(request))

    async def begin(self, kept: Responses, request: Request, owner: str) -> Any:
        """Make a conversation."""
        return await kept.begin(owner, await self._body(request))

    async def conversation(self, kept: Responses, request: Request, owner: str) -> Any:
        """Show a conversation."""
        return await kept.conversation(owner, _id(request))

    async def note(self, kept: Responses, request: Request, owner: str) -> Any:
        """Replace what is noted on a conversation."""
        return await kept.note(owner, _id(request), await self._body(request))

    async def end(self, kept: Responses, request: Request, owner: str) -> Any:
        """Forget a conversation."""
        return await kept.end(owner, _id(request))

    async def items(self, kept: Responses, request: Request, owner: str) -> Any:
        """List a conversation's items."""
        return await kept.items(owner, _id(request), request.query_params, _include(request))

    async def add_items(self, kept: Responses, request: Request, owner: str) -> Any:
        """Add items to a conversation."""
        return await kept.add_items(
            owner, _id(request), await self._body(request), _include(request)
        )

    async def item(self, kept: Responses, request: Request, owner: str) -> Any:
        """Show an item of a conversation."""
        return await kept.item(owner, _id(request), request.path_params["item"], _include(request))

    async def drop_item(self, kept: Responses, request: Request, owner: str) -> Any:
        """Take an item out of a conversation."""
        return await kept.drop_item(owner, _id(request), request.path_params["item"])

    def _route(self, path: str, handlers: Mapping[str, Handler]) -> Route:
        methods = [*handlers, *(["HEAD"] if "GET" in handlers else ())]

        async def endpoint(request: Request) -> Response:
            caller = admitted(self._gatekeeper, request)
            handler = handlers.get("GET" if request.method == "HEAD" else request.method)
            if handler is None:
                shown = ", ".join(methods)
                error = MethodNotAllowed(
                    f"{request.url.path[:200]} takes {shown}, not {request.method[:20]}."
                )
                refused = problem(error)
                headers = {n.decode(): v.decode("latin-1") for n, v in refused.headers}
                return Response(refused.body, refused.status, {**headers, "allow": shown})
            try:
                backend = await self._backend.get()
                answer = await handler(backend.responses, request, backend.owner_of(caller))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is left to read it
            # All of it is somebody's own.
            return Response(
                msgspec.json.encode(answer),
                media_type="application/json",
                headers={"cache-control": "no-store"},
            )

        return Route(path, endpoint, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])

    async def _body(self, request: Request) -> bytes:
        return await whole_body(request, self._max_body)


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _include(request: Request) -> list[str]:
    query = request.query_params
    return [*query.getlist("include"), *query.getlist("include[]")]
