"""How long a prompt is, without asking it: told by the upstream where it can, else counted here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import structs

from chatgpt_to_api.dialects.contract import Asked, CountingDoor, Door, UpstreamFault
from chatgpt_to_api.errors import GatewayError, UpstreamDenied, UpstreamRejected
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.counting import prompt_length
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.gateway.relay import relay_whole
from chatgpt_to_api.gateway.routes import LONGEST_MODEL, Path, Routes
from chatgpt_to_api.gateway.upstreams import Candidate
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.telemetry.records import RequestRecord
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.http import HttpReply

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway
    from chatgpt_to_api.gateway.question import Question
    from chatgpt_to_api.pool.contract import Granted

_NO_COUNTER: Final = frozenset({404, 405, 501})
"""Statuses of servers that have no such endpoint."""


class TokenCounts:
    """Answers at a door where prompts are counted."""

    def __init__(self, gateway: Gateway, door: CountingDoor) -> None:
        self._gateway = gateway
        self._door = door

    async def serve(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        """Answer one request. Every error is rendered by the door."""
        gateway = self._gateway
        record = RequestRecord(
            request_id=exchange.request_id, door=door.dialect, model="", client=caller.id
        )
        began = gateway.loop.time()
        try:
            body = exchange.arrived(gateway.max_body)
            if body is None:
                body = await exchange.body(gateway.max_body)
            asked = door.ask(exchange.head, body)
            record.model = asked.model[:LONGEST_MODEL]
            candidate = gateway.routes.candidates(asked.model)[0]
            if door.dialect in candidate.upstream.relays:
                errand = _AtUpstream(asked, self._door)
                await gateway.answer(exchange, door, asked, caller, errand=errand)
                return
            record.upstream = candidate.upstream.name
            reply = await counted(self._door, asked, candidate)
            exchange.reply(reply, *candidate.headers)
            record.status = 200
        except ClientGone:
            record.outcome = "client_gone"
        except GatewayError as error:
            record.status, record.outcome, record.error = error.status, "refused", error.code
            exchange.reply(door.failure(error))
        record.seconds = gateway.loop.time() - began
        gateway.on_record(record)


async def counted(door: CountingDoor, asked: Asked, candidate: Candidate) -> HttpReply:
    """Count a prompt for a candidate's model. Raises InvalidRequest."""
    table = await token_tables.ensure(candidate.model)
    tokens = await prompt_length(asked.request(), table)
    # The vendor's own count is made of what it really puts around the texts, which nobody tells.
    return door.counted(tokens, f"estimate; {table.encoding}")


class _AtUpstream:
    """Has an upstream count; where it does not, or not now, the gateway does.

    It waits for no credential: a client may have a dozen parts of one prompt counted at once, and
    each wants its number now.
    """

    waits = False

    def __init__(self, asked: Asked, door: CountingDoor) -> None:
        self._asked = asked
        self._door = door

    def path(self, routes: Routes) -> Path:
        """Return where such a prompt leads. Raises ModelNotFound."""
        # Whom chance or load would choose, it may choose otherwise for the prompt itself.
        return structs.replace(routes.path(self._asked.model), fork=None)

    def able(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the first: another model's count would be another one."""
        return candidates[:1]

    async def call(
        self, gateway: Gateway, question: Question, candidate: Candidate, lease: Granted
    ) -> UpstreamFault | None:
        """Ask the upstream; a refusal of the request or of the key is its answer."""
        codec = candidate.upstream.relays[self._door.dialect]
        try:
            fault = await relay_whole(gateway, question, candidate, codec, lease)
        except TransportError:
            fault = None
        else:
            if fault is None or _stands(fault):
                return fault
        await self._estimate(question, candidate)
        return None

    async def unleased(self, question: Question, candidate: Candidate) -> bool:
        """Count here. Raises InvalidRequest."""
        question.record.upstream = candidate.upstream.name
        question.delivery.source = candidate.headers
        await self._estimate(question, candidate)
        return True

    async def _estimate(self, question: Question, candidate: Candidate) -> None:
        question.delivery.pass_whole(await counted(self._door, self._asked, candidate))


def _stands(fault: UpstreamFault) -> bool:
    error = fault.error
    if isinstance(error, UpstreamRejected):
        return error.status not in _NO_COUNTER
    return isinstance(error, UpstreamDenied)
