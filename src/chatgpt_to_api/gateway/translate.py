"""The translate lane: door → chat → upstream and back, one lease long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import structs

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.prefix import AnswerDigest
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.dialects.contract import ReplyDecoder, UpstreamFault
from chatgpt_to_api.emulation.pipeline import Pipeline
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.counting import Count, start_count
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.gateway.scrub import scrub_fault
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.transport.errors import ConnectionBroken
from chatgpt_to_api.wire.json_object import with_defaults

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.continuing import ContinuedChat
    from chatgpt_to_api.gateway.engine import Gateway, Question
    from chatgpt_to_api.gateway.part import Part
    from chatgpt_to_api.gateway.upstreams import Candidate
    from chatgpt_to_api.pool.contract import Granted
    from chatgpt_to_api.transport.reply import Reply


async def translate(
    gateway: Gateway, question: Question, part: Part, candidate: Candidate, lease: Granted
) -> UpstreamFault | None:
    """Ask one upstream for one part of the reply; None when the part is complete.

    An answer the backend cut at its own length is continued on the same lease, up to the limit.
    Raises TransportError, and InvalidRequest for what this upstream cannot be asked.
    """
    upstream = candidate.upstream
    request = question.request()
    question.delivery.note_ignored(upstream.codec.ignored(request))
    chat = gateway.continued(question, candidate)
    if chat is None or not chat.goes_on:
        if upstream.kind == "conversation":
            question.delivery.note_conversation(part.choice, goes_on=None)
        call = _Call(gateway, question, part, candidate, lease, chat)
        return await _answer(call, question, candidate, lease, request)
    known = None if part.anew else chat.find(lease.credential.id)
    if known is not None:
        question.delivery.note_conversation(part.choice, goes_on=True)
        part.anew = True
        call = _Call(gateway, question, part, candidate, lease, chat)
        fault = await _answer(call, question, candidate, lease, known.rest(request))
        if fault is None or not fault.conversation_lost or part.said:
            return fault
        # To the client this never happened: it knows of no conversation.
        chat.lost(known)
        part.forget()
        await lease.next_send(question.deadline)
    question.delivery.note_conversation(part.choice, goes_on=False)
    call = _Call(gateway, question, part, candidate, lease, chat)
    return await _answer(call, question, candidate, lease, request)


async def _answer(
    call: _Call, question: Question, candidate: Candidate, lease: Granted, request: ChatRequest
) -> UpstreamFault | None:
    """Make a call and its continuations."""
    try:
        fault = await call.ask(request)
        while fault is None and (follow_up := call.follow_up()) is not None:
            question.delivery.flush()
            try:
                await lease.next_send(question.deadline)
            except GatewayError:
                break  # no room for another call: the answer stays as long as it is
            fault = await call.ask(follow_up)
            if fault is not None and not call.heard:
                # What came before the continuation is a true answer, only shorter than it could be.
                secrets = candidate.upstream.secrets
                lease.fault(scrub_fault(fault, lease.credential.access, secrets))
                fault = None
                break
        if fault is None:
            call.conclude()
        return fault
    finally:
        call.settle()


class _Call:
    """The calls of one part on one lease: the first one and its continuations."""

    def __init__(
        self,
        gateway: Gateway,
        question: Question,
        part: Part,
        candidate: Candidate,
        lease: Granted,
        chat: ContinuedChat | None,
    ) -> None:
        self._gateway = gateway
        self._question = question
        self._part = part
        self._candidate = candidate
        self._lease = lease
        self._chat = chat
        self._answer = AnswerDigest() if chat is not None and chat.goes_on else None
        self._conversation_id = ""
        self._left = gateway.limits.max_continuations
        self._decoder: ReplyDecoder | None = None
        self._count: Count | None = None
        self._whole = False
        self._new_pipeline: Callable[[], Pipeline | None] = lambda: None
        self._emulated: Pipeline | None = None
        self.heard = False
        """Whether the running call has brought any event."""

    async def ask(self, request: ChatRequest) -> UpstreamFault | None:
        """Call the upstream once and hand its events on."""
        gateway = self._gateway
        upstream = self._candidate.upstream
        credential = self._lease.credential
        self.heard = False
        self._question.delivery.flush()
        call = upstream.codec.encode(request, self._candidate.model, credential.access, gateway.ids)
        if self._candidate.parameters:
            call = structs.replace(call, body=with_defaults(call.body, self._candidate.parameters))
        reply = await gateway.client.send(
            call,
            proxy=credential.proxy or upstream.proxy,
            connect_timeout=gateway.limits.connect_timeout,
            read_timeout=self._question.read_timeout,
            deadline=self._question.deadline,
        )
        end = reply.close
        try:
            if not 200 <= reply.head.status < 300:
                return await refused(reply, upstream.codec, gateway.wall())
            if self._decoder is None:
                await self._begin()
            decoder = upstream.codec.decoder(request, reply.head)
            try:
                fault = await self._read(reply, decoder)
            finally:
                at = decoder.kept_at if self._chat is not None else None
                self._conversation_id = at.conversation_id if at is not None else ""
            self._decoder = decoder
            if decoder.done:
                end = reply.finish  # HTTP's own end may come a moment later
            return fault
        finally:
            end()

    async def _begin(self) -> None:
        """Set up what this upstream lacks, while it is already writing its answer."""
        upstream = self._candidate.upstream
        request = self._question.request()
        if upstream.emulates:
            table = await token_tables.ensure(request.model)
            self._new_pipeline = partial(
                Pipeline.for_request, request, table.count, upstream.emulates
            )
            self._emulated = self._new_pipeline()
        if upstream.counts_tokens:
            self._count = await start_count(request)

    async def _read(self, reply: Reply, decoder: ReplyDecoder) -> UpstreamFault | None:
        question = self._question
        delivery = question.delivery
        keeper = self._gateway.keeper
        if delivery.streaming:
            keeper.watch(delivery)
        while True:
            try:
                data = await reply.read()
                events = decoder.feed(data) if data else decoder.eof()
            except ConnectionBroken:
                # Behind a whole answer only HTTP's own end is missing: nothing of it was lost.
                data, events = b"", decoder.eof()
                if decoder.fault is not None:
                    raise
            if events:
                self.heard = True
                last = events[-1]
                if type(last) is Failed:
                    self._take(events[:-1])
                    # What fails after a stop string has ended the answer fails for nobody.
                    if self._emulated is not None and self._emulated.finished:
                        return None
                    assert decoder.fault is not None, "a decoder that fails says what it means"
                    return decoder.fault
                self._take(events)
            if not data or decoder.done:
                return None
            if self._emulated is not None and self._emulated.finished:
                return None
            delivery.flush()
            if question.exchange.congested:
                await question.exchange.drain()

    def _take(self, events: Sequence[ChatEvent]) -> None:
        if self._emulated is not None:
            events = self._emulated.feed(events)
        if self._count is not None:
            self._count.feed(events)
        if self._answer is not None:
            self._answer.feed(events)
        if events:
            begun = self._part.said
            self._part.take(events)
            if self._part.said and not begun:
                # Not only at the end: a probe after a cool-down keeps everybody else waiting.
                self._gateway.heard(self._question, self._candidate, self._lease)

    def follow_up(self) -> ChatRequest | None:
        """The request that continues a cut answer, while more may be asked for."""
        if self._left == 0 or self._decoder is None:
            return None
        if self._emulated is not None and self._emulated.finished:
            return None
        self._left -= 1
        return self._decoder.follow_up()

    def conclude(self) -> None:
        """Hand on the end that the decoder held back while a continuation was possible."""
        assert self._decoder is not None
        self._take(self._decoder.conclude())
        revised = self._decoder.revised
        cut_short = self._emulated is not None and self._emulated.finished
        if revised is not None and not cut_short:
            self._question.delivery.revise(self._within_bounds(revised), self._part.choice)
        self._whole = True
        if not cut_short and revised is None:
            self._remember(self._decoder.kept_at)

    def _remember(self, at: Branch | None) -> None:
        """Let the chat go on from this answer, which the client holds as the backend keeps it."""
        if self._chat is not None and self._answer is not None and at is not None:
            self._chat.answered(self._lease.credential.id, at, self._answer)

    def _within_bounds(self, text: str) -> str:
        """What stop strings and the length limit leave of a rewritten text."""
        again = self._new_pipeline()
        if again is None:
            return text
        events = again.feed([BlockStarted(0, "text"), TextDelta(text), BlockEnded(0)])
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    def settle(self) -> None:
        """Report what was counted and where it was said, also of an answer that was cut."""
        if self._chat is not None and self._conversation_id:
            self._chat.used(self._lease.credential.id, self._conversation_id)
        if self._count is not None and self._part.said:
            usage = self._count.usage("counted" if self._whole else "partial")
            self._part.take([UsageReported(usage)])
