"""The small routes beside the doors: ping, health, readiness, the model list, the first page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatgpt_to_api.dialects.contract import Ability, ListedModel
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.server import home
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.doors import Bearer
from chatgpt_to_api.server.status import Status

_PAGE_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "vary": "accept",
    "x-content-type-options": "nosniff",
}


class Card(Protocol):
    """One entry of the model list."""

    @property
    def id(self) -> str:
        """The name to ask for."""
        ...

    @property
    def created(self) -> int:
        """Unix time in seconds."""
        ...

    @property
    def owned_by(self) -> str:
        """Who serves it."""
        ...

    @property
    def context_length(self) -> int | None:
        """Longest prompt and answer together, tokens; None where it is not known."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What can be asked of it."""
        ...

    @property
    def listed(self) -> ListedModel | None:
        """What its upstream's own list says of it."""
        ...


class Overview(Protocol):
    """What the site asks of the gateway."""

    def models(self) -> Sequence[Card]:
        """Every model that can be asked for."""
        ...

    def model_card(self, name: str) -> Card:
        """One model. Raises ModelNotFound."""
        ...

    def status(self) -> Status:
        """What is ready and what is missing."""
        ...


class OtherLists(Protocol):
    """The models as another dialect's clients list them, who ask for them at the same paths."""

    def expected_by(self, request: Request) -> bool:
        """Whether the caller is such a client."""
        ...

    async def shown_list(self, request: Request) -> Response:
        """The models."""
        ...

    async def shown_model(self, request: Request) -> Response:
        """The model that the path names."""
        ...


class Site:
    """The routes, as methods that share the gateway's overview and the gatekeeper."""

    def __init__(
        self,
        overview: Overview,
        gatekeeper: Gatekeeper,
        description: Callable[[], Any],
        others: Sequence[OtherLists] = (),
    ) -> None:
        """``description`` makes the OpenAPI document; it is asked once, when first wanted."""
        self._others = others
        self._overview = overview
        self._gatekeeper = gatekeeper
        self._describe = description
        self._description = b""

    def routes(self) -> list[Route]:
        """Return the Starlette routes; HEAD works wherever GET does."""
        return [
            Route("/", self.home),
            Route("/ping", self.ping),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/favicon.ico", self.favicon),
            Route("/openapi.json", self.openapi),
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/v1/engines", self.engines),
        ]

    async def ping(self, request: Request) -> Response:  # noqa: ARG002
        """Answer as the original did."""
        return _json({"message": "pong"})

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        """Say that the process is alive; that says nothing about upstreams."""
        return _json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """Say whether some upstream can answer now; why not is for insiders."""
        status = self._overview.status()
        answer: dict[str, Any] = {"status": "ready" if status.ready else "not ready"}
        if not status.ready and self._is_insider(request):
            answer["reasons"] = status.reasons
        return _json(answer, 200 if status.ready else 503)

    async def favicon(self, request: Request) -> Response:  # noqa: ARG002
        """There is none; browsers ask all the same."""
        return Response(status_code=204)

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        """Describe every route; it says nothing about this installation."""
        self._description = self._description or msgspec.json.encode(self._describe())
        return Response(self._description, media_type="application/json")

    async def models(self, request: Request) -> Response:
        """List the models in OpenAI's shape, or in its caller's."""
        for other in self._others:
            if other.expected_by(request):
                return await other.shown_list(request)
        admitted(self._gatekeeper, request)
        cards = [_model(card) for card in self._overview.models()]
        return _json({"object": "list", "data": cards})

    async def model(self, request: Request) -> Response:
        """Show one model."""
        for other in self._others:
            if other.expected_by(request):
                return await other.shown_model(request)
        admitted(self._gatekeeper, request)
        return _json(_model(self._overview.model_card(request.path_params["model"])))

    async def engines(self, request: Request) -> Response:
        """List the models as engines, for clients of the API's first years."""
        admitted(self._gatekeeper, request)
        cards = [
            {**_model(card), "object": "engine", "owner": card.owned_by, "ready": True}
            for card in self._overview.models()
        ]
        return _json({"object": "list", "data": cards})

    async def home(self, request: Request) -> Response:
        """Explain the gateway to whoever opens its address."""
        html = "text/html" in request.headers.get("accept", "")
        if not self._is_insider(request):
            return _page(home.outside_page() if html else home.outside_plain(), html=html)
        status = self._overview.status()
        host = request.headers.get("host", "").encode("latin-1")
        at = home.authority(host, request.scope.get("server"))
        command = home.example(
            at,
            status.model or "gpt-3.5-turbo",
            keys=self._gatekeeper.keys.configured,
        )
        text = home.page(status, command, at) if html else home.plain(status, command, at)
        return _page(text, html=html)

    def _is_insider(self, request: Request) -> bool:
        fields = dict(request.scope["headers"])
        if fields.get(b"sec-fetch-dest") == b"document":
            # Somebody follows a link: the page that has it cannot read what is shown.
            fields.pop(b"sec-fetch-site", None)
        try:
            self._gatekeeper.admit(_peer(request), fields)
        except GatewayError:
            return False
        return True


def admitted(gatekeeper: Gatekeeper, request: Request, bearer: Bearer = Bearer.KEY) -> Caller:
    """Return the caller of an ASGI request, checked like at a door. Raises what ``admit`` does."""
    return gatekeeper.admit(_peer(request), dict(request.scope["headers"]), bearer)


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _model(card: Card) -> dict[str, Any]:
    """One model as OpenAI shows it, and how long its context is where that is known."""
    shown: dict[str, Any] = {
        "id": card.id,
        "object": "model",
        "created": card.created,
        "owned_by": card.owned_by,
    }
    if card.context_length is not None:
        shown["context_length"] = card.context_length
    return shown


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _page(text: str, *, html: bool) -> Response:
    media_type = "text/html" if html else "text/plain"
    return Response(text, headers=_PAGE_HEADERS, media_type=media_type)
