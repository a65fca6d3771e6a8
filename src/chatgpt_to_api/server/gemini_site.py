"""The models as Gemini's clients list them, and what becomes of methods that are not served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatgpt_to_api.dialects.contract import Ability, ListedModel
from chatgpt_to_api.dialects.gemini.error_reply import error_reply
from chatgpt_to_api.dialects.gemini.model_list import PREFIX, model_entry, page_of
from chatgpt_to_api.errors import InvalidRequest, NotFound
from chatgpt_to_api.server.access import Gatekeeper, with_key_of_query
from chatgpt_to_api.server.shaped_routes import Shape
from chatgpt_to_api.wire.http import HttpReply

_HEADERS: Final = ((b"content-type", b"application/json; charset=UTF-8"),)
_SHAPE: Final = Shape(lambda page: HttpReply(200, _HEADERS, msgspec.json.encode(page)), error_reply)


class Card(Protocol):
    """A model, as far as the list shows it."""

    @property
    def id(self) -> str:
        """The name to ask for."""
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


class Models(Protocol):
    """What these endpoints ask of the gateway."""

    def models(self) -> Sequence[Card]:
        """Every model that can be asked for."""
        ...

    def model_card(self, name: str) -> Card:
        """One model. Raises ModelNotFound."""
        ...


class GeminiSite:
    """The routes, as methods."""

    def __init__(self, models: Models, gatekeeper: Gatekeeper) -> None:
        self._models = models
        self._gatekeeper = gatekeeper

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            _SHAPE.route("/v1beta/models", {"GET": self.models}),
            _SHAPE.route("/v1beta/models/{model:path}", {"GET": self.model, "POST": self.method}),
        ]

    def expected_by(self, request: Request) -> bool:
        """Whether a caller of ``/v1/models`` is a client of Gemini: its newest ask there."""
        shown = request.headers
        return "x-goog-api-key" in shown or "x-goog-api-client" in shown

    async def shown_list(self, request: Request) -> Response:
        """List the models, at a path that other dialects use too."""
        return await _SHAPE.answer(request, self.models)

    async def shown_model(self, request: Request) -> Response:
        """Show the model that the path names."""
        return await _SHAPE.answer(request, self.model)

    async def models(self, request: Request) -> object:
        """List the models, a page at a time."""
        self._admit(request)
        size = request.query_params.get("pageSize", "0")
        try:
            entries = [_entry(card) for card in self._models.models()]
            return page_of(entries, int(size), request.query_params.get("pageToken", ""))
        except ValueError:
            said = "pageSize is a number, pageToken what the page before gave."
            raise InvalidRequest(said, param="pageToken") from None

    async def model(self, request: Request) -> object:
        """Show one model."""
        self._admit(request)
        return _entry(self._models.model_card(request.path_params["model"].removeprefix(PREFIX)))

    async def method(self, request: Request) -> object:
        """Refuse a method that has no door, or a path that has no method."""
        self._admit(request)
        model, _, name = request.path_params["model"].rpartition(":")
        said = f"The method {name[:64]!r} is not served here."
        if not model:
            said = "A POST has a method at the end of its path, as in ':generateContent'."
        raise NotFound(
            f"{said} There are generateContent, streamGenerateContent, countTokens, embedContent "
            "and batchEmbedContents."
        )

    def _admit(self, request: Request) -> None:
        scope = request.scope
        fields = with_key_of_query(dict(scope["headers"]), scope["query_string"])
        self._gatekeeper.admit(request.client.host if request.client else "", fields)


def _entry(card: Card) -> object:
    return model_entry(card.id, card.abilities, card.context_length, card.listed)
