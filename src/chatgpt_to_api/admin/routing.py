"""How every route of the admin API answers: password first, then JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth

Answer: TypeAlias = Callable[[Request], Awaitable[dict[str, Any]]]


def admin_route(auth: AdminAuth, path: str, **answers: Answer) -> Route:
    """Return the route of ``path``, with what answers each method. HEAD works wherever GET does.

    An answer that tells a ``version`` has it as its ETag too.
    """

    async def endpoint(request: Request) -> Response:
        await auth.admit(request)
        method = "GET" if request.method == "HEAD" else request.method
        answer = await answers[method](request)
        headers = {"cache-control": "no-store", "content-type": "application/json"}
        if "version" in answer:
            headers["etag"] = f'"{answer["version"]}"'
        return Response(msgspec.json.encode(answer), headers=headers)

    return Route(path, endpoint, methods=list(answers))
