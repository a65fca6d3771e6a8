"""Asking for one answer: candidate after candidate, call after call, until one is good.

Each call has its own lease. Whoever has begun to answer is the last that is asked: after the first
content nothing is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.dialects.contract import AsksVectors, UpstreamFault
from chatgpt_to_api.errors import (
    InvalidRequest,
    NoCredentials,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from chatgpt_to_api.gateway.ability import UNSUPPORTED
from chatgpt_to_api.gateway.faults import blame_proxy, broken_off, fault_of, told_where
from chatgpt_to_api.gateway.part import Part
from chatgpt_to_api.gateway.question import Question
from chatgpt_to_api.gateway.relay import relay_stream, relay_unsealing, relay_whole
from chatgpt_to_api.gateway.scrub import scrub_fault
from chatgpt_to_api.gateway.translate import translate
from chatgpt_to_api.gateway.tries import Tries
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream
from chatgpt_to_api.gateway.vectors import embed
from chatgpt_to_api.pool.contract import Granted, LeaseAsk
from chatgpt_to_api.transport.errors import TransportError

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway

log = structlog.get_logger(__name__)

BACKOFF: Final = 0.25
"""First wait before the same upstream is called again after a fault of its own, seconds."""

BACKOFF_CAP: Final = 2.0

_NOBODY_LEFT: Final = (RateLimited, NoCredentials, Unavailable, Unauthorized)
"""What the pool says when a candidate has no credential to lend now."""


async def ask(
    gateway: Gateway,
    question: Question,
    part: Part,
    candidates: Sequence[Candidate],
    after: Sequence[Candidate] = (),
) -> bool:
    """Ask candidates in turn until one answers. Raises GatewayError when none does.

    Where ``after`` can still be asked then, in another way, False is returned instead.
    """
    tries = Tries()
    limit = gateway.limits.max_attempts
    if after:
        limit = max(1, limit - 1)
    alone = len(candidates) == 1 and not after
    for place, candidate in enumerate(candidates, 1):
        if tries.counted >= limit:
            break
        # Each candidate that was not tried yet keeps one attempt.
        most = max(tries.counted + 1, limit - (len(candidates) - place))
        try:
            if await ask_one(gateway, question, part, candidate, tries, most, sit_out=alone):
                return True
        except InvalidRequest as error:
            # What this upstream cannot be asked, the next one may well be.
            last = place == len(candidates) and not after
            if error.code != UNSUPPORTED or part.said or last:
                raise
    if after and tries.counted < gateway.limits.max_attempts:
        return False
    soonest = None if alone or tries.counted >= limit else tries.soonest()
    if soonest is not None:
        # Nobody can answer at once, so the one whose rest ends first is waited for.
        candidate, wait = soonest
        if gateway.loop.time() + wait <= question.queue_until and await ask_one(
            gateway, question, part, candidate, tries, limit, sit_out=True
        ):
            return True
    raise tries.error()


async def ask_one(
    gateway: Gateway,
    question: Question,
    part: Part,
    candidate: Candidate,
    tries: Tries,
    most: int,
    *,
    sit_out: bool,
) -> bool:
    """Ask one candidate, until ``most`` attempts are counted; whether it answered.

    ``sit_out``: wait for the end of a cool-down too. Raises GatewayError for what nobody else
    is asked after.
    """
    upstream = candidate.upstream
    wanted = _lease_ask(gateway, question, part, candidate, sit_out=sit_out)
    while tries.counted < most:
        if question.gone:
            raise asyncio.CancelledError
        lease: Granted | None = None
        try:
            if upstream.fetch_images:
                await in_task()
                await gateway.show_pictures(question)
            if upstream.ready is not None:
                await in_task()
                await upstream.ready(question.deadline)
            async with upstream.lease(gateway.pool, wanted) as lease:
                tries.counted += 1
                question.tries(candidate, lease)
                try:
                    fault = await _call(gateway, question, part, candidate, lease)
                except TransportError as error:
                    fault = _unreached(error, question, part, upstream, lease)
                if fault is None:
                    lease.ok()
                    return True
                fault = scrub_fault(fault, lease.credential.access, upstream.secrets)
                fault = told_where(fault, upstream.name, upstream.kind)
                lease.fault(fault)
        except _NOBODY_LEFT as error:
            if lease is not None:  # it came from the call itself, not from the queue
                raise
            errand = question.errand
            if errand is not None and await errand.unleased(question, candidate):
                return True
            tries.refused(candidate, error)
            break
        tries.failed(candidate, fault)
        if question.path.timed and fault.upstream == "count":
            gateway.balance.latencies.note_fault(candidate, stream=question.asked.stream)
        log.info(
            "upstream fault",
            request_id=question.exchange.request_id,
            upstream=upstream.name,
            credential=lease.credential.label,
            reason=fault.reason,
            attempt=question.record.attempts,
        )
        if part.said or question.delivery.relayed or fault.retry == "never":
            raise fault.error
        part.forget()
        if fault.retry == "next_candidate":
            break
        if fault.retry == "again" and tries.counted < most:
            await _back_off(gateway, question, tries.counted, fault)
    if question.gone:  # nobody is left to be answered, and the lease has been settled
        raise asyncio.CancelledError
    return False


def _call(
    gateway: Gateway, question: Question, part: Part, candidate: Candidate, lease: Granted
) -> Awaitable[UpstreamFault | None]:
    """Call one upstream once; None is a good answer, a fault says what went wrong.

    Raises InvalidRequest; the call itself raises TransportError.
    """
    upstream = candidate.upstream
    call: Awaitable[UpstreamFault | None]
    codec = question.relayed_by(upstream)
    asked = question.asked
    if question.errand is not None:
        call = question.errand.call(gateway, question, candidate, lease)
    elif (
        codec is not None
        and len(question.parts) == 1
        and (asked.stream or not upstream.always_streams)
        and not (upstream.emulates and question.needs(upstream))
    ):
        relay = relay_stream if asked.stream else relay_whole
        sealed = upstream.unsealing.get(codec.dialect)
        if sealed is None:
            call = relay(gateway, question, candidate, codec, lease)
        else:
            call = relay_unsealing(gateway, question, candidate, sealed, lease)
    elif upstream.vectors is not None and isinstance(asked, AsksVectors):
        call = embed(gateway, question, asked, candidate, upstream.vectors, lease)
    else:
        call = translate(gateway, question, part, candidate, lease)
    return question.drained(call) if upstream.on_client_gone == "drain" else call


def _lease_ask(
    gateway: Gateway, question: Question, part: Part, candidate: Candidate, *, sit_out: bool
) -> LeaseAsk:
    upstream = candidate.upstream
    conversation = upstream.kind == "conversation"
    asked = question.asked
    # Whose conversation it is matters only where there is a choice, and costs a little.
    affinity = (asked.affinity or asked.opening) if gateway.pool.choice(upstream.name) else b""
    known = None
    if upstream.continuing is not None:
        chat = gateway.continued(question, part, candidate)
        known = chat.find() if chat is not None else None
    return LeaseAsk(
        upstream=upstream.name,
        model=candidate.model,
        client=question.caller.id,
        affinity=affinity,
        prefer=known.conversation.credential if known is not None else "",
        deadline=question.queue_until,
        own=question.caller.own if conversation else None,
        owner=question.exchange.request_id,
        sit_out=sit_out,
        edition=upstream.edition,
    )


async def _back_off(
    gateway: Gateway, question: Question, attempt: int, fault: UpstreamFault
) -> None:
    wait = min(BACKOFF_CAP, BACKOFF * 2 ** (attempt - 1)) * (0.5 + gateway.rng.random() / 2)
    if gateway.loop.time() + wait >= question.deadline:
        raise fault.error
    await asyncio.sleep(wait)


def _unreached(
    error: TransportError,
    question: Question,
    part: Part,
    upstream: ConfiguredUpstream,
    lease: Granted,
) -> UpstreamFault:
    """What it means that an upstream could not be reached, or went away amid its answer."""
    blame_proxy(error, lease)
    midway = part.said or question.delivery.relayed
    return broken_off(error, upstream.name) if midway else fault_of(error, upstream.name)
