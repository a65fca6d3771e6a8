"""The engine: one request of one client, from its bytes to the end of its reply.

Route → lease → call → translate or relay → account. Both lanes share everything but the codec work:
limits, lease, retries, cancellation and the request's record. How candidates are asked in turn
stands in ``asking.py``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import takewhile

import structlog

from chatgpt_to_api.by_hand import in_task
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import Asked, AsksPrompts, AsksVectors, Door, Ids, Stamp
from chatgpt_to_api.errors import GatewayError, InvalidRequest, Stopping
from chatgpt_to_api.gateway.ability import UNSUPPORTED, able
from chatgpt_to_api.gateway.asking import ask, ask_one
from chatgpt_to_api.gateway.balance import Balance
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.continuing import ContinuedChat, Continuing, scope_of
from chatgpt_to_api.gateway.delivery import Delivery
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.exchange import ClientGone, Exchange
from chatgpt_to_api.gateway.hiding import Hider
from chatgpt_to_api.gateway.keeper import Keeper
from chatgpt_to_api.gateway.origins import Origins
from chatgpt_to_api.gateway.part import Part
from chatgpt_to_api.gateway.pictures import Pictures
from chatgpt_to_api.gateway.question import Errand, Question
from chatgpt_to_api.gateway.routes import LONGEST_MODEL, Routes
from chatgpt_to_api.gateway.tries import Tries
from chatgpt_to_api.gateway.upstreams import Candidate
from chatgpt_to_api.pool.contract import Granted, Lender
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.telemetry.records import Outcome, RequestRecord
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.wire.addresses import is_public

log = structlog.get_logger(__name__)


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
        self.rng = rng or random.Random()  # noqa: S311  # jitter, not a secret
        self.balance = Balance(pool.load, loop.time, self.rng)

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
                if len(candidates) == 1:  # as ask would, with less ado
                    tries, limit = Tries(), self.limits.max_attempts
                    only = candidates[0]
                    if not await ask_one(self, question, part, only, tries, limit, sit_out=True):
                        raise tries.error()
                else:
                    await ask(self, question, part, candidates)
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
            if not question.gone:  # the server is stopping; where nothing has left, it says so
                if delivery.opened:
                    delivery.fail(Stopping())
                elif exchange.started:
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
            if await ask(self, question, part, whole, after=rest):
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
                    group.create_task(ask(self, question, part, rest))
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

    async def _read_tokens(self, question: Question, candidates: Sequence[Candidate]) -> None:
        """Let prompts of token ids be read as text, where a chat may have to answer them."""
        asked, dialect = question.asked, question.delivery.door.dialect
        if all(dialect in candidate.upstream.relays for candidate in candidates):
            return
        if isinstance(asked, AsksPrompts | AsksVectors) and asked.has_tokens:
            table = await token_tables.vendors(asked.model)
            if table is not None:
                asked.read_tokens(table.decode)

    async def show_pictures(self, question: Question) -> None:
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


async def _refuse(exchange: Exchange, door: Door, error: GatewayError) -> None:
    exchange.reply(door.failure(error))


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
