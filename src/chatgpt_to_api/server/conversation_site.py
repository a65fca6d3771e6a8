"""The endpoints beside the conversation one, under each base that backends had.

They share ``/api/`` with others, so every path is named; only below ``/backend-api`` and
``/chatgpt`` is what is unknown answered in this protocol's shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.dialects.conversation import siblings
from chatgpt_to_api.dialects.conversation.door import DOOR, NO_TOKEN, json_reply
from chatgpt_to_api.errors import (
    NotFound,
    Unauthorized,
)
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.server.access import SECRET_FIELDS, Gatekeeper
from chatgpt_to_api.server.doors import Bearer
from chatgpt_to_api.server.shaped_routes import METHODS, Handler, Shape, whole_body
from chatgpt_to_api.server.site import admitted

BASES: Final = ("/backend-api", "/api", "/chatgpt/backend-api", "/chatgpt")
OWN_BASES: Final = ("/backend-api", "/chatgpt")
"""Bases that are this protocol's alone."""

SESSION_PATHS: Final = ("/api/auth/session", "/chatgpt/api/auth/session")
SESSION_LENGTH: Final = 30 * 86400.0
"""How far ahead a session's end is put, seconds; the token's own end is not known here."""

MAX_BODY: Final = 64 * 1024
"""Longest body of these endpoints, bytes: a title."""

_SHAPE: Final = Shape(lambda page: json_reply(200, page), DOOR.failure)


class Named(Protocol):
    """A model, as far as its name goes."""

    @property
    def id(self) -> str:
        """The name to ask for."""
        ...


class Models(Protocol):
    """What these endpoints ask of the gateway."""

    def models(self) -> Sequence[Named]:
        """Every model that can be asked for."""
        ...


class ConversationSite:
    """The routes, as methods. ``bearer`` says whether callers without a token are let in."""

    def __init__(
        self,
        backend: ConversationBackend,
        models: Models,
        gatekeeper: Gatekeeper,
        *,
        bearer: Bearer,
        wall: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._kept = backend.conversations
        self._models = models
        self._gatekeeper = gatekeeper
        self._bearer = bearer
        self._wall = wall

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        table: dict[str, dict[str, Handler]] = {
            "/models": {"GET": self.models},
            "/conversations": {"GET": self.listing, "PATCH": self.hide_all},
            "/conversation/{conversation}": {"GET": self.tree, "PATCH": self.change},
            "/conversation/gen_title/{conversation}": {"POST": self.name},
            "/accounts/check": {"GET": self.account},
            "/accounts/check/v4-2023-04-27": {"GET": self.accounts},
        }
        routes = [
            _SHAPE.route(base + path, handlers)
            for base in BASES
            for path, handlers in table.items()
        ]
        routes += [_SHAPE.route(path, {"GET": self.session}) for path in SESSION_PATHS]
        unknown = dict.fromkeys(METHODS, self.unknown)
        return routes + [_SHAPE.route(base + "/{rest:path}", unknown) for base in OWN_BASES]

    async def models(self, request: Request) -> object:
        """List what can be asked."""
        self._owner(request)
        return siblings.models_page(card.id for card in self._models.models())

    async def listing(self, request: Request) -> object:
        """List the caller's conversations, latest first."""
        owner = self._owner(request)
        query = request.query_params
        offset, limit = siblings.read_page(query.get("offset", "0"), query.get("limit", "20"))
        summaries, total = await self._kept.listing(owner, offset, limit)
        return siblings.conversations_page(summaries, total=total, limit=limit, offset=offset)

    async def tree(self, request: Request) -> object:
        """Show one conversation whole."""
        tree = await self._kept.tree(self._owner(request), _conversation(request))
        # A long one takes a while to write down, and nobody's stream shall wait for that.
        return await asyncio.to_thread(lambda: json_reply(200, siblings.conversation_page(tree)))

    async def change(self, request: Request) -> object:
        """Rename, hide or show one conversation."""
        owner, conversation = self._owner(request), _conversation(request)
        change = siblings.read_change(await whole_body(request, MAX_BODY))
        if change.is_visible is True:
            await self._kept.show(owner, conversation)
        if change.title is not None:
            await self._kept.retitle(owner, conversation, change.title)
        if change.is_visible is False:
            await self._kept.hide(owner, conversation)
        return {"success": True}

    async def hide_all(self, request: Request) -> object:
        """Hide all of the caller's conversations."""
        owner = self._owner(request)
        siblings.read_hide_all(await whole_body(request, MAX_BODY))
        await self._kept.hide_all(owner)
        return {"success": True}

    async def name(self, request: Request) -> object:
        """Give a conversation a title made from its first question, whatever is sent along."""
        owner, conversation = self._owner(request), _conversation(request)
        await whole_body(request, MAX_BODY)
        title, new = await self._kept.name(owner, conversation)
        return {"title": title} if new else siblings.already_titled(conversation, title)

    async def account(self, request: Request) -> object:
        """Tell of the caller's plan."""
        self._owner(request)
        return siblings.account_page()

    async def accounts(self, request: Request) -> object:
        """Tell of the caller's plan, in the later form."""
        caller = admitted(self._gatekeeper, request, self._bearer)
        return siblings.accounts_page(caller.id or "anonymous")

    async def session(self, request: Request) -> object:
        """Tell who is logged in: the bearer's holder, or ``{}``."""
        try:
            caller = admitted(self._gatekeeper, request, Bearer.IDENTITY)
        except Unauthorized as error:
            if error.code == NO_TOKEN:
                return {}
            raise
        return siblings.session_page(caller.id, _token(request), self._wall() + SESSION_LENGTH)

    async def unknown(self, request: Request) -> object:
        """There is nothing here."""
        raise NotFound(f"There is nothing at {request.url.path[:200]}.")

    def _owner(self, request: Request) -> str:
        return self._backend.owner_of(admitted(self._gatekeeper, request, self._bearer))


def _conversation(request: Request) -> str:
    conversation: Any = request.path_params["conversation"]
    return str(conversation)


def _token(request: Request) -> str:
    """The token that the caller was admitted with."""
    for name in SECRET_FIELDS:
        shown = request.headers.get(name.decode(), "").strip()
        token = shown[7:].strip() if shown[:7].lower() == "bearer " else shown
        if token and token.lower() != "bearer":
            return token
    return ""
