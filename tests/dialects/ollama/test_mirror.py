"""The two sides hold each other: what one encodes the other decodes to an equal value."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    ChatEvent,
    LogprobsReported,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import (
    ChatRequest,
    Image,
    JsonFormat,
    Message,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.ollama.door import CHAT_DOOR
from chatgpt_to_api.dialects.ollama.messages import OllamaChatRequest, OllamaOptions
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream import OllamaUpstream
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/api/chat", b"", [])
UPSTREAM = OllamaUpstream(OllamaServer("http://upstream.example:11434"))
STREAM = ReplyHead(200, [(b"content-type", b"application/x-ndjson")])
JSON = ReplyHead(200, [(b"content-type", b"application/json; charset=utf-8")])
STAMP = Stamp("0a1b2c3d-0000-4000-8000-000000000000", 1700000000)


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


# -- requests --------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = WORD.filter(lambda name: not name.endswith(":latest"))
JSON_VALUE = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(WORD, JSON_VALUE, max_size=3)
ARGUMENTS = OBJECT.map(lambda value: msgspec.json.encode(value).decode())
PICTURE = st.sampled_from(["\x89PNG\r\n\x1a\n", "GIF89a"]).map(
    lambda start: base64.b64encode(start.encode("latin-1") + b"xyz").decode()
)
IMAGE = PICTURE.map(
    lambda data: Image(f"data:image/{'gif' if data.startswith('R0') else 'png'};base64,{data}")
)
MAYBE = st.none() | WORD


def tuples(strategy: Any, **sizes: int) -> Any:
    return st.lists(strategy, **sizes).map(tuple)


def joined(*parts: Any) -> Any:
    return st.tuples(*parts).map(lambda groups: tuple(part for group in groups for part in group))


SAID = tuples(st.builds(Text, WORD), max_size=1)
SHOWN = tuples(IMAGE, max_size=2)
THOUGHT = tuples(st.builds(Reasoning, WORD), max_size=1)
CALLS = tuples(st.builds(ToolCall, WORD, WORD, ARGUMENTS), max_size=3)
MESSAGE = (
    st.builds(Message, st.sampled_from(["system", "user"]), joined(SAID, SHOWN))
    | st.builds(Message, st.just("assistant"), joined(THOUGHT, SAID, CALLS))
    | st.builds(Message, st.just("tool"), st.tuples(st.builds(ToolResult, WORD, SAID)))
)
TOOL = st.builds(Tool, WORD, MAYBE, st.none() | OBJECT)
OPTIONS = st.dictionaries(
    WORD.filter(lambda name: name not in OllamaOptions.__struct_fields__), JSON_VALUE, max_size=2
).map(lambda options: {f"options.{name}": value for name, value in options.items()})
EXTRAS = st.dictionaries(
    WORD.filter(
        lambda name: (
            name not in OllamaChatRequest.__struct_fields__ and not name.startswith("options.")
        )
    ),
    JSON_VALUE,
    max_size=2,
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    maybe = st.none()
    think = draw(st.sampled_from([None, True, False, "low", "high"]))
    thinking: dict[str, Any] = {} if think is None else {"think": think}
    return ChatRequest(
        model=draw(NAME),
        messages=draw(tuples(MESSAGE, min_size=1, max_size=5)),
        stream=draw(st.booleans()),
        include_usage=True,
        max_tokens=draw(maybe | st.integers(1, 10**6)),
        stop=draw(tuples(WORD, max_size=3)),
        sampling=Sampling(
            temperature=draw(maybe | st.floats(0, 2)),
            top_p=draw(maybe | st.floats(0, 1)),
            seed=draw(maybe | st.integers(-(2**62), 2**62)),
            presence_penalty=draw(maybe | st.floats(-2, 2)),
            frequency_penalty=draw(maybe | st.floats(-2, 2)),
            top_k=draw(maybe | st.integers(0, 1000)),
        ),
        tools=draw(tuples(TOOL, max_size=2)),
        json=draw(maybe | st.just(JsonFormat()) | st.builds(JsonFormat, OBJECT)),
        reasoning_effort="medium" if think is True else think or None,
        reasoning_budget=0 if think is False else None,
        dialect="ollama",
        extras=draw(EXTRAS) | draw(OPTIONS) | thinking,
    )


@settings(max_examples=150)
@given(request=requests())
def test_what_the_upstream_encodes_the_door_decodes(request: ChatRequest) -> None:
    """A canonical request loses nothing on its way through this dialect's JSON."""
    call = UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds())
    decoded = CHAT_DOOR.ask(HEAD, call.body).request()
    assert msgspec.structs.replace(decoded, own_names={}) == request


@given(request=requests())
def test_equal_turns_give_equal_bytes(request: ChatRequest) -> None:
    """Trap 65: a longer chat begins, upstream, with the very bytes of the shorter one."""
    body = UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body
    assert UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body == body
    more = (*request.messages, Message("user", (Text("and then?"),)))
    longer = UPSTREAM.encode(
        msgspec.structs.replace(request, messages=more), "m", ANONYMOUS, NoIds()
    ).body
    messages = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["messages"]
    assert longer.startswith(b'{"model":"m","messages":' + bytes(messages)[:-1])


# -- replies ---------------------------------------------------------------------------------

LIKELIEST = st.builds(TokenLogprob, WORD, st.floats(-99, 0), st.none() | st.just((1, 2)))
LIKELY = st.builds(TokenLogprob, WORD, st.floats(-99, 0), st.none(), tuples(LIKELIEST, max_size=2))


@st.composite
def replies(draw: st.DrawFn) -> list[ChatEvent]:
    """A reply, its blocks in the order a whole message keeps."""
    tracker = BlockTracker()
    events: list[ChatEvent] = [Started(draw(NAME))]
    for piece in draw(st.lists(WORD, max_size=3)):
        events += tracker.reasoning(piece)
    for piece in draw(st.lists(WORD, max_size=3)):
        events += tracker.text(piece)
    calls = draw(st.lists(st.tuples(WORD, WORD, ARGUMENTS), max_size=2))
    for tool_id, name, arguments in calls:
        events += tracker.tool_call(tool_id, name)
        events += tracker.arguments(arguments)
        events += tracker.end_block()
    likely = draw(tuples(LIKELY, max_size=2))
    if likely:
        events.append(LogprobsReported(likely))
    reasons = ["length", "content_filter", "tool_calls" if calls else "stop"]
    events += tracker.finish(draw(st.sampled_from(reasons)))  # type: ignore[arg-type]
    if draw(st.booleans()):
        counts = draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
        events.append(UsageReported(Usage(*counts, source="reported")))
    return events


def meaning(events: list[ChatEvent]) -> list[ChatEvent]:
    """The events with adjacent pieces joined: how text is cut up means nothing."""
    joined: list[ChatEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        match last, event:
            case (TextDelta(a), TextDelta(b)) | (ReasoningDelta(a), ReasoningDelta(b)):
                joined[-1] = type(event)(a + b)
            case ToolCallDelta(a), ToolCallDelta(b):
                joined[-1] = ToolCallDelta(a + b)
            case _:
                joined.append(event)
    return joined


def asked(model: str, *, stream: bool) -> Any:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    return CHAT_DOOR.ask(HEAD, msgspec.json.encode(body))


def decode(head: ReplyHead, chunks: list[bytes]) -> list[ChatEvent]:
    decoder = UPSTREAM.decoder(ChatRequest(model="m", messages=()), head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [*events, *decoder.eof()]


@settings(max_examples=150)
@given(events=replies(), data=st.data())
def test_what_the_door_streams_the_upstream_decodes(
    events: list[ChatEvent], data: st.DataObject
) -> None:
    """However the events and then the bytes are cut, the meaning is the same."""
    started = events[0]
    assert isinstance(started, Started)
    encoder = CHAT_DOOR.reply(asked(started.model, stream=True), STAMP)
    at = data.draw(st.integers(0, len(events)))
    body = encoder.feed(events[:at]) + encoder.feed(events[at:]) + encoder.end()
    cuts = data.draw(st.sets(st.integers(0, len(body)), max_size=8))
    chunks = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    assert meaning(decode(STREAM, chunks)) == meaning(events)


@given(events=replies())
def test_what_the_door_gives_whole_the_upstream_decodes(events: list[ChatEvent]) -> None:
    """A whole reply says what its stream would have said."""
    started = events[0]
    assert isinstance(started, Started)
    reply = CHAT_DOOR.reply(asked(started.model, stream=False), STAMP).complete(events)
    assert reply.status == 200
    assert meaning(decode(JSON, [reply.body])) == meaning(events)
