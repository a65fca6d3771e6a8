"""Who may use the admin API: whoever shows the password, from no foreign web page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request

from chatgpt_to_api.admin.password import AdminPassword
from chatgpt_to_api.admin.throttle import FailureThrottle
from chatgpt_to_api.errors import Forbidden, RateLimited, Unauthorized
from chatgpt_to_api.wire.http import header
from chatgpt_to_api.wire.secret import Secret

PageAllowed: TypeAlias = Callable[[bytes, bytes | None], bool]
"""Whether a page of this Origin may use the admin API of this Host."""


class AdminAuth:
    """Lets a request through or says why not.

    ``run_key`` is a second password, good for this run of the gateway only (store/lock.py).
    """

    def __init__(
        self,
        password: AdminPassword,
        *,
        run_key: Secret | None,
        page_allowed: PageAllowed,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.password = password
        self._run_key = run_key
        self._page_allowed = page_allowed
        self._throttle = FailureThrottle()
        self._trying = asyncio.Lock()
        self._now = now
        self._sleep = sleep

    async def admit(self, request: Request) -> None:
        """Return if the request may pass.

        Raises Forbidden (a foreign page), Unauthorized (no or a wrong password; the answer is held
        back after several), RateLimited (too many wrong ones from this peer).
        """
        headers = request.scope["headers"]
        origin = header(headers, b"origin")
        if origin is not None and not self._page_allowed(origin, header(headers, b"host")):
            raise Forbidden(
                "A web page of another origin may not use the admin API; "
                "CORS_ALLOWED_ORIGINS lets one in.",
                code="origin_not_allowed",
            )
        peer = request.client.host if request.client else ""
        await self.prove(peer, header(headers, b"authorization") or b"")

    async def prove(self, peer: str, given: bytes) -> None:
        """Return if ``given`` is the password, bare or with ``Bearer`` before it.

        Raises Unauthorized or RateLimited as :meth:`admit` does.
        """
        self._check_wait(peer)
        given = given.strip()
        if not given:
            raise Unauthorized(
                "The admin API needs the admin password: Authorization: <password> or "
                "Authorization: Bearer <password>. It is ADMIN_PASSWORD, or stands in the file "
                "admin_password of the data folder.",
                code="missing_admin_password",
            )
        forms = _forms(given)
        if any(self._is_run_key(form) or self.password.is_known(form) for form in forms):
            self._throttle.succeeded(peer)
            return
        async with self._trying:  # one at a time, so that many at once cannot outrun the throttle
            self._check_wait(peer)
            if await self._matches(forms):
                self._throttle.succeeded(peer)
                return
            held = self._throttle.failed(peer, self._now())
        if held:
            await self._sleep(held)
        raise Unauthorized(
            "Wrong admin password. It is ADMIN_PASSWORD, or what was set at PATCH /admin/password "
            "since, or stands in the file admin_password of the data folder.",
            code="invalid_admin_password",
        )

    async def _matches(self, forms: list[bytes]) -> bool:
        for form in forms:
            if await self.password.matches(form):
                return True
        return False

    def _check_wait(self, peer: str) -> None:
        if wait := self._throttle.wait(peer, self._now()):
            raise RateLimited(
                "Too many wrong admin passwords from this address.",
                code="too_many_failures",
                retry_after=wait,
            )

    def _is_run_key(self, given: bytes) -> bool:
        return self._run_key is not None and Secret(given.decode("latin-1")) == self._run_key


def _forms(given: bytes) -> list[bytes]:
    """Return the password as it may be meant: the bare header, and what follows ``Bearer``."""
    scheme, _, rest = given.partition(b" ")
    return [given, rest.strip()] if scheme.lower() == b"bearer" and rest.strip() else [given]
