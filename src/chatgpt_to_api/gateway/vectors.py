"""Embeddings where client and upstream speak different dialects: one call, one whole reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatgpt_to_api.dialects.contract import AsksVectors, UpstreamFault, VectorUpstream
from chatgpt_to_api.errors import ReplyTooLong
from chatgpt_to_api.gateway.faults import refused
from chatgpt_to_api.gateway.relay import WHOLE_REPLY_LIMIT

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway
    from chatgpt_to_api.gateway.question import Question
    from chatgpt_to_api.gateway.upstreams import Candidate
    from chatgpt_to_api.pool.contract import Granted


async def embed(
    gateway: Gateway,
    question: Question,
    asked: AsksVectors,
    candidate: Candidate,
    codec: VectorUpstream,
    lease: Granted,
) -> UpstreamFault | None:
    """Ask ``codec``'s upstream for the vectors; None when the reply is kept for the client.

    Raises TransportError, and InvalidRequest for what this upstream cannot be asked.
    """
    credential = lease.credential
    question.delivery.note_parameters(asked.untranslated, ())
    reply = await gateway.client.send(
        codec.ask_vectors(asked.vectors(), candidate.model, credential.access),
        proxy=credential.proxy or candidate.upstream.proxy,
        connect_timeout=gateway.limits.connect_timeout,
        read_timeout=question.read_timeout,
        deadline=question.deadline,
    )
    try:
        if not 200 <= reply.head.status < 300:
            return await refused(reply, codec, gateway.wall())
        body = bytearray()
        while data := await reply.read():
            body += data
            if len(body) > WHOLE_REPLY_LIMIT:
                raise ReplyTooLong(limit=WHOLE_REPLY_LIMIT)
    finally:
        reply.close()
    vectors = codec.read_vectors(reply.head, bytes(body))
    if isinstance(vectors, UpstreamFault):
        return vectors
    gateway.heard(question, candidate, lease)
    question.record.usage = vectors.usage
    question.delivery.pass_whole(asked.answered(vectors, question.delivery.stamp()))
    return None
