"""The admin API's view of every setting: its value, its origin, and whether the file was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from chatgpt_to_api.admin.auth import AdminAuth
from chatgpt_to_api.admin.configuration import Configuration
from chatgpt_to_api.admin.routing import admin_route
from chatgpt_to_api.config.show import rows
from chatgpt_to_api.errors import Conflict


class SettingsApi:
    """The routes, as methods. ``warnings`` says what a person should know."""

    def __init__(
        self,
        auth: AdminAuth,
        configuration: Configuration,
        warnings: Callable[[], Sequence[str]],
    ) -> None:
        self._auth = auth
        self._configuration = configuration
        self._warnings = warnings

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            admin_route(self._auth, "/admin/config", GET=self.show),
            admin_route(self._auth, "/admin/config/reload", POST=self.reload),
        ]

    async def show(self, request: Request) -> dict[str, Any]:  # noqa: ARG002
        """Show every setting in force, secrets masked."""
        settings = [
            {"key": row.key, "value": row.value, "origin": row.origin}
            for row in rows(self._configuration.loaded)
        ]
        return {**self._state(), "settings": settings}

    async def reload(self, request: Request) -> dict[str, Any]:  # noqa: ARG002
        """Read the file and the variables again, now."""
        await self._configuration.reload()
        rejected = self._configuration.rejected
        if rejected is not None:
            raise Conflict(
                f"The configuration was not taken, the former one stays: "
                f"{'; '.join(rejected.because)}.",
                code="configuration_rejected",
            )
        return {"message": "configuration applied", **self._state()}

    def _state(self) -> dict[str, Any]:
        running = self._configuration
        rejected = running.rejected
        return {
            "version": running.version,
            "file": running.configured.settings.config_file or None,
            "applied_at": running.applied_at,
            "rejected": None if rejected is None else msgspec.structs.asdict(rejected),
            "needs_restart": running.needs_restart,
            "warnings": list(self._warnings()),
        }
