"""CPU time of translating, for every door over every upstream, without any socket.

Run it with the project's Python: ``.venv/bin/python bench/pairs.py``. The request is a chat of four
turns and a system message; the reply has 100 events of text. Each dialect's own other side writes
what is read here. The best of several rounds counts.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple

import replies
from translate import ACCESS, IDS, STAMP, Meter

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import ChatEvent, Started, UsageReported
from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.door import DOOR as ANTHROPIC_DOOR
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.dialects.contract import Asked, Door, Upstream
from chatgpt_to_api.dialects.conversation.door import DOOR as CONVERSATION_DOOR
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.dialects.gemini.door import DOOR as GEMINI_DOOR
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.dialects.ollama.door import OllamaChatDoor
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream import OllamaUpstream
from chatgpt_to_api.dialects.openai_chat.door import DOOR as CHAT_DOOR
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.dialects.openai_responses.door import DOOR as RESPONSES_DOOR
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.wire.http import ReplyHead, RequestHead

URL: Final = "http://127.0.0.1:9/v1"
EVENTS: Final = 100
ALONE: Final = "alone"
READ: Final = 64 * 1024

TURNS: Final = (
    Message("system", (Text("You are a helpful assistant that answers briefly."),)),
    Message("user", (Text("What is the capital of France?"),)),
    Message("assistant", (Text("Paris is the capital of France."),)),
    Message("user", (Text("And what can one see there on a rainy day?"),)),
)


class Dialect(NamedTuple):
    """Both sides of one, and the path of its door."""

    name: str
    door: Door
    path: str
    upstream: Upstream
    content_type: str = "text/event-stream"


DIALECTS: Final = (
    Dialect("chat", CHAT_DOOR, "/v1/chat/completions", ChatUpstream(URL)),
    Dialect("responses", RESPONSES_DOOR, "/v1/responses", ResponsesUpstream(URL)),
    Dialect("anthropic", ANTHROPIC_DOOR, "/v1/messages", MessagesUpstream(URL)),
    Dialect(
        "gemini",
        GEMINI_DOOR,
        "/v1beta/models/m:streamGenerateContent",
        GeminiUpstream(URL),
    ),
    Dialect(
        "ollama",
        OllamaChatDoor(),
        "/api/chat",
        OllamaUpstream(OllamaServer(URL)),
        "application/x-ndjson",
    ),
    Dialect(
        "conversation",
        CONVERSATION_DOOR,
        "/backend-api/conversation",
        ConversationUpstream(URL, ConversationOptions(system_mapping="system")),
    ),
)


def question(dialect: Dialect) -> Callable[[], Asked]:
    """How a client of the dialect asks, decoded anew by every call."""
    request = ChatRequest(model="m", messages=TURNS, stream=True, include_usage=True)
    if dialect.name == "conversation":
        request = ChatRequest(model="m", messages=TURNS[-1:], stream=True)
    call = dialect.upstream.encode(request, "m", ACCESS, IDS)
    query = b"alt=sse" if dialect.name == "gemini" else b""
    head = RequestHead("POST", dialect.path, query, [(b"content-type", b"application/json")])
    return lambda: dialect.door.ask(head, call.body)


def reply(dialect: Dialect) -> list[bytes]:
    """A server's answer of 100 pieces of text, in events that can be read one by one."""
    if dialect.name == "conversation":
        return replies.delta_events()
    tracker = BlockTracker()
    encoder = dialect.door.reply(question(dialect)(), STAMP)
    events: list[Sequence[ChatEvent]] = [[Started("m")]]
    events += (tracker.text(f" word{index}") for index in range(EVENTS))
    events.append(tracker.finish("stop"))
    events.append([UsageReported(Usage(input=40, output=EVENTS, source="reported"))])
    written = [encoder.feed(one) for one in events] + [encoder.end()]
    return [piece for piece in written if piece]


def translated(
    asked: Asked, request: ChatRequest, door: Dialect, upstream: Dialect, reads: Sequence[bytes]
) -> int:
    """Write an upstream's reply as the door's client gets it; what is written is not kept."""
    kind = upstream.content_type.encode()
    decoder = upstream.upstream.decoder(request, ReplyHead(200, [(b"content-type", kind)]))
    encoder = door.door.reply(asked, STAMP)
    size = 0
    for data in reads:
        size += len(encoder.feed(decoder.feed(data)))
    size += len(encoder.feed(decoder.eof()))
    assert decoder.fault is None, decoder.fault
    return size + len(encoder.end())


def measure(door: Dialect, upstream: Dialect, meter: Meter) -> tuple[float, float, float]:
    """Return µs of CPU: a request, an event in a burst, an event that comes alone."""
    ask = question(door)
    events = reply(upstream)
    whole = b"".join(events)
    burst = [whole[at : at + READ] for at in range(0, len(whole), READ)]
    request = ask().request()

    def answered(reads: Sequence[bytes]) -> float:
        # Each reply to a request of its own: there are doors that keep the answer with it.
        asked = iter([ask() for _ in range(meter.calls)])
        took = meter(lambda: translated(next(asked), request, door, upstream, reads))
        return took / EVENTS

    def requested() -> object:
        asked = ask().request()
        upstream.upstream.ignored(asked)
        return upstream.upstream.encode(asked, "m", ACCESS, IDS)

    return meter(requested), answered(burst), answered(events)


def main() -> None:
    """Print a table for each of the three figures, and how far apart the pairs are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each measurement")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    meter = Meter(cold=False, rounds=1)
    gc.collect()
    gc.freeze()  # as the gateway does
    figures = {(d.name, u.name): (inf, inf, inf) for d in DIALECTS for u in DIALECTS}
    for _ in range(options.rounds):  # of all pairs: what disturbs one for a while is gone the next
        for door in DIALECTS:
            for upstream in DIALECTS:
                pair = door.name, upstream.name
                request, burst, alone = map(min, figures[pair], measure(door, upstream, meter))
                figures[pair] = request, burst, alone
    if options.json:
        print(json.dumps({f"{door} over {upstream}": f for (door, upstream), f in figures.items()}))
        return
    heads = ("µs a request", "µs an event, in a burst", "µs an event, alone in its read")
    for place, head in enumerate(heads):
        table({pair: figure[place] for pair, figure in figures.items()}, head)


def table(figures: Mapping[tuple[str, str], float], head: str) -> None:
    """Print one figure of every pair: a line for each door."""
    names = [dialect.name for dialect in DIALECTS]
    print(f"{head:32}" + "".join(f"{name:>14}" for name in names))
    for door in names:
        row = [figures[door, upstream] for upstream in names]
        print(f"{door:32}" + "".join(f"{figure:14.1f}" for figure in row))
    best: Any = min(figures, key=figures.__getitem__)
    worst: Any = max(figures, key=figures.__getitem__)
    ratio = figures[worst] / figures[best]
    print(f"{ratio:.1f} times between {' over '.join(worst)} and {' over '.join(best)}\n")


if __name__ == "__main__":
    main()
