"""The endpoints around Ollama's chat: its lists of models, its version, and what it manages.

They share ``/api/`` with the conversation protocol, so every path is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.dialects.ollama import pages
from chatgpt_to_api.dialects.ollama.errors import error_reply
from chatgpt_to_api.errors import Forbidden
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.shaped_routes import Handler, Shape, whole_body
from chatgpt_to_api.server.site import admitted
from chatgpt_to_api.wire.http import HttpReply

MAX_BODY: Final = 64 * 1024
"""Longest body of these endpoints, bytes: a name."""

_HEADERS: Final = ((b"content-type", b"application/json; charset=utf-8"),)
_SHAPE: Final = Shape(lambda page: HttpReply(200, _HEADERS, msgspec.json.encode(page)), error_reply)
_MANAGED: Final = {
    "/api/pull": "POST",
    "/api/push": "POST",
    "/api/create": "POST",
    "/api/copy": "POST",
    "/api/delete": "DELETE",
    "/api/blobs/{digest}": "POST",
}
"""What changes a server's models, with the method it takes."""


class Models(Protocol):
    """What these endpoints ask of the gateway."""

    def models(self) -> Sequence[pages.Card]:
        """Every model that can be asked for."""
        ...

    def model_card(self, name: str) -> pages.Card:
        """One model. Raises ModelNotFound."""
        ...


class OllamaSite:
    """The routes, as methods."""

    def __init__(self, models: Models, gatekeeper: Gatekeeper) -> None:
        self._models = models
        self._gatekeeper = gatekeeper

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        table: dict[str, dict[str, Handler]] = {
            "/api/tags": {"GET": self.tags},
            "/api/ps": {"GET": self.ps},
            "/api/version": {"GET": self.version},
            "/api/show": {"POST": self.show},
        }
        table |= {path: {method: self.manage} for path, method in _MANAGED.items()}
        return [_SHAPE.route(path, handlers) for path, handlers in table.items()]

    async def tags(self, request: Request) -> object:
        """List the models."""
        admitted(self._gatekeeper, request)
        return pages.tags_page(self._models.models())

    async def ps(self, request: Request) -> object:
        """List the models that answer without being loaded first."""
        admitted(self._gatekeeper, request)
        return pages.ps_page(self._models.models())

    async def version(self, request: Request) -> object:
        """Tell which version of the API this is."""
        admitted(self._gatekeeper, request)
        return pages.version_page()

    async def show(self, request: Request) -> object:
        """Show one model."""
        admitted(self._gatekeeper, request)
        model = pages.asked_model(await whole_body(request, MAX_BODY))
        return pages.show_page(self._models.model_card(model))

    async def manage(self, request: Request) -> object:
        """Refuse to change models: they are where the upstreams are."""
        admitted(self._gatekeeper, request)
        raise Forbidden(
            "This gateway has no models of its own to pull, push, create, copy or delete: do that "
            "at the upstream. GET /api/tags lists what can be asked for.",
            code="models_not_managed",
        )
