"""A relayed stream on its way through: what is held back, and how much of it."""

from __future__ import annotations

import json

from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai.scanner import ReplyScanner
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.gateway.delivery import Delivery
from chatgpt_to_api.gateway.relay import MOST_HELD, _Stream
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from support.recorded_exchange import RecordedExchange

EMPTY = b'data: {"choices": [{"index": 0, "delta": {}}]}\n\n'
HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])


def test_a_stream_that_says_nothing_is_not_held_for_ever() -> None:
    """Beyond a bound its empty events go on, each of them once and in their order."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    asked = DOOR.ask(HEAD, json.dumps(body).encode())
    exchange = RecordedExchange(b"")
    delivery = Delivery(exchange, DOOR, asked, lambda: Stamp("id", 0))
    scanner = ReplyScanner(
        ReplyHead(200, [(b"content-type", b"text/event-stream")]), hide_usage=True
    )
    heard: list[bool] = []
    stream = _Stream(scanner, delivery, lambda: heard.append(True))
    count = MOST_HELD // len(EMPTY)
    for _ in range(count):
        assert stream.take(EMPTY)
    assert (exchange.sent, delivery.committed) == (b"", False)
    for _ in range(3):
        assert stream.take(EMPTY)
    assert delivery.committed
    assert exchange.sent == EMPTY * (count + 3)
    assert heard == [True]
