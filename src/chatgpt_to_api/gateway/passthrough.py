"""The transparent relay: requests of every other endpoint, streamed through both ways.

Nothing of a body is held but its beginning, which is looked at for the model. A request whose whole
body is that beginning can be sent again, elsewhere too, within what is safe to repeat; of a longer
one nothing is, once a byte has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import structs

from chatgpt_to_api.dialects.contract import Door, UpstreamFault
from chatgpt_to_api.dialects.openai.requests import renamed
from chatgpt_to_api.dialects.openai_any.door import DOOR, AnyAsked, endpoint_of
from chatgpt_to_api.dialects.openai_any.peek import PEEK
from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream
from chatgpt_to_api.errors import EndpointNotServed, GatewayError, InvalidRequest
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.gateway.faults import blame_proxy, error_body, fault_of
from chatgpt_to_api.gateway.routes import Path, Routes
from chatgpt_to_api.gateway.upstreams import Candidate
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.http import Headers
from chatgpt_to_api.wire.secret import MASK, Access

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway
    from chatgpt_to_api.gateway.question import Question
    from chatgpt_to_api.pool.contract import Granted
    from chatgpt_to_api.transport.reply import Reply

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be repeated though the first try may have worked."""

_REFUSED: Final = frozenset({401, 402, 403, 429})
"""Statuses that say that nothing was done."""


class Passthrough:
    """Answers requests of endpoints that have no door of their own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        """Relay one request and its reply. Every error is rendered by the door."""
        exchange.any_size()
        try:
            # Before a body is asked for that nobody would take:
            self._gateway.routes.endpoints.routes(endpoint_of(exchange.head))
            errand = await _begin(exchange)
        except ClientGone:
            return
        except GatewayError as error:
            exchange.reply(door.failure(error))
            return
        await self._gateway.answer(exchange, door, errand.asked, caller, errand=errand)


async def _begin(exchange: Exchange) -> PassErrand:
    """Read the body's beginning: all of a small one."""
    pieces = exchange.chunks()
    beginning: list[bytes] = []
    size = 0
    whole = True
    async for piece in pieces:
        beginning.append(piece)
        size += len(piece)
        if size >= PEEK:
            whole = False
            break
    body = b"".join(beginning)
    return PassErrand(exchange, DOOR.ask(exchange.head, body), body, None if whole else pieces)


class PassErrand:
    """One request on its way. ``rest`` is what follows the beginning, None where that is all."""

    waits = True

    def __init__(
        self,
        exchange: Exchange,
        asked: AnyAsked,
        beginning: bytes,
        rest: AsyncIterator[bytes] | None,
    ) -> None:
        self.asked = asked
        self._exchange = exchange
        self._beginning = beginning
        self._rest = rest
        self._begun = False

    def path(self, routes: Routes) -> Path:
        """Return where it leads: by model where one is named, else to the first that offers it.

        Raises EndpointNotServed, ModelNotFound.
        """
        routes = routes.endpoints.routes(self.asked.endpoint)
        if self.asked.model:
            return routes.path(self.asked.model)
        first = next(iter(routes.upstreams.values()))
        return Path((Candidate(first, ""),), f"the first that offers {self.asked.endpoint}")

    def able(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return those that can be sent it as it is, or with another name where that can be put in.

        Raises EndpointNotServed, or InvalidRequest for a name that would have to be changed where
        it cannot be.
        """
        model = self.asked.model
        found = [candidate for candidate in candidates if candidate.upstream.carrier is not None]
        if not found:
            raise EndpointNotServed(
                f"No upstream of {model[:64]!r} offers {self.asked.endpoint!r}."
            )
        able = [candidate for candidate in found if candidate.model == model or self._renames]
        if not able:
            raise InvalidRequest(
                f"{model[:64]!r} has another name at its upstream, and a name can be changed only "
                f"in a JSON body of at most {PEEK} bytes.",
                param="model",
            )
        return able

    @property
    def _renames(self) -> bool:
        return self._rest is None and self._beginning.lstrip()[:1] == b"{"

    async def call(
        self, gateway: Gateway, question: Question, candidate: Candidate, lease: Granted
    ) -> UpstreamFault | None:
        """Carry the request to one upstream and its reply back.

        Raises TransportError where the request may be sent again.
        """
        carrier = candidate.upstream.carrier
        assert carrier is not None
        try:
            reply = await self._send(gateway, question, candidate, carrier, lease)
        except ClientGone:
            raise asyncio.CancelledError from None
        except TransportError as error:
            # A proxy can refuse, though nothing arrived, when pieces have been taken already.
            nothing_left = not error.sent_anything and not self._begun
            if nothing_left or (self._rest is None and self._safe):
                raise
            blame_proxy(error, lease)
            return structs.replace(fault_of(error, candidate.upstream.name), retry="never")
        try:
            if reply.head.status >= 400:
                return await self._refused(gateway, question, carrier, lease, reply)
            self._start(question, reply.head.status, carrier.reply_headers(reply.head))
            data = await reply.read()
            gateway.heard(question, candidate, lease)
            while data:
                self._exchange.write(data)
                if self._exchange.congested:
                    await self._exchange.drain()
                data = await reply.read()
        finally:
            reply.close()
        return None

    async def unleased(self, question: Question, candidate: Candidate) -> bool:  # noqa: ARG002  # the contract's
        """Nobody else can answer it."""
        return False

    @property
    def _safe(self) -> bool:
        return self._exchange.head.method in _SAFE

    async def _send(
        self,
        gateway: Gateway,
        question: Question,
        candidate: Candidate,
        carrier: AnyUpstream,
        lease: Granted,
    ) -> Reply:
        credential, connect_timeout = lease.credential, gateway.limits.connect_timeout
        proxy = credential.proxy or candidate.upstream.proxy
        exchange = self._exchange
        body = self._beginning if self._rest is None else b""
        if candidate.model != self.asked.model:
            body = renamed(body, candidate.model)
        request = carrier.request(exchange.head, exchange.target, credential.access, body)
        if self._rest is None:
            return await gateway.client.send(
                request,
                proxy=proxy,
                connect_timeout=connect_timeout,
                read_timeout=question.read_timeout,
                deadline=question.deadline,
            )
        return await gateway.client.upload(
            request,
            self._pieces(self._rest),
            exchange.declared,
            proxy=proxy,
            connect_timeout=connect_timeout,
            read_timeout=question.read_timeout,
            deadline=question.deadline,
        )

    async def _pieces(self, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._begun = True
        yield self._beginning
        self._beginning = b""
        async for piece in rest:
            yield piece

    def _start(self, question: Question, status: int, headers: Headers) -> None:
        """Send the reply's head; from here on nothing is tried again, and a cut is a cut."""
        delivery = question.delivery
        delivery.relayed = delivery.committed = delivery.opened = True
        question.record.status = status
        self._exchange.start(status, [*headers, *delivery.origin()])

    async def _refused(
        self,
        gateway: Gateway,
        question: Question,
        carrier: AnyUpstream,
        lease: Granted,
        reply: Reply,
    ) -> UpstreamFault | None:
        """Pass on an error that is between client and upstream; else say what it means."""
        body, ended = await error_body(reply)
        fault = carrier.fault(reply.head, body, gateway.wall())
        concerns_us = fault.credential != "none" or fault.upstream != "none"
        if ended and not concerns_us and fault.retry == "never":
            headers = carrier.reply_headers(reply.head)  # the body may change its length
            kept = [field for field in headers if field[0] != b"content-length"]
            self._start(question, reply.head.status, kept)
            self._exchange.write(_without_secrets(body, lease.credential.access))
            return None
        again = self._rest is None and (self._safe or reply.head.status in _REFUSED)
        return fault if again and not self._begun else structs.replace(fault, retry="never")


def _without_secrets(body: bytes, access: Access) -> bytes:
    """Return an error's body without our credential, should the upstream repeat it."""
    for secret in (access.token, access.puid):
        if secret:
            body = body.replace(secret.reveal().encode(), MASK.encode())
    return body
