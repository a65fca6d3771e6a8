"""The models as Anthropic's clients list them: whoever sends an ``anthropic-version``.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chatgpt_to_api.dialects.anthropic.errors import error_reply
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.shaped_routes import Shape
from chatgpt_to_api.server.site import Card, Overview, admitted
from chatgpt_to_api.wire.http import HttpReply

USUAL_PAGE: Final = 20
LONGEST_PAGE: Final = 1000
"""Models on a page."""

_HEADERS: Final = ((b"content-type", b"application/json"),)
_SHAPE: Final = Shape(lambda page: HttpReply(200, _HEADERS, msgspec.json.encode(page)), error_reply)


class AnthropicLists:
    """Answers at the paths that the dialects share, for these clients."""

    def __init__(self, overview: Overview, gatekeeper: Gatekeeper, aliases: Aliases) -> None:
        self._overview = overview
        self._gatekeeper = gatekeeper
        self._aliases = aliases

    def expected_by(self, request: Request) -> bool:
        """Whether the caller is such a client."""
        return "anthropic-version" in request.headers

    async def shown_list(self, request: Request) -> Response:
        """List the models, a page at a time."""
        return await _SHAPE.answer(request, self._list)

    async def shown_model(self, request: Request) -> Response:
        """Show the model that the path names, by whichever of its names."""
        return await _SHAPE.answer(request, self._model)

    async def _list(self, request: Request) -> object:
        admitted(self._gatekeeper, request)
        return anthropic_list(self._overview.models(), self._aliases, request.query_params)

    async def _model(self, request: Request) -> object:
        admitted(self._gatekeeper, request)
        name = request.path_params["model"]
        return anthropic_model(self._overview.model_card(self._aliases.meant(name)), name)


def anthropic_list(
    cards: Sequence[Card], aliases: Aliases, query: Mapping[str, str]
) -> dict[str, Any]:
    """One page of the models, as ``query`` asks for it. Raises InvalidRequest."""
    chats = [card for card in cards if "chat" in card.abilities]
    limit = _limit(query.get("limit"))
    before, after = query.get("before_id"), query.get("after_id")
    if before is not None:
        end = _place(chats, aliases.meant(before), "before_id")
        begin = max(0, end - limit)
        more = begin > 0
    else:
        begin = 0 if after is None else _place(chats, aliases.meant(after), "after_id") + 1
        end = min(len(chats), begin + limit)
        more = end < len(chats)
    page = [anthropic_model(card, aliases.shown(card.id)) for card in chats[begin:end]]
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def anthropic_model(card: Card, name: str) -> dict[str, Any]:
    """One model as Anthropic shows it, under ``name``."""
    title = card.listed.title if card.listed is not None else ""
    shown: dict[str, Any] = {
        "type": "model",
        "id": name,
        "display_name": title or card.id,
        "created_at": datetime.fromtimestamp(card.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if card.context_length is not None:
        shown["max_input_tokens"] = card.context_length
    return shown


def _limit(given: str | None) -> int:
    if given is None:
        return USUAL_PAGE
    if given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= LONGEST_PAGE:
        return int(given)
    raise InvalidRequest(
        f"limit: expected a whole number from 1 to {LONGEST_PAGE}, got {given[:40]!r}.",
        param="limit",
    )


def _place(cards: Sequence[Card], name: str, param: str) -> int:
    for place, card in enumerate(cards):
        if card.id == name:
            return place
    raise InvalidRequest(f"{param}: there is no model {name[:200]!r}.", param=param)
