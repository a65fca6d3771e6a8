"""Servers that have embeddings: their calls, their replies, and what a failure means."""

from __future__ import annotations

import json

import pytest

from chatgpt_to_api.dialects.openai_embeddings.upstream import EmbeddingsUpstream
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access, Secret

HEAD = RequestHead("POST", "/", b"", [])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}],
    "model": "m-1",
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}
BODY = json.dumps(VECTORS).encode()


def test_a_reply_tells_its_usage_and_model() -> None:
    """It is passed on as it is; there is no answer to be counted."""
    facts = EmbeddingsUpstream("http://h/v1").facts(JSON, BODY)
    assert facts.fault is None
    assert facts.usage is not None
    assert (facts.usage.input, facts.usage.output) == (3, None)
    assert facts.model == "m-1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no list of embeddings"),
        (b"[1]", "no list of embeddings"),
        (b'{"object": "list", "data": []}', "no list of embeddings"),
        (b"<html><title>Just a moment</title></html>", "challenge page"),
        (b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', "rate limited"),
    ],
)
def test_a_good_status_may_hide_a_failure(body: bytes, reason: str) -> None:
    """What is no list of vectors is not passed on."""
    fault = EmbeddingsUpstream("http://h/v1").facts(JSON, body).fault
    assert fault is not None and reason in fault.reason


def test_the_call_stands_behind_the_servers_own_path() -> None:
    """With its key, and the client's bytes."""
    upstream = EmbeddingsUpstream("https://h/api/v1/")
    request = upstream.forward(
        b"{}", Access(token=Secret("sk-1")), model="m", stream=False, head=HEAD
    )
    assert (request.method, request.target, request.body) == (b"POST", b"/api/v1/embeddings", b"{}")
    assert (b"authorization", b"Bearer sk-1") in request.headers


def test_vectors_that_cannot_be_shortened_are_not() -> None:
    """A server that would pass over ``dimensions`` is not asked; its own length is no wish."""
    upstream = EmbeddingsUpstream("http://h/v1", own_size=576)
    for fine in (b'{"model":"m","input":"x"}', b'{"model":"m","input":"x","dimensions":576}'):
        assert upstream.forward(fine, Access(), model="m", stream=False, head=HEAD).body == fine
    with pytest.raises(InvalidRequest, match="576 numbers and cannot be shortened") as refused:
        upstream.forward(
            b'{"model":"m","input":"x","dimensions":64}',
            Access(),
            model="m",
            stream=False,
            head=HEAD,
        )
    assert refused.value.param == "dimensions"


def test_an_input_too_long_for_llama_cpp_is_the_clients_error() -> None:
    """Though it comes as a 500: nothing is retried, and no breaker counts it."""
    said = "input (6001 tokens) is too large to process. increase the physical batch size"
    body = json.dumps({"error": {"code": 500, "message": said}}).encode()
    head = ReplyHead(500, JSON.headers)
    fault = EmbeddingsUpstream("http://h/v1").fault(head, body, 0.0)
    assert (fault.error.status, fault.error.param, fault.retry) == (400, "input", "never")
    assert fault.upstream == "none"
    other = EmbeddingsUpstream("http://h/v1").fault(head, b'{"error": "oops"}', 0.0)
    assert (other.retry, other.upstream) == ("again", "count")
