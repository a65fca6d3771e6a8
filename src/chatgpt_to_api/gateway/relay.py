"""The relay lane: the client's dialect is the upstream's own, so bytes go through as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from chatgpt_to_api.dialects.contract import RelayUpstream, Scanner, Unseals, UpstreamFault
from chatgpt_to_api.errors import ReplyTooLong
from chatgpt_to_api.gateway.endpoints import CHAT
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.wire.http import HttpReply, HttpRequest, RequestHead, header
from chatgpt_to_api.wire.json_object import with_defaults
from chatgpt_to_api.wire.secret import Access

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.delivery import Delivery
    from chatgpt_to_api.gateway.engine import Gateway
    from chatgpt_to_api.gateway.question import Question
    from chatgpt_to_api.gateway.upstreams import Candidate
    from chatgpt_to_api.pool.contract import Granted
    from chatgpt_to_api.transport.reply import Reply

WHOLE_REPLY_LIMIT: Final = 64 * 1024 * 1024
"""Largest reply that is not streamed, bytes."""

MOST_HELD: Final = 1024 * 1024
"""How much of a stream is held back for its first content, bytes. Some servers send an empty event
for each token they think but do not show: beyond this they are passed on, and that commits."""


def _send(
    gateway: Gateway, question: Question, candidate: Candidate, codec: RelayUpstream, lease: Granted
) -> Awaitable[Reply]:
    asked = question.asked
    upstream = candidate.upstream
    streaming = asked.stream
    body = asked.relayed(candidate.model, ask_usage=streaming and upstream.include_usage)
    if upstream.unheard is not None:
        question.delivery.note_parameters(upstream.unheard(body), ())
    if candidate.parameters and question.delivery.door.endpoint == CHAT:
        body = with_defaults(body, candidate.parameters)
    credential = lease.credential
    return gateway.client.send(
        codec.forward(
            body,
            credential.access,
            model=candidate.model,
            stream=streaming,
            head=question.exchange.head,
        ),
        proxy=credential.proxy or upstream.proxy,
        connect_timeout=gateway.limits.connect_timeout,
        read_timeout=question.read_timeout,
        deadline=question.deadline,
    )


async def relay_unsealing(
    gateway: Gateway, question: Question, candidate: Candidate, codec: Unseals, lease: Granted
) -> UpstreamFault | None:
    """Carry one request and its reply, as the others do, streamed or not.

    A server that cannot open what another has sealed is asked once more without it, on the same
    lease. Raises TransportError.
    """
    relay = relay_stream if question.asked.stream else relay_whole
    fault = await relay(gateway, question, candidate, codec, lease)
    if fault is None or not fault.seals_refused or question.delivery.relayed:
        return fault
    body = question.asked.relayed(candidate.model, ask_usage=False)
    if codec.unsealed(body) is None:
        return fault
    await lease.next_send(question.deadline)
    return await relay(gateway, question, candidate, _Bare(codec), lease)


class _Bare:
    """A codec whose requests leave without what was sealed."""

    def __init__(self, codec: Unseals) -> None:
        self.dialect = codec.dialect
        self._codec = codec
        self.fault = codec.fault
        self.facts = codec.facts
        self.scanner = codec.scanner

    def forward(
        self, body: bytes, access: Access, *, model: str, stream: bool, head: RequestHead
    ) -> HttpRequest:
        """Return the call that carries the body without it."""
        bare = self._codec.unsealed(body) or body
        return self._codec.forward(bare, access, model=model, stream=stream, head=head)


async def relay_whole(
    gateway: Gateway, question: Question, candidate: Candidate, codec: RelayUpstream, lease: Granted
) -> UpstreamFault | None:
    """Carry one request to ``codec``'s upstream and its reply, not streamed, back.

    Returns None when the whole reply is kept for the client. Raises TransportError.
    """
    reply = await _send(gateway, question, candidate, codec, lease)
    head = reply.head
    body = reply.arrived()
    if body is None or not 200 <= head.status < 300:
        try:
            if not 200 <= head.status < 300:
                return await refused(reply, codec, gateway.wall())
            body = await _rest(reply)
        finally:
            reply.close()
    facts = codec.facts(head, body)
    if facts.fault is not None:
        return facts.fault
    if question.path.timed:
        gateway.note_speed(question, candidate, lease)
    question.record.usage = facts.usage
    kind = header(head.headers, b"content-type") or b"application/json"
    question.delivery.pass_whole(HttpReply(head.status, [(b"content-type", kind)], body))
    return None


async def _rest(reply: Reply) -> bytes:
    """Read a reply to its end. Raises ReplyTooLong, TransportError."""
    pieces = []
    size = 0
    while data := await reply.read():
        pieces.append(data)
        size += len(data)
        if size > WHOLE_REPLY_LIMIT:
            raise ReplyTooLong(limit=WHOLE_REPLY_LIMIT)
    return b"".join(pieces)


async def relay_stream(
    gateway: Gateway, question: Question, candidate: Candidate, codec: RelayUpstream, lease: Granted
) -> UpstreamFault | None:
    """Carry one request to ``codec``'s upstream and its streamed reply back.

    Returns None when the reply's good end is with the client. Raises TransportError.
    """
    reply = await _send(gateway, question, candidate, codec, lease)
    end = reply.close
    try:
        if not 200 <= reply.head.status < 300:
            return await refused(reply, codec, gateway.wall())
        scanner = codec.scanner(reply.head, hide_usage=not question.asked.include_usage)
        heard = partial(gateway.heard, question, candidate, lease)
        stream = _Stream(scanner, question.delivery, heard)
        gateway.keeper.watch(question.delivery)
        await reply.pump(stream.take)
        while not stream.over:
            await question.exchange.drain()
            await reply.pump(stream.take)
        if stream.fault is None:
            question.record.usage = scanner.usage
            end = reply.finish  # HTTP's own end may come a moment after the dialect's
        return stream.fault
    finally:
        end()


class _Stream:
    """One stream on its way through: held back until its first content, then passed on."""

    __slots__ = ("_delivery", "_heard", "_held", "_held_size", "_scanner", "fault", "over")

    def __init__(self, scanner: Scanner, delivery: Delivery, heard: Callable[[], None]) -> None:
        self._scanner = scanner
        self._delivery = delivery
        self._heard = heard
        self._held: list[bytes] = []
        self._held_size = 0
        self.over = False
        """The dialect's own end was seen, or the stream has failed."""
        self.fault: UpstreamFault | None = None

    def take(self, data: bytes) -> bool:
        """Take what one read brought, b"" at the end; whether more may come at once."""
        scanner, delivery = self._scanner, self._delivery
        passed = scanner.feed(data) if data else scanner.eof()
        if passed.failed is not None:
            if passed.data and delivery.committed:
                delivery.pass_on(passed.data)
            assert scanner.fault is not None, "a scanner that fails says what it means"
            self.fault = scanner.fault
            self.over = True
            return False
        self.over = not data or scanner.done
        if passed.data and delivery.committed:
            delivery.pass_on(passed.data)
        elif passed.data:
            self._held.append(passed.data)
            self._held_size += len(passed.data)
            if passed.content or self.over or self._held_size > MOST_HELD:
                delivery.pass_on(b"".join(self._held))
                self._held.clear()
                # Not only at the end: a probe after a cool-down keeps everybody else waiting.
                self._heard()
        if self.over:
            return False
        delivery.flush()
        return not delivery.exchange.congested
