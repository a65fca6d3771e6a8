"""The admin API: ``/admin/tokens``, ``/admin/password``, ``/admin/puid``, ``/admin/openai``.

Paths, methods and the words of ``message`` are the original's; its plain texts became JSON. Every
handler runs after the password was checked, and raises GatewayErrors, which the server renders.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.body import (
    header_secret_field,
    parse_object,
    read_body,
    secret_field,
    whole_number,
)
from chatgpt_to_api.admin.overrides import Override
from chatgpt_to_api.admin.routing import Answer, admin_route
from chatgpt_to_api.admin.tokens import TokenAdmin, unknown_token
from chatgpt_to_api.chat.needs import Need, Needs
from chatgpt_to_api.config.token_set import parse_added_tokens, parse_token_set
from chatgpt_to_api.config.token_text import why_no_puid
from chatgpt_to_api.errors import Conflict, InvalidRequest, NotFound
from chatgpt_to_api.gateway.explain import Explanation
from chatgpt_to_api.pool.pool import CredentialView, Pool
from chatgpt_to_api.store.credentials import Change
from chatgpt_to_api.wire.secret import Secret

PAGE: Final = 1000
MOST: Final = 10_000
"""How many tokens one GET lists: by default, and at most."""


class AdminApi:
    """The routes, as methods over what they change.

    ``tokens``: the conversation upstreams by name, the default one first. ``configured``: the other
    upstreams with keys, at present; they are shown and reset here, but not changed. ``saved``
    waits until the pool's states are on the disk. ``use_official_key`` puts another official API
    key (None: none) into force; it was stored before. ``warnings`` says what is wrong with watched
    files. ``explain`` says where a model's name leads. ``unasked_address`` says where an upstream's
    tokens go though nobody said so, "" for every other upstream.
    """

    def __init__(
        self,
        *,
        auth: AdminAuth,
        pool: Pool,
        tokens: Mapping[str, TokenAdmin],
        configured: Callable[[], Sequence[str]],
        official_key: Override,
        use_official_key: Callable[[Secret | None], Awaitable[None]],
        saved: Callable[[], Awaitable[None]],
        warnings: Callable[[], Sequence[str]],
        explain: Callable[[str, Needs], Explanation],
        unasked_address: Callable[[str], str],
    ) -> None:
        self._auth = auth
        self._pool = pool
        self._tokens = tokens
        self._configured = configured
        self._official_key = official_key
        self._use_official_key = use_official_key
        self._saved = saved
        self._warnings = warnings
        self._explain = explain
        self._unasked_address = unasked_address

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            self._route("/admin/status", GET=self.status),
            self._route("/admin/explain", GET=self.explain),
            self._route(
                "/admin/tokens",
                GET=self.list_tokens,
                PATCH=self.replace_tokens,
                POST=self.add_tokens,
                DELETE=self.delete_tokens,
            ),
            self._route("/admin/tokens/reset", POST=self.reset_tokens),
            self._route("/admin/tokens/{id}", GET=self.show_token, DELETE=self.delete_token),
            self._route("/admin/tokens/{id}/reset", POST=self.reset_token),
            self._route("/admin/tokens/{id}/disable", POST=self.disable_token),
            self._route("/admin/tokens/{id}/enable", POST=self.enable_token),
            self._route("/admin/password", PATCH=self.change_password),
            self._route("/admin/puid", PATCH=self.change_puid),
            self._route("/admin/openai", PATCH=self.change_official_key),
        ]

    def _route(self, path: str, **answers: Answer) -> Route:
        return admin_route(self._auth, path, **answers)

    async def status(self, request: Request) -> dict[str, Any]:  # noqa: ARG002
        """Every upstream's pool at a glance, and what is wrong with files."""
        names = [*self._tokens, *(name for name in self._configured() if name not in self._tokens)]
        upstreams = [self._pool.view(name) for name in names]
        return {"upstreams": upstreams, "warnings": list(self._warnings())}

    async def explain(self, request: Request) -> dict[str, Any]:
        """Show the path that a request for ``?model=`` would take; ``needs`` and ``tokens``."""
        model = request.query_params.get("model", "")
        if not model:
            raise InvalidRequest(
                "Say which model: /admin/explain?model=NAME.", param="model", code="missing_field"
            )
        names = [name for name in request.query_params.get("needs", "").split(",") if name]
        try:
            fields = msgspec.convert(dict.fromkeys(names, "needs"), dict[Need, str])
        except msgspec.ValidationError:
            raise InvalidRequest(
                f"needs: expected some of {', '.join(get_args(Need))}, with commas between them.",
                param="needs",
                code="invalid_value",
            ) from None
        tokens = whole_number(request, "tokens", 0, 1_000_000_000)
        found = self._explain(model, Needs(fields, tokens))
        shown: dict[str, Any] = msgspec.to_builtins(found)
        return shown

    # Tokens

    async def list_tokens(self, request: Request) -> dict[str, Any]:
        """List the tokens of an upstream, masked, with what the pool knows of each."""
        upstream = self._any_upstream(request)
        limit = whole_number(request, "limit", PAGE, MOST)
        views = self._views(upstream)
        states = Counter(view.state for view in views)
        start = 0
        if after := request.query_params.get("after"):
            places = {view.id: place for place, view in enumerate(views, 1)}
            if after not in places:
                raise unknown_token(after)
            start = places[after]
        shown = views[start : start + limit]
        return {
            "upstream": upstream,
            "total": len(views),
            "states": states,
            "tokens": [_shown(view) for view in shown],
            "has_more": start + limit < len(views),
        }

    async def show_token(self, request: Request) -> dict[str, Any]:
        """Show one token as the list does."""
        upstream, id = self._any_upstream(request), request.path_params["id"]
        for view in self._views(upstream):
            if view.id == id:
                return _shown(view)
        raise unknown_token(id)

    async def replace_tokens(self, request: Request) -> dict[str, Any]:
        """Make the body's tokens the whole set, or refuse it whole."""
        tokens = self._changeable(request)
        entries = await asyncio.to_thread(parse_token_set, await read_body(request))
        return self._given("tokens updated", tokens, await tokens.replace(entries))

    async def add_tokens(self, request: Request) -> dict[str, Any]:
        """Add the body's tokens to the set, or refuse them whole."""
        tokens = self._changeable(request)
        entries = await asyncio.to_thread(parse_added_tokens, await read_body(request))
        return self._given("tokens added", tokens, await tokens.add(entries))

    def _given(self, message: str, tokens: TokenAdmin, change: Change) -> dict[str, Any]:
        """Tell what a change did, and what came of it that was not asked for."""
        note = self._unasked_address(tokens.upstream) if change.total else ""
        return _changed(message, tokens, change) | ({"note": note} if note else {})

    async def delete_tokens(self, request: Request) -> dict[str, Any]:
        """Remove one token (``?id=`` or ``{"id"}``), several (``{"ids"}``), or all."""
        tokens = self._changeable(request)
        ids = await _ids(request)
        change = await (tokens.replace(()) if ids is None else tokens.remove(ids))
        return _changed("tokens deleted", tokens, change)

    async def delete_token(self, request: Request) -> dict[str, Any]:
        """Remove the token of the path."""
        tokens = self._changeable(request)
        return _changed("token deleted", tokens, await tokens.remove([request.path_params["id"]]))

    async def reset_tokens(self, request: Request) -> dict[str, Any]:
        """End every cool-down of an upstream, and forget which tokens were refused."""
        upstream = self._any_upstream(request)
        self._pool.reset(upstream)
        await self._saved()
        return {"message": "tokens reset", "upstream": upstream}

    async def reset_token(self, request: Request) -> dict[str, Any]:
        """End one token's cool-downs, and forget that it was refused."""
        return await self._by_hand(request, self._pool.reset, "token reset")

    async def disable_token(self, request: Request) -> dict[str, Any]:
        """Take one token out of service until it is enabled."""
        return await self._by_hand(request, self._pool.disable, "token disabled")

    async def enable_token(self, request: Request) -> dict[str, Any]:
        """Put a disabled token back into service."""
        return await self._by_hand(request, self._pool.enable, "token enabled")

    async def _by_hand(
        self, request: Request, act: Callable[[str, str], None], message: str
    ) -> dict[str, Any]:
        upstream, id = self._any_upstream(request), request.path_params["id"]
        act(upstream, id)
        await self._saved()
        return {"message": message, "upstream": upstream, "id": id}

    def _views(self, upstream: str) -> list[CredentialView]:
        # The one without an id stands for "no credential needed".
        return [view for view in self._pool.views(upstream) if view.id]

    def _any_upstream(self, request: Request) -> str:
        name = request.query_params.get("upstream")
        if name is None:
            return self._changeable(request).upstream
        if name not in self._tokens and name not in self._configured():
            raise self._unknown_upstream(name)
        return name

    def _changeable(self, request: Request) -> TokenAdmin:
        name = request.query_params.get("upstream")
        if name is None:
            if not self._tokens:
                raise Conflict(
                    "No conversation upstream is configured that tokens could be for: set "
                    "API_REVERSE_PROXY, or [upstreams.conversation] in the configuration.",
                    code="no_conversation_upstream",
                )
            return next(iter(self._tokens.values()))
        if name in self._tokens:
            return self._tokens[name]
        if name in self._configured():
            raise Conflict(
                f"The keys of upstream {name} are not tokens: /admin/credentials changes stored "
                "keys; those of the configuration are changed there (the official API key by "
                "PATCH /admin/openai).",
                code="set_in_configuration",
                param="upstream",
            )
        raise self._unknown_upstream(name)

    def _unknown_upstream(self, name: str) -> NotFound:
        known = ", ".join([*self._tokens, *self._configured()]) or "none"
        return NotFound(
            f"There is no upstream {name[:64]!r}; there is: {known}.",
            code="upstream_not_found",
            param="upstream",
        )

    # Single values

    async def change_password(self, request: Request) -> dict[str, Any]:
        """Set the admin password; it holds until the variable ADMIN_PASSWORD changes."""
        value = parse_object(await read_body(request), '{"password": "…"}')
        password = secret_field(value, "password") or Secret("")
        await self._auth.password.change(password)
        return {"message": "password updated"}

    async def change_puid(self, request: Request) -> dict[str, Any]:
        """Set the PUID of tokens that bring none; "" or null takes it away."""
        tokens = self._changeable(request)
        value = parse_object(await read_body(request), '{"puid": "…"}')
        puid = header_secret_field(value, "puid")
        if puid is not None and (reason := why_no_puid(puid.reveal())):
            raise InvalidRequest(
                f"puid: {reason}. Nothing was changed.", param="puid", code="invalid_value"
            )
        await tokens.set_puid(puid)
        return {"message": "puid updated", "upstream": tokens.upstream}

    async def change_official_key(self, request: Request) -> dict[str, Any]:
        """Set the official API key; "" or null takes it away. E-mail and password are refused."""
        value = parse_object(await read_body(request), '{"official_api_key": "sk-…"}')
        for name in ("openai_email", "openai_password"):
            if value.get(name):
                raise InvalidRequest(
                    f"{name}: the gateway does not log in with e-mail and password; send "
                    "official_api_key only, and access tokens to /admin/tokens.",
                    param=name,
                    code="log_in_not_supported",
                )
        key = header_secret_field(value, "official_api_key")
        await self._official_key.set(key)
        await self._use_official_key(key)
        return {"message": "OpenAI credentials updated"}


def _shown(view: CredentialView) -> dict[str, Any]:
    """Show a view under the name ``token``, so that sending it back is refused as masked."""
    shown: dict[str, Any] = msgspec.structs.asdict(view)
    return {"id": shown.pop("id"), "token": shown.pop("masked"), **shown}


def _changed(message: str, tokens: TokenAdmin, change: Change) -> dict[str, Any]:
    return {"message": message, "upstream": tokens.upstream, **msgspec.structs.asdict(change)}


async def _ids(request: Request) -> list[str] | None:
    """Return the ids a DELETE names, None if it names none: then it means all."""
    if (id := request.query_params.get("id")) is not None:
        return [id]
    body = await read_body(request)
    if not body.strip():
        return None
    value = parse_object(body, '{"id": "…"} or {"ids": ["…"]}, or no body for all')
    match value:
        case {"id": str(id)}:
            return [id]
        case {"ids": list(ids)} if ids and all(isinstance(id, str) for id in ids):
            return ids
    raise InvalidRequest(
        'Expected {"id": "…"} or {"ids": ["…"]}, or no body for all. Nothing was changed.',
        param="id",
        code="missing_field",
    )
