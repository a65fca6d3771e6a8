"""The admin API's credentials: tokens and API keys of every upstream; the stored can be changed.

Those of the configuration are shown, and can be disabled and reset; else they are changed there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.body import header_secret_field, parse_object, read_body, whole_number
from chatgpt_to_api.admin.changes import stands_elsewhere
from chatgpt_to_api.admin.configuration import Configuration
from chatgpt_to_api.admin.routing import admin_route
from chatgpt_to_api.admin.tokens import TokenAdmin
from chatgpt_to_api.config.managed import OFFICIAL, STORE
from chatgpt_to_api.config.token_files import Skipped, make_entry
from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.errors import Conflict, InvalidRequest, NotFound
from chatgpt_to_api.pool.pool import CredentialView, Pool
from chatgpt_to_api.store.credentials import credential_id
from chatgpt_to_api.wire.refresh import as_key, seed_of
from chatgpt_to_api.wire.secret import Access, Secret

PAGE: Final = 1000
MOST: Final = 10_000
"""How many credentials one GET lists: by default, and at most."""

LONGEST_LABEL: Final = 254

_KEY: Final = '{"upstream": "vendor", "api_key": "sk-…", "label": "mine"}'
_CHANGE: Final = '{"label": "mine"}, {"disabled": true} or {"reset": true}'


class CredentialApi:
    """The routes, as methods.

    ``tokens`` and ``keys``: the stored credentials of conversation upstreams and of the others.
    ``saved`` waits until the pool's states are on the disk.
    """

    def __init__(
        self,
        auth: AdminAuth,
        configuration: Configuration,
        pool: Pool,
        in_force: Callable[[], Mapping[str, UpstreamSettings]],
        tokens: Mapping[str, TokenAdmin],
        keys: Mapping[str, TokenAdmin],
        saved: Callable[[], Awaitable[None]],
    ) -> None:
        self._auth = auth
        self._configuration = configuration
        self._pool = pool
        self._in_force = in_force
        self._tokens = tokens
        self._keys = keys
        self._saved = saved

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            admin_route(self._auth, "/admin/credentials", GET=self.list_all, POST=self.add),
            admin_route(
                self._auth,
                "/admin/credentials/{id}",
                GET=self.show,
                PATCH=self.amend,
                DELETE=self.delete,
            ),
        ]

    async def list_all(self, request: Request) -> dict[str, Any]:
        """List the credentials of all upstreams, or of one, masked."""
        limit = whole_number(request, "limit", PAGE, MOST)
        found = list(self._views(self._chosen(request)))
        start = 0
        if after := request.query_params.get("after"):
            places = [f"{name}/{view.id}" for name, view in found]
            if after not in places:
                raise InvalidRequest(
                    "after: expected UPSTREAM/ID of a credential that was listed.",
                    param="after",
                    code="invalid_value",
                )
            start = places.index(after) + 1
        shown = [self._shown(name, view) for name, view in found[start : start + limit]]
        return {
            "total": len(found),
            "credentials": shown,
            "has_more": start + limit < len(found),
        }

    async def show(self, request: Request) -> dict[str, Any]:
        """Show one."""
        return self._shown(*self._find(request))

    async def add(self, request: Request) -> dict[str, Any]:
        """Add an API key or an access token to an upstream."""
        body = parse_object(await read_body(request), _KEY)
        name = body.get("upstream")
        if not isinstance(name, str):
            raise _bad("upstream", "expected the name of an upstream", "invalid_type")
        entry, stored = self._entry(name, body)
        id = credential_id(entry.access)
        if any(view.id == id for view in self._pool.views(name)):
            raise Conflict(
                f"The upstream {name} has this credential already, with the id {id}. "
                "Nothing was changed.",
                code="credential_exists",
            )
        await stored.add([entry])
        return {"message": "credential added", **self._shown(*self._by_id(name, id))}

    async def amend(self, request: Request) -> dict[str, Any]:
        """Give one another label, disable or enable it, or end its cool-downs."""
        name, view = self._find(request)
        body = parse_object(await read_body(request), _CHANGE)
        unknown = body.keys() - {"label", "disabled", "reset"}
        if unknown or not body:
            what = f"there is no such field; expected {_CHANGE}"
            raise _bad(min(unknown, default="label"), what, "invalid_value")
        disabled, reset = body.get("disabled"), body.get("reset")
        if "disabled" in body and not isinstance(disabled, bool):
            raise _bad("disabled", "expected true or false", "invalid_type")
        if "reset" in body and reset is not True:
            raise _bad("reset", "expected true", "invalid_type")
        if "label" in body:
            await self._stored(name, view.id).relabel(view.id, _label(body))
        if disabled is not None:
            (self._pool.disable if disabled else self._pool.enable)(name, view.id)
        if reset:
            self._pool.reset(name, view.id)
        await self._saved()
        return {"message": "credential changed", **self._shown(*self._by_id(name, view.id))}

    async def delete(self, request: Request) -> dict[str, Any]:
        """Remove one; requests in flight finish on it."""
        name, view = self._find(request)
        await self._stored(name, view.id).remove([view.id])
        return {"message": "credential deleted", "upstream": name, "id": view.id}

    def _entry(self, name: str, body: Mapping[str, Any]) -> tuple[TokenEntry, TokenAdmin]:
        """Return what is to be added, and to what. Raises InvalidRequest."""
        keys = ("api_key", "refresh_token")
        fields = ("token", "puid", "account") if name in self._tokens else keys
        known = {"upstream", "label", *fields}
        if unknown := body.keys() - known:
            expected = ", ".join(sorted(known))
            raise _bad(min(unknown), f"there is no such field; expected {expected}")
        label = _label(body) if "label" in body else ""
        if name in self._tokens:
            texts = {field: body.get(field) or "" for field in fields}
            for field, text in texts.items():
                if not isinstance(text, str):
                    raise _bad(field, "expected a string", "invalid_type")
            made = make_entry("token", texts["token"], texts["puid"], texts["account"], label)
            if isinstance(made, Skipped):
                raise _bad(made.where.removeprefix("token."), made.reason, "invalid_token")
            return made, self._tokens[name]
        if name in self._keys:
            return TokenEntry(Access(token=self._key(name, body)), label), self._keys[name]
        if name == OFFICIAL:
            raise stands_elsewhere("The key of official", "PATCH /admin/openai", "upstream")
        raise self._unknown_upstream(name)

    def _key(self, name: str, body: Mapping[str, Any]) -> Secret:
        """Return an API key, or the refresh token in its place. Raises InvalidRequest."""
        field = "refresh_token" if "refresh_token" in body else "api_key"
        if body.keys() >= {"api_key", "refresh_token"}:
            raise _bad(field, "expected this or api_key, got both")
        key = header_secret_field(dict(body), field)
        if key is None:
            raise _bad(field, "it is empty")
        if field == "refresh_token":
            key = as_key(key)
        upstream = self._in_force().get(name)
        if seed_of(key) is not None and (upstream is None or not upstream.token_url):
            raise _bad(field, f"a refresh token takes token_url in the settings of {name}")
        return key

    def _stored(self, name: str, id: str) -> TokenAdmin:
        """Return where a credential is stored. Raises Conflict if it stands elsewhere."""
        stored = self._tokens.get(name) or self._keys.get(name)
        if stored is None or id not in stored.ids:
            raise stands_elsewhere(f"The credential {id}", self._place(name), "id")
        return stored

    def _place(self, name: str) -> str:
        if name == OFFICIAL:
            return "OFFICIAL_API_KEY or PATCH /admin/openai"
        return self._configuration.loaded.origins.get(f"upstreams.{name}.api_keys", "")

    def _chosen(self, request: Request) -> list[str]:
        """Return the upstreams that a request means: the one it names, else all."""
        all_of_them = [*self._tokens, *self._keys]
        if OFFICIAL in self._in_force():
            all_of_them.append(OFFICIAL)
        name = request.query_params.get("upstream")
        if name is None:
            return all_of_them
        if name not in all_of_them:
            raise self._unknown_upstream(name)
        return [name]

    def _views(self, names: list[str]) -> Iterator[tuple[str, CredentialView]]:
        for name in names:
            for view in self._pool.views(name):
                if view.id:  # the one without stands for "no credential needed"
                    yield name, view

    def _find(self, request: Request) -> tuple[str, CredentialView]:
        id = request.path_params["id"]
        found = [(name, view) for name, view in self._views(self._chosen(request)) if view.id == id]
        if len(found) > 1:
            names = ", ".join(name for name, _ in found)
            raise Conflict(
                f"Several upstreams have this credential: {names}. Choose one with ?upstream=NAME.",
                code="credential_ambiguous",
                param="upstream",
            )
        if not found:
            raise _unknown(id)
        return found[0]

    def _by_id(self, name: str, id: str) -> tuple[str, CredentialView]:
        for found in self._views([name]):
            if found[1].id == id:
                return found
        raise _unknown(id)

    def _shown(self, name: str, view: CredentialView) -> dict[str, Any]:
        """Show one; its secret stands, masked, under the name it has when it is sent."""
        stored = self._tokens.get(name) or self._keys.get(name)
        origin = STORE if stored is not None and view.id in stored.ids else self._place(name)
        shown: dict[str, Any] = msgspec.structs.asdict(view)
        field = "token" if name in self._tokens else "api_key"
        return {
            "id": shown.pop("id"),
            "upstream": name,
            "origin": origin,
            field: shown.pop("masked"),
            **shown,
        }

    def _unknown_upstream(self, name: str) -> NotFound:
        known = ", ".join([*self._tokens, *self._keys]) or "none"
        return NotFound(
            f"There is no upstream {name[:64]!r} that takes credentials; there is: {known}.",
            code="upstream_not_found",
            param="upstream",
        )


def _label(body: Mapping[str, Any]) -> str:
    label = body["label"]
    if not isinstance(label, str):
        raise _bad("label", "expected a string", "invalid_type")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise _bad("label", f"expected at most {LONGEST_LABEL} printable characters")
    return label


def _unknown(id: str) -> NotFound:
    return NotFound(
        f"There is no credential with the id {id[:64]!r}; GET /admin/credentials lists them.",
        code="credential_not_found",
        param="id",
    )


def _bad(param: str, what: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(f"{param}: {what}. Nothing was changed.", param=param, code=code)
