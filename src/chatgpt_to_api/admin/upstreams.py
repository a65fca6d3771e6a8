"""The admin API's upstreams: all are shown, those that are managed at run time can be changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.body import parse_object, read_body
from chatgpt_to_api.admin.changes import expected_version, naming, stands_elsewhere
from chatgpt_to_api.admin.configuration import Configuration, Edit
from chatgpt_to_api.admin.routing import admin_route
from chatgpt_to_api.config.catalogue import upstream_catalogue
from chatgpt_to_api.config.managed import (
    STORE,
    Managed,
    configured_place,
    read_upstream,
    written,
)
from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.sources import DEFAULT
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.errors import Conflict, InvalidRequest, NotFound
from chatgpt_to_api.pool.pool import Pool
from chatgpt_to_api.wire.secret import Secret

_EXPECTED = '{"name": "vendor", "kind": "openai", "base_url": "https://…/v1"}'


class UpstreamApi:
    """The routes, as methods. ``in_force`` gives the upstreams that can be routed to now."""

    def __init__(
        self,
        auth: AdminAuth,
        configuration: Configuration,
        pool: Pool,
        in_force: Callable[[], Mapping[str, UpstreamSettings]],
    ) -> None:
        self._auth = auth
        self._configuration = configuration
        self._pool = pool
        self._in_force = in_force

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            admin_route(self._auth, "/admin/upstreams", GET=self.list_all, POST=self.add),
            admin_route(
                self._auth,
                "/admin/upstreams/{name}",
                GET=self.show,
                PUT=self.replace,
                PATCH=self.amend,
                DELETE=self.delete,
            ),
        ]

    async def list_all(self, request: Request) -> dict[str, Any]:  # noqa: ARG002
        """Show every upstream there is, in order."""
        shown = [self._shown(name, upstream) for name, upstream in self._all().items()]
        return {"version": self._configuration.version, "upstreams": shown}

    async def show(self, request: Request) -> dict[str, Any]:
        """Show one."""
        name = request.path_params["name"]
        upstream = self._all().get(name)
        if upstream is None:
            raise self._unknown(name)
        return {"version": self._configuration.version, **self._shown(name, upstream)}

    async def add(self, request: Request) -> dict[str, Any]:
        """Add one behind the others."""
        table = parse_object(await read_body(request), _EXPECTED)
        name = table.pop("name", None)
        if not isinstance(name, str):
            raise InvalidRequest(
                "name: expected a string. Nothing was changed.", param="name", code="invalid_type"
            )

        def edit(managed: Managed) -> Managed:
            if managed.upstream(name) is not None:
                raise Conflict(
                    f"There is an upstream {name!r} already: PUT or PATCH /admin/upstreams/{name}. "
                    "Nothing was changed.",
                    param="name",
                    code="upstream_exists",
                )
            return self._with(managed, name, table)

        return await self._change(request, name, edit, "upstream added")

    async def replace(self, request: Request) -> dict[str, Any]:
        """Make the body all there is of one, new or not."""
        name = request.path_params["name"]
        table = self._body(name, await read_body(request))

        def edit(managed: Managed) -> Managed:
            return self._with(managed, name, table)

        return await self._change(request, name, edit, "upstream replaced")

    async def amend(self, request: Request) -> dict[str, Any]:
        """Change the fields of the body; null is the default again."""
        name = request.path_params["name"]
        table = self._body(name, await read_body(request))

        def edit(managed: Managed) -> Managed:
            standing = managed.upstream(name)
            if standing is None:
                raise self._unknown(name)
            return self._with(managed, name, {**written(standing), **table})

        return await self._change(request, name, edit, "upstream changed")

    async def delete(self, request: Request) -> dict[str, Any]:
        """Remove one and its credentials; one that a route names stays."""
        name = request.path_params["name"]

        def edit(managed: Managed) -> Managed:
            if managed.upstream(name) is None:
                raise self._unknown(name)
            for route in managed.routes:
                if _names(route.settings, name):
                    raise Conflict(
                        f"The route {route.id} ({route.settings.model}) leads to {name}: change or "
                        "remove it first. Nothing was changed.",
                        code="upstream_in_use",
                        param="name",
                    )
            rest = tuple(one for one in managed.upstreams if one.name != name)
            return structs.replace(managed, upstreams=rest)

        await self._changed(request, name, edit)
        version = self._configuration.version
        return {"message": "upstream deleted", "version": version, "name": name}

    def _body(self, name: str, body: bytes) -> dict[str, Any]:
        table = parse_object(body, _EXPECTED)
        if table.pop("name", name) != name:
            raise InvalidRequest(
                "name: expected the one of the path; an upstream keeps its name. "
                "Nothing was changed.",
                param="name",
                code="invalid_value",
            )
        return table

    def _with(self, managed: Managed, name: str, table: Mapping[str, Any]) -> Managed:
        """Return what is managed with this upstream in its place. Raises Unfit."""
        server = self._configuration.configured.settings.server
        made = read_upstream(name, table, server, changed=time.time())
        standing = managed.upstream(name)
        if standing is None:
            return structs.replace(managed, upstreams=(*managed.upstreams, made))
        if standing.settings.kind != made.settings.kind:
            raise Conflict(
                f"kind: {name} is of kind {standing.settings.kind}, and its credentials with it; "
                "delete it and make another. Nothing was changed.",
                param="kind",
            )
        upstreams = tuple(made if one.name == name else one for one in managed.upstreams)
        return structs.replace(managed, upstreams=upstreams)

    async def _change(
        self, request: Request, name: str, edit: Edit, message: str
    ) -> dict[str, Any]:
        await self._changed(request, name, edit)
        shown = self._shown(name, self._all()[name])
        return {"message": message, "version": self._configuration.version, **shown}

    async def _changed(self, request: Request, name: str, edit: Edit) -> None:
        place = configured_place(self._configuration.configured, name)
        if place:
            raise stands_elsewhere(f"The upstream {name}", place, "name")
        with naming(lambda text: text.replace(f"upstreams.{name}.", "")):
            await self._configuration.change(edit, expected_version(request))

    def _all(self) -> dict[str, UpstreamSettings]:
        return {**self._configuration.loaded.settings.upstreams, **self._in_force()}

    def _shown(self, name: str, upstream: UpstreamSettings) -> dict[str, Any]:
        managed = self._configuration.managed.upstream(name)
        place = configured_place(self._configuration.configured, name) or DEFAULT
        in_force = name in self._in_force()
        view = self._pool.view(name) if in_force else None
        return {
            "name": name,
            "origin": STORE if managed is not None else place,
            "changed": managed.changed if managed is not None else None,
            "in_force": in_force,
            "settings": self._settings(name, upstream),
            "credentials": len([v for v in self._pool.views(name) if v.id]) if in_force else 0,
            "state": view,
        }

    def _settings(self, name: str, upstream: UpstreamSettings) -> dict[str, Any]:
        origins = self._configuration.loaded.origins
        return {
            setting.name: {
                "value": shown_value(getattr(upstream, setting.name)),
                "origin": origins.get(f"upstreams.{name}.{setting.name}", DEFAULT),
            }
            for setting in upstream_catalogue()
            if not setting.kinds or upstream.kind in setting.kinds
        }

    def _unknown(self, name: str) -> NotFound:
        known = ", ".join(self._all()) or "none"
        return NotFound(
            f"There is no upstream {name[:64]!r}; there is: {known}.",
            code="upstream_not_found",
            param="name",
        )


def shown_value(value: Any) -> Any:
    """Return a setting's value as JSON has it, secrets masked."""
    match value:
        case Secret():
            return value.masked
        case tuple():
            return [shown_value(item) for item in value]
        case dict():
            return {key: shown_value(item) for key, item in value.items()}
        case _:
            return value


def _names(route: RouteSettings, upstream: str) -> bool:
    return any(candidate.upstream == upstream for candidate in route.candidates)
