"""The relay lane: the client's dialect is the upstream's own, so bytes go through as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chatgpt_to_api.dialects.contract import RelayUpstream, UpstreamFault
from chatgpt_to_api.errors import ReplyTooLong
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.wire.http import HttpReply, header

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway, Question
    from chatgpt_to_api.gateway.upstreams import Candidate
    from chatgpt_to_api.pool.contract import Granted
    from chatgpt_to_api.transport.reply import Reply

WHOLE_REPLY_LIMIT: Final = 64 * 1024 * 1024
"""Largest reply that is not streamed, bytes."""


async def relay(
    gateway: Gateway, question: Question, candidate: Candidate, codec: RelayUpstream, lease: Granted
) -> UpstreamFault | None:
    """Carry one request to ``codec``'s upstream and its reply back.

    Returns None when the whole reply is with the client, or kept for it. Raises TransportError.
    """
    asked = question.asked
    upstream = candidate.upstream
    streaming = asked.stream
    body = asked.relayed(candidate.model, ask_usage=upstream.include_usage and streaming)
    credential = lease.credential
    reply = await gateway.client.send(
        codec.forward(body, credential.access, stream=streaming),
        proxy=credential.proxy or upstream.proxy,
        connect_timeout=gateway.limits.connect_timeout,
        read_timeout=gateway.limits.read_timeout,
        deadline=question.deadline,
    )
    end = reply.close
    try:
        if not 200 <= reply.head.status < 300:
            return await refused(reply, codec, gateway.wall())
        if not streaming:
            return await _whole(question, codec, reply)
        fault = await _stream(gateway, question, codec, lease, reply)
        if fault is None:
            end = reply.finish  # HTTP's own end may come a moment after the dialect's
        return fault
    finally:
        end()


async def _whole(question: Question, codec: RelayUpstream, reply: Reply) -> UpstreamFault | None:
    scanner = codec.scanner(reply.head, stream=False, hide_usage=False)
    pieces: list[bytes] = []
    size = 0
    while data := await reply.read():
        passed = scanner.feed(data)
        pieces.append(passed.data)
        size += len(passed.data)
        if size > WHOLE_REPLY_LIMIT:
            raise ReplyTooLong(limit=WHOLE_REPLY_LIMIT)
    passed = scanner.eof()
    if passed.failed is not None:
        assert scanner.fault is not None, "a scanner that fails says what it means"
        return scanner.fault
    pieces.append(passed.data)
    question.record.usage = scanner.usage
    kind = header(reply.head.headers, b"content-type") or b"application/json"
    question.delivery.pass_whole(
        HttpReply(reply.head.status, [(b"content-type", kind)], b"".join(pieces))
    )
    return None


async def _stream(
    gateway: Gateway, question: Question, codec: RelayUpstream, lease: Granted, reply: Reply
) -> UpstreamFault | None:
    scanner = codec.scanner(reply.head, stream=True, hide_usage=not question.asked.include_usage)
    delivery = question.delivery
    exchange = question.exchange
    keeper = gateway.keeper
    held: list[bytes] = []
    keeper.watch(delivery)
    while True:
        data = await reply.read()
        passed = scanner.feed(data) if data else scanner.eof()
        if passed.failed is not None:
            if passed.data and delivery.committed:
                delivery.pass_on(passed.data)
            assert scanner.fault is not None, "a scanner that fails says what it means"
            return scanner.fault
        if passed.data:
            if delivery.committed:
                delivery.pass_on(passed.data)
                keeper.wrote(delivery)
            elif passed.content or not data or scanner.done:
                held.append(passed.data)
                delivery.pass_on(b"".join(held))
                # Not only at the end: a probe after a cool-down keeps everybody else waiting.
                lease.ok()
            else:
                held.append(passed.data)
        if not data or scanner.done:
            break
        delivery.flush()
        await exchange.drain()
    question.record.usage = scanner.usage
    return None
