"""What happens to a request once its head is there: a door, a preflight, the programs behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import structlog
from msgspec import structs

from chatgpt_to_api.errors import Forbidden, GatewayError, MethodNotAllowed, NotFound
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.late import Late
from chatgpt_to_api.server.access import Gatekeeper, with_key_of_query
from chatgpt_to_api.server.asgi import AsgiApp, run_app
from chatgpt_to_api.server.astray import advice, meant, nothing_at
from chatgpt_to_api.server.cors import Cors
from chatgpt_to_api.server.doors import Beyond, DoorEntry, Doors
from chatgpt_to_api.server.exchange import HttpExchange, too_large
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.request_ids import RequestIds
from chatgpt_to_api.server.roster import Roster
from chatgpt_to_api.server.twins import Admission
from chatgpt_to_api.wire.http import Header, HttpReply

log = structlog.get_logger(__name__)

ADMIN_FIELD: Final = b"x-admin-authorization"
"""Where a caller shows the admin password beside its key; it goes no further than here."""

ProveAdmin: TypeAlias = Callable[[str, bytes], Awaitable[None]]
"""Returns if a peer's words are the admin password; raises GatewayErrors."""

_AT_DOORS: Final = b"POST, OPTIONS"


class ServerFront:
    """Shared by all connections: the doors, who may use them, and everything else (``app``).

    ``has_program`` tells whether ``app`` has anything at a path; one that nobody tells of answers
    for itself.
    """

    def __init__(
        self,
        *,
        doors: Doors,
        gatekeeper: Gatekeeper,
        app: AsgiApp,
        limits: Limits,
        prove_admin: ProveAdmin | None = None,
        beyond: Beyond | None = None,
        has_program: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.limits = limits
        self.roster = Roster(tick=limits.tick, per_peer=limits.peer_connections)
        self.ids = RequestIds()
        self.targets: Mapping[bytes, tuple[str, bytes]] = doors.targets
        self._doors = doors
        self._gatekeeper = gatekeeper
        self._cors = Cors(gatekeeper.keys, gatekeeper.origins)
        self._app = app
        self._prove_admin = prove_admin
        self._beyond = beyond
        self._has_program = has_program

    def answer(self, exchange: HttpExchange) -> Awaitable[None]:
        """Answer one request, whatever it is."""
        twin = exchange.twin
        known = twin.admission if twin is not None else None
        if known is not None and known.epoch is self._gatekeeper.keys.epoch:
            entry, caller, _ = known
            exchange.failure = entry.door.failure
            if entry.id_field:
                _name_id(exchange, entry.id_field)
            return entry.serving.serve(exchange, entry.door, caller)
        return self._consider(exchange)

    def _consider(self, exchange: HttpExchange) -> Awaitable[None]:
        """Answer a request whose head is seen for the first time."""
        fields = exchange.fields
        place = self._doors.direct(exchange.target) or self._doors.find(exchange.head.path)
        if isinstance(place, Late):
            if place.made is None:
                return self._once_made(exchange, place)
            entry: DoorEntry | None = place.made
        else:
            entry = place
        if b"origin" in fields and (entry or self._doors.is_api(exchange.head.path)):
            exchange.extra = self._cors.lines(fields[b"origin"], fields.get(b"host"))
        if entry is not None and entry.id_field:
            _name_id(exchange, entry.id_field)
        if exchange.refusal is not None:
            return _refuse(exchange, exchange.refusal)
        if entry is None:
            return self._elsewhere(exchange)
        exchange.failure = entry.door.failure
        if exchange.head.method != "POST":
            return self._wrong_method(exchange)
        try:
            if entry.key_in_query:
                fields = with_key_of_query(fields, exchange.head.query)
            caller = self._gatekeeper.admit(exchange.peer, fields, entry.bearer)
        except GatewayError as error:
            return _refuse(exchange, error)
        if exchange.declared is not None and exchange.declared > self.limits.body:
            return _refuse(exchange, too_large(self.limits.body))
        if ADMIN_FIELD in fields and self._prove_admin is not None:
            return self._for_admin(exchange, entry, caller, self._prove_admin)
        if exchange.twin is not None and b"origin" not in fields:
            exchange.twin.admission = Admission(entry, caller, self._gatekeeper.keys.epoch)
        return entry.serving.serve(exchange, entry.door, caller)

    async def _once_made(self, exchange: HttpExchange, place: Late[DoorEntry]) -> None:
        """Answer the first request that wants a dialect, once that is imported."""
        await place.get()
        await self._consider(exchange)

    async def _for_admin(
        self, exchange: HttpExchange, entry: DoorEntry, caller: Caller, prove: ProveAdmin
    ) -> None:
        """Answer a request that also shows the admin password, to learn more from the reply."""
        try:
            await prove(exchange.peer, exchange.fields[ADMIN_FIELD])
        except GatewayError as error:
            await _refuse(exchange, error)
        else:
            await entry.serving.serve(exchange, entry.door, structs.replace(caller, admin=True))

    def _elsewhere(self, exchange: HttpExchange) -> Awaitable[None]:
        head = exchange.head
        if head.method == "OPTIONS" and self._doors.is_api(head.path):
            return self._options(exchange)
        path = head.path.rstrip("/") or "/"
        right = meant(path, self._is_served)
        if right is not None:
            return self._nowhere(exchange, right, advice(path, right))
        beyond = self._beyond
        if beyond is not None and beyond.takes(head.path):
            exchange.failure = beyond.entry.door.failure
            try:
                caller = self._gatekeeper.admit(exchange.peer, exchange.fields)
            except GatewayError as error:
                return _refuse(exchange, error)
            return beyond.entry.serving.serve(exchange, beyond.entry.door, caller)
        if not self._has_program(path) and self._doors.kin(path) is not None:
            return self._nowhere(exchange, path, nothing_at(path))
        if exchange.declared is not None and exchange.declared > self.limits.body:
            return _refuse(exchange, too_large(self.limits.body))
        return run_app(self._app, exchange)

    def _is_served(self, path: str) -> bool:
        return self._doors.find(path) is not None or self._has_program(path)

    def _nowhere(self, exchange: HttpExchange, meant: str, said: str) -> Awaitable[None]:
        """Tell a client that its path leads nowhere, as the API does that it ``meant``."""
        place = self._doors.find(meant) or self._doors.kin(meant)
        if isinstance(place, Late) and place.made is None:
            return self._once_made(exchange, place)
        entry = place.made if isinstance(place, Late) else place
        if entry is not None:
            exchange.failure = entry.door.failure
            if entry.id_field:
                _name_id(exchange, entry.id_field)
        return _refuse(exchange, NotFound(said))

    def _wrong_method(self, exchange: HttpExchange) -> Awaitable[None]:
        head = exchange.head
        if head.method == "OPTIONS":
            return self._options(exchange)
        error = MethodNotAllowed(f"{head.path[:200]} takes POST, not {head.method}.")
        return _refuse(exchange, error, (b"allow", _AT_DOORS))

    def _options(self, exchange: HttpExchange) -> Awaitable[None]:
        """Answer a browser's question before the real request; it never carries a key."""
        fields = exchange.fields
        origin = fields.get(b"origin")
        if origin is None or b"access-control-request-method" not in fields:
            return _send(exchange, HttpReply(204, [(b"allow", _AT_DOORS)], b""))
        if not self._cors.allows(origin, fields.get(b"host")):
            error = Forbidden(
                "Web pages of this origin may not use this gateway. To allow them, add it to "
                "CORS_ALLOWED_ORIGINS, or set client keys.",
                code="origin_not_allowed",
            )
            return _refuse(exchange, error)
        return _send(exchange, HttpReply(204, self._cors.preflight(fields), b""))


def _name_id(exchange: HttpExchange, field: bytes) -> None:
    exchange.extra += b"%b: %b\r\n" % (field, exchange.request_id.encode())


async def _send(exchange: HttpExchange, reply: HttpReply) -> None:
    exchange.reply(reply)


async def _refuse(exchange: HttpExchange, error: GatewayError, *more: Header) -> None:
    log.debug(
        "refused",
        request_id=exchange.request_id,
        peer=exchange.peer,
        path=exchange.head.path[:200],
        status=error.status,
        code=error.code,
    )
    exchange.fail_with(error, *more)
