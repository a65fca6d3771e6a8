"""The translate lane: door → chat → upstream and back, one lease long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    TextDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import ReplyDecoder, UpstreamFault
from chatgpt_to_api.emulation.pipeline import Pipeline
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.counting import Count, start_count
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.gateway.scrub import scrub_fault
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.transport.errors import ConnectionBroken

if TYPE_CHECKING:
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
    call = _Call(gateway, question, part, candidate, lease)
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
        call.settle_usage()


class _Call:
    """The calls of one part on one lease: the first one and its continuations."""

    def __init__(
        self,
        gateway: Gateway,
        question: Question,
        part: Part,
        candidate: Candidate,
        lease: Granted,
    ) -> None:
        self._gateway = gateway
        self._question = question
        self._part = part
        self._candidate = candidate
        self._lease = lease
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
        reply = await gateway.client.send(
            upstream.codec.encode(request, self._candidate.model, credential.access, gateway.ids),
            proxy=credential.proxy or upstream.proxy,
            connect_timeout=gateway.limits.connect_timeout,
            read_timeout=gateway.limits.read_timeout,
            deadline=self._question.deadline,
        )
        end = reply.close
        try:
            if not 200 <= reply.head.status < 300:
                return await refused(reply, upstream.codec, gateway.wall())
            if self._decoder is None:
                await self._begin(request)
            decoder = upstream.codec.decoder(request, reply.head)
            fault = await self._read(reply, decoder)
            self._decoder = decoder
            if decoder.done:
                end = reply.finish  # HTTP's own end may come a moment later
            return fault
        finally:
            end()

    async def _begin(self, request: ChatRequest) -> None:
        """Set up what this upstream lacks, while it is already writing its answer."""
        upstream = self._candidate.upstream
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
                if delivery.committed:
                    keeper.wrote(delivery)
            if not data or decoder.done:
                return None
            if self._emulated is not None and self._emulated.finished:
                return None
            delivery.flush()
            await question.exchange.drain()

    def _take(self, events: Sequence[ChatEvent]) -> None:
        if self._emulated is not None:
            events = self._emulated.feed(events)
        if self._count is not None:
            self._count.feed(events)
        if events:
            begun = self._part.said
            self._part.take(events)
            if self._part.said and not begun:
                # Not only at the end: a probe after a cool-down keeps everybody else waiting.
                self._lease.ok()

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

    def _within_bounds(self, text: str) -> str:
        """What stop strings and the length limit leave of a rewritten text."""
        again = self._new_pipeline()
        if again is None:
            return text
        events = again.feed([BlockStarted(0, "text"), TextDelta(text), BlockEnded(0)])
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    def settle_usage(self) -> None:
        """Report what was counted, also of an answer that was cut."""
        if self._count is not None and self._part.said:
            usage = self._count.usage("counted" if self._whole else "partial")
            self._part.take([UsageReported(usage)])
