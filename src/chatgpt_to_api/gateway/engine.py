"""The engine: one request of one client, from its bytes to the end of its reply.

Route → lease → call → translate or relay → account. Both lanes share everything but the codec work:
limits, lease, retries, cancellation and the request's record.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Final

import structlog

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import (
    Asked,
    AsksPrompts,
    AsksVectors,
    Door,
    Ids,
    Stamp,
    UpstreamFault,
)
from chatgpt_to_api.errors import (
    GatewayError,
    InvalidRequest,
    NoCredentials,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from chatgpt_to_api.gateway.ability import UNSUPPORTED, able
from chatgpt_to_api.gateway.balance import Balance
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.continuing import ContinuedChat, Continuing, scope_of
from chatgpt_to_api.gateway.delivery import Delivery
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.gateway.faults import blame_proxy, broken_off, fault_of, told_where
from chatgpt_to_api.gateway.hiding import Hider
from chatgpt_to_api.gateway.keeper import Keeper
from chatgpt_to_api.gateway.origins import Origins
from chatgpt_to_api.gateway.part import Part
from chatgpt_to_api.gateway.pictures import Pictures
from chatgpt_to_api.gateway.question import Errand, Question
from chatgpt_to_api.gateway.relay import relay_stream, relay_unsealing, relay_whole
from chatgpt_to_api.gateway.routes import LONGEST_MODEL, Routes
from chatgpt_to_api.gateway.scrub import scrub_fault
from chatgpt_to_api.gateway.translate import translate
from chatgpt_to_api.gateway.tries import Tries
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream
from chatgpt_to_api.gateway.vectors import embed
from chatgpt_to_api.pool.contract import Granted, LeaseAsk, Lender
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.telemetry.records import Outcome, RequestRecord
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.transport.errors import TransportError
from chatgpt_to_api.wire.addresses import is_public

log = structlog.get_logger(__name__)

BACKOFF: Final = 0.25
"""First wait before the same upstream is called again after a fault of its own, seconds."""

BACKOFF_CAP: Final = 2.0

_NOBODY_LEFT: Final = (RateLimited, NoCredentials, Unavailable, Unauthorized)
"""What the pool says when a candidate has no credential to lend now."""


class Gateway:
    """Answers requests. ``routes`` may be replaced at any time; a running request keeps its own."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        routes: Routes,
        pool: Lender,
        client: HttpClient,
        limits: LimitSettings,
        max_body: int,
        ids: Ids,
        wall: Callable[[], float],
        on_record: Callable[[RequestRecord], None],
        rng: random.Random | None = None,
    ) -> None:
        self.routes = routes
        self.pool = pool
        self.client = client
        self.limits = limits
        self.ids = ids
        self.wall = wall
        self.on_record = on_record
        self.keeper = Keeper(loop, hold=limits.hold, keep_alive=limits.keep_alive)
        self.loop = loop
        self.hider = Hider(loop, pool, client, limits)
        self.origins = Origins(loop.time)
        self._continuing = Continuing(loop, self.hider.submit)
        self.max_body = max_body
        self._pictures: Pictures | None = None
        self._rng = rng or random.Random()  # noqa: S311  # jitter, not a secret
        self.balance = Balance(pool.load, loop.time, self._rng)

    def serve(self, exchange: Exchange, door: Door, caller: Caller) -> Awaitable[None]:
        """Answer one request that comes as bytes. Every error is rendered by the door."""
        body = exchange.arrived(self.max_body)
        if body is None:
            return self._serve_arriving(exchange, door, caller)
        try:
            asked = door.ask(exchange.head, body)
        except GatewayError as error:
            return _refuse(exchange, door, error)
        return self.answer(exchange, door, asked, caller)

    async def _serve_arriving(self, exchange: Exchange, door: Door, caller: Caller) -> None:
        try:
            asked = door.ask(exchange.head, await exchange.body(self.max_body))
        except ClientGone:
            return
        except GatewayError as error:
            exchange.reply(door.failure(error))
            return
        await self.answer(exchange, door, asked, caller)

    async def answer(
        self,
        exchange: Exchange,
        door: Door,
        asked: Asked,
        caller: Caller,
        settle: Callable[[], Awaitable[None]] | None = None,
        errand: Errand | None = None,
    ) -> None:
        """Answer one decoded request, or have ``errand`` carry it through.

        ``settle`` is awaited before the terminal bytes leave, and after a cut, so that what the
        door's side keeps of the reply is durable before the client sees the end. What is to be kept
        has to be read, so with it no reply is relayed.
        """
        now = self.loop.time()
        delivery = Delivery(exchange, door, asked, partial(self.stamp, now))
        record = RequestRecord(
            request_id=exchange.request_id,
            door=door.dialect,
            model=asked.model[:LONGEST_MODEL],
            client=caller.id,
        )
        question = Question(exchange, asked, caller, delivery, record, self.limits, now, self.loop)
        question.errand = errand
        if settle is not None:
            question.relays = False
        exchange.on_gone(question.client_gone)
        try:
            candidates = self._candidates(question)
            if door.endpoint != CHAT and errand is None:
                await self._read_tokens(question, candidates)
            if asked.n > 1:
                await self._ask_several(question, candidates)
            else:
                part = Part(delivery, 0)
                question.parts = [part]
                if len(candidates) == 1:  # as _ask would, with less ado
                    tries, limit = Tries(), self.limits.max_attempts
                    only = candidates[0]
                    if not await self._try(question, part, only, tries, limit, sit_out=True):
                        raise tries.error()
                else:
                    await self._ask(question, part, candidates)
            delivery.conclude(None if delivery.relayed else question.usage())
            if settle is not None:
                delivery.flush()
                await settle()
            delivery.end()
            record.outcome = "client_gone" if question.gone else "ok"
            record.status = record.status or 200
        except asyncio.CancelledError:
            record.outcome = "client_gone"
            await _settle_cut(settle)
            if not question.gone:  # the server is stopping, and says so where nothing has left
                if exchange.started:
                    exchange.abort()
                raise
            exchange.work.uncancel()
        except GatewayError as error:
            record.status = error.status
            record.error = error.code
            record.outcome = _outcome(error, delivery)
            await _settle_cut(settle)
            delivery.fail(error)
        except Exception:
            log.exception("request failed", request_id=exchange.request_id)
            record.outcome, record.error, record.status = "failed", "internal_error", 500
            await _settle_cut(settle)
            delivery.fail(
                GatewayError(
                    "The gateway failed on this request; its log has the reason under "
                    f"request id {exchange.request_id}."
                )
            )
        finally:
            if delivery.waiting_since is not None:
                self.keeper.leave(delivery)
            if record.usage is None:
                record.usage = question.usage()
            record.seconds = self.loop.time() - now
            self.on_record(record)

    def stamp(self, since: float) -> Stamp:
        """Return a fresh identity for the reply to a request that came at loop time ``since``."""
        time = self.loop.time
        return Stamp(self.ids.uuid4(), int(self.wall()), lambda: time() - since)

    async def _ask_several(self, question: Question, candidates: Sequence[Candidate]) -> None:
        """Have several choices answered: whole by those who can, part by part from there on.

        Any candidate may have to answer a part, so that from the first one on that answers with
        one choice each part is asked for by itself.
        """
        delivery, asked = question.delivery, question.asked
        if isinstance(asked, AsksPrompts):
            question.prompts = asked.prompts
        if question.several:
            candidates = [c for c in candidates if c.upstream.can("n") != "absent"]
        whole = list(takewhile(lambda candidate: question.at_once(candidate.upstream), candidates))
        rest = candidates[len(whole) :]
        if delivery.door.endpoint != CHAT:  # parts are asked for as chats
            rest = [candidate for candidate in rest if candidate.upstream.offers(CHAT)]
        if whole:
            part = Part(delivery, 0)
            question.parts = [part]
            if await self._ask(question, part, whole, after=rest):
                return
        elif not rest:
            raise InvalidRequest(
                f"No upstream of {asked.model!r} gives more than one answer here, nor does the "
                "gateway make several of it.",
                param="n",
                code=UNSUPPORTED,
            )
        question.parts = [Part(delivery, choice) for choice in range(asked.n)]
        for part in question.parts:
            question.request(part.choice)  # a bad prompt is refused before any is asked
        # Independent parts, each with its own lease: none waits for a second lease while
        # holding one, so parts can never block each other for good.
        await in_task()
        try:
            async with asyncio.TaskGroup() as group:
                for part in question.parts:
                    group.create_task(self._ask(question, part, rest))
        except ExceptionGroup as failures:
            raise _first(failures) from failures

    def _candidates(self, question: Question) -> Sequence[Candidate]:
        routes, endpoint = self.routes, question.delivery.door.endpoint
        errand = question.errand
        if errand is not None:
            path = errand.path(routes)
        elif endpoint != CHAT:
            path = routes.endpoints.routes(endpoint).path(question.asked.model)
        else:
            path = routes.path(question.asked.model)
        question.path = path
        candidates: Sequence[Candidate] = path.candidates
        if path.fork is not None:
            candidates = self.balance.order(path.fork, stream=question.asked.stream)
        if errand is not None:
            candidates = errand.able(candidates)
        elif path.limited:
            candidates = able(candidates, question.asked.needs())
        if path.route is not None:
            question.bound(path.route, self.limits)
        if errand is not None and not errand.waits:
            question.queue_until = self.loop.time()
        return candidates

    async def _ask(
        self,
        question: Question,
        part: Part,
        candidates: Sequence[Candidate],
        after: Sequence[Candidate] = (),
    ) -> bool:
        """Ask candidates in turn until one answers. Raises GatewayError when none does.

        Where ``after`` can still be asked then, in another way, False is returned instead.
        """
        tries = Tries()
        limit = self.limits.max_attempts
        if after:
            limit = max(1, limit - 1)
        alone = len(candidates) == 1 and not after
        for place, candidate in enumerate(candidates, 1):
            if tries.counted >= limit:
                break
            # Each candidate that was not tried yet keeps one attempt.
            most = max(tries.counted + 1, limit - (len(candidates) - place))
            try:
                if await self._try(question, part, candidate, tries, most, sit_out=alone):
                    return True
            except InvalidRequest as error:
                # What this upstream cannot be asked, the next one may well be.
                last = place == len(candidates) and not after
                if error.code != UNSUPPORTED or part.said or last:
                    raise
        if after and tries.counted < self.limits.max_attempts:
            return False
        soonest = None if alone or tries.counted >= limit else tries.soonest()
        if soonest is not None:
            # Nobody can answer at once, so the one whose rest ends first is waited for.
            candidate, wait = soonest
            if self.loop.time() + wait <= question.queue_until and await self._try(
                question, part, candidate, tries, limit, sit_out=True
            ):
                return True
        raise tries.error()

    async def _try(
        self,
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
        ask = self._lease_ask(question, part, candidate, sit_out=sit_out)
        while tries.counted < most:
            if question.gone:
                raise asyncio.CancelledError
            lease: Granted | None = None
            try:
                if upstream.fetch_images:
                    await in_task()
                    await self._show_pictures(question)
                if upstream.ready is not None:
                    await in_task()
                    await upstream.ready(question.deadline)
                async with upstream.lease(self.pool, ask) as lease:
                    tries.counted += 1
                    question.tries(candidate, lease)
                    try:
                        fault = await self._call(question, part, candidate, lease)
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
            tries.failed(fault)
            if question.path.timed and fault.upstream == "count":
                self.balance.latencies.note_fault(candidate, stream=question.asked.stream)
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
                await self._back_off(question, tries.counted, fault)
        if question.gone:  # nobody is left to be answered, and the lease has been settled
            raise asyncio.CancelledError
        return False

    def continued(
        self, question: Question, part: Part, candidate: Candidate
    ) -> ContinuedChat | None:
        """The question's chat where a candidate keeps conversations. Raises InvalidRequest."""
        rules = candidate.upstream.continuing
        if rules is None:
            return None
        scope = scope_of(question.caller.id, candidate.model, question.request(part.choice))
        digested = question.digested(part.choice) if rules.go_on else None
        return self._continuing.chat(candidate.upstream, rules, scope, digested)

    async def close(self) -> None:
        """Stop what runs beside the requests."""
        self.keeper.close()
        self._continuing.close()
        await self.hider.close()

    def _lease_ask(
        self, question: Question, part: Part, candidate: Candidate, *, sit_out: bool
    ) -> LeaseAsk:
        upstream = candidate.upstream
        conversation = upstream.kind == "conversation"
        asked = question.asked
        # Whose conversation it is matters only where there is a choice, and costs a little.
        affinity = (asked.affinity or asked.opening) if self.pool.choice(upstream.name) else b""
        known = None
        if upstream.continuing is not None:
            chat = self.continued(question, part, candidate)
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

    def _call(
        self, question: Question, part: Part, candidate: Candidate, lease: Granted
    ) -> Awaitable[UpstreamFault | None]:
        """Call one upstream once; None is a good answer, a fault says what went wrong.

        Raises InvalidRequest; the call itself raises TransportError.
        """
        upstream = candidate.upstream
        call: Awaitable[UpstreamFault | None]
        codec = question.relayed_by(upstream)
        asked = question.asked
        if question.errand is not None:
            call = question.errand.call(self, question, candidate, lease)
        elif (
            codec is not None
            and len(question.parts) == 1
            and (asked.stream or not upstream.always_streams)
            and not (upstream.emulates and question.needs(upstream))
        ):
            relay = relay_stream if asked.stream else relay_whole
            sealed = upstream.unsealing.get(codec.dialect)
            if sealed is None:
                call = relay(self, question, candidate, codec, lease)
            else:
                call = relay_unsealing(self, question, candidate, sealed, lease)
        elif upstream.vectors is not None and isinstance(asked, AsksVectors):
            call = embed(self, question, asked, candidate, upstream.vectors, lease)
        else:
            call = translate(self, question, part, candidate, lease)
        return question.drained(call) if upstream.on_client_gone == "drain" else call

    async def _read_tokens(self, question: Question, candidates: Sequence[Candidate]) -> None:
        """Let prompts of token ids be read as text, where a chat may have to answer them."""
        asked, dialect = question.asked, question.delivery.door.dialect
        if all(dialect in candidate.upstream.relays for candidate in candidates):
            return
        if isinstance(asked, AsksPrompts | AsksVectors) and asked.has_tokens:
            table = await token_tables.vendors(asked.model)
            if table is not None:
                asked.read_tokens(table.decode)

    async def _show_pictures(self, question: Question) -> None:
        """Put the data of linked pictures into the request. Raises InvalidRequest."""
        if self._pictures is None:
            client = HttpClient(self.loop, max_idle=0, allowed=is_public)
            self._pictures = Pictures(self.loop, client)
        await self._pictures.show(question)

    def heard(self, question: Question, candidate: Candidate, lease: Granted) -> None:
        """The first content of an answer is there: somebody may choose by how soon it came."""
        lease.ok()
        if question.path.timed:
            self.note_speed(question, candidate, lease)

    def note_speed(self, question: Question, candidate: Candidate, lease: Granted) -> None:
        """The first content is there, for who is chosen by how soon it comes."""
        seconds = self.loop.time() - lease.since
        self.balance.latencies.note(candidate, seconds, stream=question.asked.stream)

    async def _back_off(self, question: Question, attempt: int, fault: UpstreamFault) -> None:
        wait = min(BACKOFF_CAP, BACKOFF * 2 ** (attempt - 1)) * (0.5 + self._rng.random() / 2)
        if self.loop.time() + wait >= question.deadline:
            raise fault.error
        await asyncio.sleep(wait)


async def _refuse(exchange: Exchange, door: Door, error: GatewayError) -> None:
    exchange.reply(door.failure(error))


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


async def _settle_cut(settle: Callable[[], Awaitable[None]] | None) -> None:
    if settle is None:
        return
    try:
        await asyncio.shield(settle())
    except GatewayError as error:  # the client is told of the first trouble, or is gone
        log.warning("broken reply not kept", reason=error.text)


def _outcome(error: GatewayError, delivery: Delivery) -> Outcome:
    if delivery.committed:
        return "upstream_cut"
    return "refused" if error.status < 500 else "failed"


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first gateway error among the failures of parallel parts, else the first of all."""
    flat = [
        _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
        for failure in failures.exceptions
    ]
    return next((f for f in flat if isinstance(f, GatewayError)), flat[0])
