"""CPU time of the translate lane's own work for one reply, stage by stage, without any socket.

Run it with the project's Python: ``.venv/bin/python bench/translate.py``. One request of a chat
client is asked of a conversation backend, and its reply of 100 events, in reads as a socket gives
them, becomes chat chunks. The best of several rounds counts. ``--cold`` clears the processor's
caches between replies: a gateway that does other work in between pays that price.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

import load
import replies

from chatgpt_to_api.chat.events import ChatEvent, UsageReported
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.dialects.openai_chat.door import DOOR, ChatAsked
from chatgpt_to_api.gateway.counting import Count, start_count
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access, Secret

PATH: Final = "/v1/chat/completions"
READ: Final = 64 * 1024
HEAD: Final = RequestHead("POST", PATH, b"", [(b"content-type", b"application/json")])
REPLY: Final = ReplyHead(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
SHORT: Final = 5
"""How many calls are one look: a short one is seldom disturbed."""
STAMP: Final = Stamp("3b7c1d526a0e4f399d2b5c8e7a104f61", 1_700_000_000)
ACCESS: Final = Access(token=Secret("t" * 1200))


class Ids:
    """Fresh ids, as cheap as the gateway's own."""

    def uuid4(self) -> str:
        return f"{random.getrandbits(128):032x}"


IDS: Final = Ids()
UPSTREAM: Final = ConversationUpstream("http://127.0.0.1:9/c", ConversationOptions())


def ask(body: bytes) -> tuple[ChatAsked, ChatRequest]:
    """The client's bytes → what the gateway understands of them."""
    asked = DOOR.ask(HEAD, body)
    return asked, asked.request()


def encode(request: ChatRequest) -> bytes:
    """What the gateway understands → the backend's bytes."""
    UPSTREAM.ignored(request)
    return UPSTREAM.encode(request, request.model, ACCESS, IDS).body


def decode(request: ChatRequest, chunks: Sequence[bytes]) -> list[list[ChatEvent]]:
    """The backend's bytes → events, read by read."""
    decoder = UPSTREAM.decoder(request, REPLY)
    events = [decoder.feed(chunk) for chunk in chunks]
    assert decoder.done
    assert decoder.fault is None
    return events


def write(asked: ChatAsked, reads: Sequence[Sequence[ChatEvent]], usage: Usage) -> bytes:
    """Events → the client's bytes."""
    encoder = DOOR.reply(asked, STAMP)
    out = [encoder.feed(events) for events in reads]
    return b"".join((*out, encoder.feed([UsageReported(usage)]), encoder.end()))


async def begin(request: ChatRequest) -> Count:
    """Count the prompt."""
    return await start_count(request, request.model)


def counted(count: Count, reads: Sequence[Sequence[ChatEvent]]) -> Usage:
    """Count the reply."""
    for events in reads:
        count.feed(events)
    return count.usage("counted")


def drive(coroutine: Coroutine[None, None, Count]) -> Count:
    """Run a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


class Meter:
    """Times a call, many times, in rounds."""

    def __init__(self, *, cold: bool, rounds: int) -> None:
        self._rounds = rounds
        self._ballast = bytearray(64 * 2**20) if cold else None

    def __call__(self, call: Callable[[], object]) -> float:
        """Return µs of CPU for one call: the best round, or of a cold cache the median call."""
        if self._ballast is not None:
            took = sorted(self._once(call) for _ in range(self._rounds * 4))
            return took[len(took) // 2] * 1e6
        best = float("inf")
        for _ in range(self._rounds * 10):
            began = time.process_time()
            for _ in range(SHORT):
                call()
            best = min(best, time.process_time() - began)
        return best / SHORT * 1e6

    @property
    def calls(self) -> int:
        """How often a call is made to time it."""
        return self._rounds * (4 if self._ballast is not None else 10 * SHORT)

    def _once(self, call: Callable[[], object]) -> float:
        assert self._ballast is not None
        self._ballast[:] = self._ballast[1:] + b"\0"
        began = time.process_time()
        call()
        return time.process_time() - began


def measure(name: str, events: list[bytes], body: bytes, meter: Meter, *, paced: bool) -> None:
    """Print one line: the stages of one reply, and all of them together."""
    data = b"".join(events)
    chunks = events if paced else [data[at : at + READ] for at in range(0, len(data), READ)]
    asked, request = ask(body)
    reads = decode(request, chunks)
    usage = counted(drive(begin(request)), reads)

    def whole() -> bytes:
        asked, request = ask(body)
        encode(request)
        count = drive(begin(request))
        reads = decode(request, chunks)
        return write(asked, reads, counted(count, reads))

    stages: list[Callable[[], object]] = [
        lambda: ask(body),
        lambda: encode(request),
        lambda: drive(begin(request)),
        lambda: decode(request, chunks),
        lambda: counted(drive(begin(request)), reads),
        lambda: write(asked, reads, usage),
        whole,
    ]
    figures = [meter(stage) for stage in stages]
    figures[4] -= figures[2]
    print(f"{name:24}" + "".join(f"{figure:12.1f}" for figure in figures))


def main() -> None:
    """Print a line for each shape of stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="clear the caches between replies")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of each measurement")
    options = parser.parse_args()
    meter = Meter(cold=options.cold, rounds=options.rounds)
    body = load.question(PATH, "gpt-4o", stream=True).split(b"\r\n\r\n", 1)[1]
    asyncio.run(begin(ask(body)[1]))  # loads the table
    gc.collect()
    gc.freeze()  # as the gateway does
    heads = ("ask", "encode", "prompt", "decode", "count", "write", "together")
    print(f"{'µs a reply':24}" + "".join(f"{head:>12}" for head in heads))
    for name, events in (
        ("snapshots, burst", replies.snapshot_events()),
        ("delta v1, burst", replies.delta_events()),
    ):
        measure(name, events, body, meter, paced=False)
    for name, events in (
        ("snapshots, paced", replies.snapshot_events()),
        ("delta v1, paced", replies.delta_events()),
    ):
        measure(name, events, body, meter, paced=True)


if __name__ == "__main__":
    main()
