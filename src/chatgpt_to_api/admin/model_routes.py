"""The admin API's routes of models: one ordered list, the configuration's first.

Those of the configuration are shown with ids of their own (``config:0``) and are changed there
only; the others are changed one by one, or as a whole list.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.body import parse_object, read_body
from chatgpt_to_api.admin.changes import expected_version, naming, stands_elsewhere
from chatgpt_to_api.admin.configuration import Configuration, Edit
from chatgpt_to_api.admin.routing import admin_route
from chatgpt_to_api.config.managed import STORE, Managed, ManagedRoute, Unfit, read_route
from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.errors import Conflict, InvalidRequest, NotFound

_EXPECTED: Final = '{"model": "gpt-4o*", "candidates": [{"upstream": "vendor"}]}'
_READ_ONLY: Final = ("id", "origin", "changed")
_CONFIGURED: Final = "config:"


class ModelRouteApi:
    """The routes, as methods."""

    def __init__(self, auth: AdminAuth, configuration: Configuration) -> None:
        self._auth = auth
        self._configuration = configuration

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            admin_route(
                self._auth, "/admin/routes", GET=self.list_all, PUT=self.replace, POST=self.add
            ),
            admin_route(
                self._auth,
                "/admin/routes/{id}",
                GET=self.show,
                PATCH=self.amend,
                DELETE=self.delete,
            ),
        ]

    async def list_all(self, request: Request) -> dict[str, Any]:  # noqa: ARG002
        """Show all of them in order."""
        return {"version": self._configuration.version, "routes": self._all()}

    async def show(self, request: Request) -> dict[str, Any]:
        """Show one."""
        id = request.path_params["id"]
        for shown in self._all():
            if shown["id"] == id:
                return {"version": self._configuration.version, **shown}
        raise _unknown(id)

    async def replace(self, request: Request) -> dict[str, Any]:
        """Make the body's list all there is beside the configuration's; an id keeps its route."""
        tables = _tables(await read_body(request))
        mine = self._beside_configured(tables)
        shift = len(tables) - len(mine) - self._first

        def edit(managed: Managed) -> Managed:
            routes = []
            for place, (id, table) in enumerate(mine, self._first):
                standing = managed.route(id)
                if id and standing is None:
                    raise _unknown(id, f"routes[{place + shift}].id")
                made = read_route(id or _new_id(), table, place=place, changed=time.time())
                same = standing is not None and standing.table == made.table
                routes.append(standing if standing is not None and same else made)
            return structs.replace(managed, routes=tuple(routes))

        def rename(text: str) -> str:
            return re.sub(r"^routes\[(\d+)\]", lambda n: f"routes[{int(n[1]) + shift}]", text)

        with naming(rename):
            await self._configuration.change(edit, expected_version(request))
        return {"message": "routes replaced", **await self.list_all(request)}

    async def add(self, request: Request) -> dict[str, Any]:
        """Add one behind the others."""
        table = _fields(parse_object(await read_body(request), _EXPECTED))
        id = _new_id()

        def edit(managed: Managed) -> Managed:
            place = self._first + len(managed.routes)
            route = read_route(id, table, place=place, changed=time.time())
            return structs.replace(managed, routes=(*managed.routes, route))

        return await self._change_one(request, id, edit, "route added")

    async def amend(self, request: Request) -> dict[str, Any]:
        """Change the fields of the body; null is the default again."""
        id = self._managed_id(request)
        table = _fields(parse_object(await read_body(request), _EXPECTED))

        def edit(managed: Managed) -> Managed:
            place = _place(managed, id)
            merged = {**managed.routes[place].table, **table}
            route = read_route(id, merged, place=self._first + place, changed=time.time())
            routes = (*managed.routes[:place], route, *managed.routes[place + 1 :])
            return structs.replace(managed, routes=routes)

        return await self._change_one(request, id, edit, "route changed")

    async def delete(self, request: Request) -> dict[str, Any]:
        """Remove one; one that another leads to stays."""
        id = self._managed_id(request)

        def edit(managed: Managed) -> Managed:
            place = _place(managed, id)
            routes = managed.routes[:place] + managed.routes[place + 1 :]
            return structs.replace(managed, routes=routes)

        try:
            await self._configuration.change(edit, expected_version(request))
        except Unfit as error:
            told = "; ".join(problem.message for problem in error.problems)
            raise Conflict(
                f"Without the route {id} others lead nowhere: {told}. Nothing was changed.",
                code="route_in_use",
                param="id",
            ) from None
        return {"message": "route deleted", "version": self._configuration.version, "id": id}

    async def _change_one(
        self, request: Request, id: str, edit: Edit, message: str
    ) -> dict[str, Any]:
        itself = ""

        def placed(managed: Managed) -> Managed:
            nonlocal itself
            standing = managed.route(id)
            place = len(managed.routes) if standing is None else managed.routes.index(standing)
            itself = f"routes[{self._first + place}]"
            return edit(managed)

        def rename(text: str) -> str:
            part = text.removeprefix(f"{itself}.")
            return f"route{part.removeprefix(itself)}" if part.startswith(itself) else part

        with naming(rename):
            await self._configuration.change(placed, expected_version(request))
        route = self._configuration.managed.route(id)
        shown = {} if route is None else _shown(route)  # somebody may have removed it since
        return {"message": message, "version": self._configuration.version, **shown}

    @property
    def _first(self) -> int:
        """The place of the first managed route in the whole list."""
        return len(self._configuration.configured.settings.routes)

    def _all(self) -> list[dict[str, Any]]:
        return self._configured() + [_shown(one) for one in self._configuration.managed.routes]

    def _configured(self) -> list[dict[str, Any]]:
        configured = self._configuration.configured
        return [
            {
                "id": f"{_CONFIGURED}{place}",
                "origin": configured.origins["routes"],
                "changed": None,
                **_table(route),
            }
            for place, route in enumerate(configured.settings.routes)
        ]

    def _managed_id(self, request: Request) -> str:
        id: str = request.path_params["id"]
        if id in {shown["id"] for shown in self._configured()}:
            raise self._elsewhere(id, "id")
        return id

    def _elsewhere(self, id: str, param: str) -> Conflict:
        place = self._configuration.configured.origins["routes"]
        return stands_elsewhere(f"The route {id}", place, param)

    def _beside_configured(
        self, tables: Sequence[dict[str, Any]]
    ) -> list[tuple[str, dict[str, Any]]]:
        """Return the ids ("" for a new one) and fields of those in a list that can be changed.

        Those of the configuration may stand at its beginning, as they are.
        """
        standing = self._configured()
        mine: list[tuple[str, dict[str, Any]]] = []
        for place, table in enumerate(tables):
            id = table.get("id") or ""
            if not isinstance(id, str):
                raise _bad(f"routes[{place}].id", "expected a string")
            if id.startswith(_CONFIGURED):
                if place >= len(standing) or _fields(table) != _fields(standing[place]):
                    raise self._elsewhere(id, f"routes[{place}]")
            elif id and id in {other for other, _ in mine}:
                raise _bad(f"routes[{place}].id", "it stands twice in the list")
            else:
                mine.append((id, _fields(table)))
        if 0 < len(tables) - len(mine) < len(standing) or (
            len(tables) > len(mine) and any(not _is_configured(t) for t in tables[: len(standing)])
        ):
            raise self._elsewhere(f"{_CONFIGURED}0", "routes")
        return mine


def _tables(body: bytes) -> list[dict[str, Any]]:
    try:
        value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if isinstance(value, dict):
        value = value.get("routes")
    if not isinstance(value, list):
        raise InvalidRequest(
            f'Expected a JSON array of routes, or {{"routes": […]}}, each such as {_EXPECTED}. '
            "Nothing was changed.",
            param="routes",
            code="invalid_json",
        )
    for place, table in enumerate(value):
        if not isinstance(table, dict):
            raise _bad(f"routes[{place}]", "expected an object")
    return value


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in _READ_ONLY}


def _is_configured(table: Mapping[str, Any]) -> bool:
    return str(table.get("id")).startswith(_CONFIGURED)


def _table(route: RouteSettings) -> dict[str, Any]:
    """Return a route of the configuration as it may have been written, without defaults."""
    table: dict[str, Any] = _without_defaults(route)
    table["candidates"] = [_without_defaults(candidate) for candidate in route.candidates]
    return table


def _without_defaults(struct: msgspec.Struct) -> dict[str, Any]:
    defaults = {field.name: field.default for field in structs.fields(struct)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in structs.asdict(struct).items()
        if value != defaults[name] and value != {}
    }


def _shown(route: ManagedRoute) -> dict[str, Any]:
    return {"id": route.id, "origin": STORE, "changed": route.changed, **route.table}


def _place(managed: Managed, id: str) -> int:
    for place, route in enumerate(managed.routes):
        if route.id == id:
            return place
    raise _unknown(id)


def _new_id() -> str:
    return secrets.token_hex(6)


def _unknown(id: str, param: str = "id") -> NotFound:
    return NotFound(
        f"There is no route with the id {id[:64]!r}; GET /admin/routes lists them.",
        code="route_not_found",
        param=param,
    )


def _bad(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {what}. Nothing was changed.", param=param, code="invalid_value"
    )
