"""The translate lane: door → chat → upstream and back, one lease long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from chatgpt_to_api.chat.events import ChatEvent, Failed
from chatgpt_to_api.chat.prefix import AnswerDigest
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import ReplyDecoder, UpstreamFault
from chatgpt_to_api.emulation.demands import Complaint
from chatgpt_to_api.emulation.pipeline import Pipeline
from chatgpt_to_api.emulation.prompt import asked_again
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.counting import Count, start_count
from chatgpt_to_api.gateway.emulated import Emulation
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.gateway.origins import unsealed
from chatgpt_to_api.gateway.scrub import scrub_fault
from chatgpt_to_api.telemetry import token_tables
from chatgpt_to_api.transport.errors import ConnectionBroken
from chatgpt_to_api.wire.json_object import with_defaults

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.continuing import ContinuedChat
    from chatgpt_to_api.gateway.engine import Gateway
    from chatgpt_to_api.gateway.part import Part
    from chatgpt_to_api.gateway.question import Question
    from chatgpt_to_api.gateway.upstreams import Candidate
    from chatgpt_to_api.pool.contract import Granted
    from chatgpt_to_api.transport.reply import Reply


async def translate(
    gateway: Gateway, question: Question, part: Part, candidate: Candidate, lease: Granted
) -> UpstreamFault | None:
    """Ask one upstream for one part of the reply; None when the part is complete.

    An answer that is not what was demanded is asked for once more, on the same lease. Raises
    TransportError, InvalidRequest for what this upstream cannot be asked, and ReplyRefused.
    """
    upstream = candidate.upstream
    request = gateway.origins.fitting(question.request(part.choice), upstream.name)
    emulation = Emulation(request, upstream, candidate.model)
    ignored = (*question.asked.untranslated, *emulation.ignored)
    question.delivery.note_parameters(ignored, question.emulated(emulation.needs))
    chat = gateway.continued(question, part, candidate)
    if chat is None or not chat.goes_on:
        if upstream.kind == "conversation":
            question.delivery.note_conversation(part.choice, goes_on=None)
        call = _Call(gateway, question, part, candidate, lease, chat, emulation)
        fault = await _answer(call, request)
        if fault is None or not fault.seals_refused or part.said:
            return fault
        bare = unsealed(request)
        if bare is None:
            return fault
        # To the client this never happened: without what it was sealed for, a thought is no loss.
        gateway.origins.disown(request)
        part.forget()
        await lease.next_send(question.deadline)
        call = _Call(gateway, question, part, candidate, lease, chat, emulation)
        return await _answer(call, bare)
    known = None if part.anew else chat.find(lease.credential.id)
    if known is not None:
        question.delivery.note_conversation(part.choice, goes_on=True)
        part.anew = True
        call = _Call(gateway, question, part, candidate, lease, chat, emulation)
        fault = await _answer(call, known.rest(request))
        if fault is None or not fault.conversation_lost or part.said:
            return fault
        # To the client this never happened: it knows of no conversation.
        chat.lost(known)
        part.forget()
        await lease.next_send(question.deadline)
    question.delivery.note_conversation(part.choice, goes_on=False)
    call = _Call(gateway, question, part, candidate, lease, chat, emulation)
    return await _answer(call, request)


async def _answer(call: _Call, request: ChatRequest) -> UpstreamFault | None:
    """Make a call, and a second one where its answer is not what was demanded."""
    try:
        fault = await call.answer(call.emulation.asked(request))
        if fault is not None or (complaint := call.conclude()) is None:
            return fault
        again = await call.begin_again(request, complaint)
        fault = await call.answer(again)
        if fault is not None or (complaint := call.conclude()) is None:
            return fault
        call.lease.ok()  # it did answer
        raise complaint.error
    finally:
        call.settle()


class _Call:
    """The calls of one part on one lease: the first one, its continuations, and a second try."""

    def __init__(
        self,
        gateway: Gateway,
        question: Question,
        part: Part,
        candidate: Candidate,
        lease: Granted,
        chat: ContinuedChat | None,
        emulation: Emulation,
    ) -> None:
        self._gateway = gateway
        self._question = question
        self._part = part
        self._candidate = candidate
        self.lease = lease
        self._chat = chat
        self._answer = AnswerDigest() if chat is not None and chat.goes_on else None
        self._conversation_id = ""
        self._left = gateway.limits.max_continuations
        self._decoder: ReplyDecoder | None = None
        self._count: Count | None = None
        self._tells = False
        """Whether the client is to hear at the beginning how long its prompt is."""
        self._whole = False
        self.emulation = emulation
        self._counts: Callable[[str], int] = len  # until a table is loaded, where one is needed
        self._emulated: Pipeline | None = None
        self.heard = False
        """Whether the running call has brought any event."""

    async def answer(self, request: ChatRequest) -> UpstreamFault | None:
        """Ask for an answer; one the backend cut at its length is continued, up to the limit."""
        lease, upstream = self.lease, self._candidate.upstream
        fault = await self._ask(request)
        while fault is None and (follow_up := self._follow_up()) is not None:
            self._question.delivery.flush()
            try:
                await lease.next_send(self._question.deadline)
            except GatewayError:
                break  # no room for another call: the answer stays as long as it is
            fault = await self._ask(follow_up)
            if fault is not None and not self.heard:
                # What came before the continuation is a true answer, only shorter than it could be.
                lease.fault(scrub_fault(fault, lease.credential.access, upstream.secrets))
                fault = None
                break
        return fault

    async def _ask(self, request: ChatRequest) -> UpstreamFault | None:
        """Call the upstream once and hand its events on."""
        gateway = self._gateway
        upstream = self._candidate.upstream
        credential = self.lease.credential
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
        request = self._question.request(self._part.choice)
        if "max_tokens" in self.emulation.needs:
            self._counts = (await token_tables.ensure(request.model)).count
        if self._candidate.upstream.counts_tokens or request.counts_first:
            asked = self.emulation.asked(request)
            self._count = await start_count(asked, self._candidate.model)
            self._tells = request.counts_first
        self._emulated = self._new_pipeline()

    def _new_pipeline(self, spent: Usage | None = None) -> Pipeline | None:
        heard = None if self._count is None else self._count.feed
        return self.emulation.pipeline(self._counts, heard, spent)

    async def begin_again(self, request: ChatRequest, complaint: Complaint) -> ChatRequest:
        """Drop an answer that does not do; return the request that tells the model why.

        Nothing of it has left. Raises the complaint's error where no room for another call is.
        """
        assert self._emulated is not None, "who complains has judged"
        again = asked_again(self.emulation.asked(request), self._emulated.said, complaint.told)
        self._part.forget()
        self._emulated = self._new_pipeline(self._emulated.usage)
        try:
            await self.lease.next_send(self._question.deadline)
        except GatewayError:
            raise complaint.error from None
        return again

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
        if self._tells and self._count is not None:
            events = [self._count.told(event) for event in events]
        if self._emulated is not None:
            events = self._emulated.feed(events)
        elif self._count is not None:
            self._count.feed(events)
        self._hand_on(events)

    def _hand_on(self, events: Sequence[ChatEvent]) -> None:
        if self._answer is not None:
            self._answer.feed(events)
        if events:
            if self._candidate.upstream.seals:
                self._gateway.origins.note(events, self._candidate.upstream.name)
            begun = self._part.said
            self._part.take(events)
            if self._part.said and not begun:
                # Not only at the end: a probe after a cool-down keeps everybody else waiting.
                self._gateway.heard(self._question, self._candidate, self.lease)

    def _follow_up(self) -> ChatRequest | None:
        """The request that continues a cut answer, while more may be asked for."""
        if self._left == 0 or self._decoder is None:
            return None
        if self._emulated is not None and self._emulated.finished:
            return None
        self._left -= 1
        return self._decoder.follow_up()

    def conclude(self) -> Complaint | None:
        """Hand on what was held back; an answer that is not what was demanded is told instead."""
        assert self._decoder is not None
        if held := self._decoder.conclude():
            self._take(held)
        revised = self._decoder.revised
        cut_short = self._emulated is not None and self._emulated.finished
        if self._emulated is None:
            if revised is not None:
                self._question.delivery.revise(revised, self._part.choice)
        else:
            if cut_short:
                revised = None
            if revised is not None:
                revised = self._within_bounds(revised)
                self._question.delivery.revise(revised, self._part.choice)
            settled = self._emulated.settled(revised)
            if isinstance(settled, Complaint):
                return settled
            self._hand_on(settled)
        self._whole = True
        if self._chat is not None and not cut_short and revised is None:
            self._remember(self._chat, self._decoder.kept_at)
        return None

    def _remember(self, chat: ContinuedChat, at: Branch | None) -> None:
        """Let the chat go on from this answer, which the client holds as the backend keeps it."""
        if self._answer is not None and at is not None:
            chat.answered(self.lease.credential.id, at, self._answer)

    def _within_bounds(self, text: str) -> str:
        """What stop strings, calls and the length limit leave of a rewritten text."""
        again = self.emulation.pipeline(self._counts, None)
        assert again is not None
        return again.left_of(text)

    def settle(self) -> None:
        """Report what was counted and where it was said, also of an answer that was cut."""
        if self._chat is not None and self._conversation_id:
            self._chat.used(self.lease.credential.id, self._conversation_id)
        reported = self._part.usage is not None and not self._candidate.upstream.counts_tokens
        if self._count is not None and self._part.said and not reported:
            self._part.usage = self._count.usage("counted" if self._whole else "partial")
