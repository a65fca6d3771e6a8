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
    Annotated,
    AudioDelta,
    BlockStarted,
    ChatEvent,
    Citation,
    Finished,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    ReplyNoted,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import (
    AllowedTools,
    Audio,
    ChatRequest,
    File,
    Grammar,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Reasoning,
    Refusal,
    Sampling,
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.chat.usage import TokenKinds, Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai.requests import thinks
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.dialects.openai_chat.messages import (
    ChatCompletionRequest,
    ChatMessage,
    TypedExtras,
)
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])
UPSTREAM = ChatUpstream("http://upstream.example/v1", include_usage=False)
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


# -- requests --------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
JSON_VALUE = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
OWN = {"type", "text", "image_url", "input_audio", "file", "function", "custom"}
OWN |= set(ChatMessage.__struct_fields__)
VENDOR = st.none() | st.dictionaries(
    WORD.filter(lambda key: key not in OWN),
    JSON_VALUE,
    min_size=1,
    max_size=2,
).map(lambda fields: Vendor("openai_chat", fields))
URL = WORD.map(lambda word: f"https://example.org/{word}") | st.just("data:image/png;base64,AA==")
MAYBE = st.none() | WORD
TEXT = st.builds(Text, st.just("") | WORD, VENDOR)
IMAGE = st.builds(Image, URL, st.none() | st.sampled_from(["low", "high", "auto"]), VENDOR)
BASE64 = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
FILE = st.builds(File, BASE64, MAYBE, MAYBE, VENDOR) | st.builds(
    File, st.none(), WORD, MAYBE, VENDOR
)
USER_PART = TEXT | IMAGE | st.builds(Audio, BASE64, st.sampled_from(["wav", "mp3"]), VENDOR) | FILE
DETAILS = st.lists(st.dictionaries(WORD, WORD, max_size=2), min_size=1, max_size=2).map(
    lambda value: Opaque("openai_chat", msgspec.json.encode(value).decode())
)
REASONING = st.builds(Reasoning, WORD) | st.builds(Reasoning, st.just("") | WORD, DETAILS)
CALL = (
    st.builds(ToolCall, WORD, WORD, st.just("") | WORD)
    | st.builds(ToolCall, WORD, WORD, WORD, st.just(Opaque("openai_chat", '{"google":{"x":1}}')))
    | st.builds(ToolCall, WORD, WORD, WORD, st.builds(Opaque, st.just("gemini"), WORD))
    | st.builds(ToolCall, WORD, WORD, st.just("") | WORD, st.none(), st.just(value=True))
)


def tuples(strategy: Any, **sizes: int) -> Any:
    return st.lists(strategy, **sizes).map(tuple)


ASSISTANT = st.tuples(
    tuples(REASONING, max_size=1),
    tuples(TEXT, max_size=2),
    tuples(st.builds(SpokenAnswer, WORD), max_size=1),
    tuples(st.builds(Refusal, WORD), max_size=1),
    tuples(CALL, max_size=3),
).map(lambda groups: tuple(part for group in groups for part in group))
MESSAGE = (
    st.builds(
        Message, st.sampled_from(["system", "developer"]), tuples(TEXT, max_size=2), MAYBE, VENDOR
    )
    | st.builds(Message, st.just("user"), tuples(USER_PART, max_size=3), MAYBE, VENDOR)
    | st.builds(Message, st.just("assistant"), ASSISTANT, MAYBE, VENDOR)
    | st.builds(
        Message,
        st.just("tool"),
        st.tuples(st.builds(ToolResult, WORD, tuples(TEXT, max_size=2))),
        MAYBE,
        VENDOR,
    )
)
SCHEMA = st.dictionaries(WORD, JSON_VALUE, max_size=3)
FUNCTION = st.builds(Tool, WORD, MAYBE, st.none() | SCHEMA, st.none() | st.booleans(), VENDOR)
GRAMMAR = st.builds(Grammar, st.sampled_from(["lark", "regex"]), WORD)
FREEFORM = st.builds(
    Tool,
    WORD,
    MAYBE,
    vendor=VENDOR,
    freeform=st.just(value=True),
    grammar=st.none() | GRAMMAR,
)
TOOL = FUNCTION | FREEFORM


def choices_among(tools: tuple[Tool, ...]) -> Any:
    """Choices of tools, by name: of what kind each is, its declaration tells."""
    name = WORD | st.sampled_from([tool.name for tool in tools])
    return (
        st.sampled_from([None, "auto", "none", "required"])
        | st.builds(NamedTool, name)
        | st.builds(AllowedTools, tuples(name, max_size=2), st.sampled_from(["auto", "required"]))
    )


KNOWN = {*ChatCompletionRequest.__struct_fields__, *TypedExtras.__struct_fields__}
EXTRAS = st.dictionaries(WORD.filter(lambda name: name not in KNOWN), JSON_VALUE, max_size=3)


OPTIONS = st.just({}) | st.builds(
    lambda value: {"stream_options": {"include_obfuscation": value}}, st.booleans()
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    stream = draw(st.booleans())
    tools = draw(tuples(TOOL, max_size=2))
    maybe = st.none()
    return ChatRequest(
        model=draw(WORD.filter(lambda name: not thinks(name))),  # whose limit has another name
        messages=draw(tuples(MESSAGE, min_size=1, max_size=5)),
        stream=stream,
        include_usage=stream and draw(st.booleans()),
        n=draw(st.integers(1, 128)),
        max_tokens=draw(maybe | st.integers(1, 10**6)),
        stop=draw(tuples(WORD, max_size=4)),
        sampling=Sampling(
            temperature=draw(maybe | st.floats(0, 2)),
            top_p=draw(maybe | st.floats(0, 1)),
            seed=draw(maybe | st.integers(-(2**62), 2**62)),
            presence_penalty=draw(maybe | st.floats(-2, 2)),
            frequency_penalty=draw(maybe | st.floats(-2, 2)),
        ),
        tools=tools,
        tool_choice=draw(choices_among(tools)) if tools else None,
        parallel_tool_calls=draw(maybe | st.booleans()) if tools else None,
        json=draw(
            maybe
            | st.just(JsonFormat())
            | st.builds(JsonFormat, maybe | SCHEMA, WORD, MAYBE, maybe | st.booleans())
        ),
        reasoning_effort=draw(maybe | st.sampled_from(["low", "high"])),
        user=draw(MAYBE),
        prompt_cache_key=draw(MAYBE),
        dialect="openai_chat",
        extras=draw(EXTRAS) | draw(OPTIONS if stream else st.just({})),
    )


@settings(max_examples=150)
@given(request=requests())
def test_what_the_upstream_encodes_the_door_decodes(request: ChatRequest) -> None:
    """A canonical request loses nothing on its way through this dialect's JSON."""
    call = UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds())
    assert DOOR.ask(HEAD, call.body).request() == request


@given(request=requests())
def test_equal_turns_give_equal_bytes(request: ChatRequest) -> None:
    """A longer conversation begins, upstream, with the very bytes of the shorter one."""
    body = UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body
    assert UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body == body
    more = (*request.messages, Message("user", (Text("and then?"),)))
    longer = UPSTREAM.encode(
        msgspec.structs.replace(request, messages=more), "m", ANONYMOUS, NoIds()
    ).body
    prefix = b'{"model":"m","messages":'
    messages = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["messages"]
    assert longer.startswith(prefix + bytes(messages)[:-1])


# -- replies ---------------------------------------------------------------------------------

PIECES = st.lists(WORD, min_size=1, max_size=3)
CALLED = st.tuples(
    WORD,
    WORD,
    st.booleans(),
    st.none()
    | st.just(Opaque("openai_chat", '{"google":{"x":1}}'))
    | st.builds(Opaque, st.just("gemini"), WORD),
)
LOGPROB = st.none() | st.floats(-100, 0)
RAW = st.none() | st.binary(max_size=3).map(tuple)
LIKELIEST = st.builds(TokenLogprob, WORD, LOGPROB, RAW)
LIKELY = st.lists(
    st.builds(TokenLogprob, WORD, LOGPROB, RAW, tuples(LIKELIEST, max_size=2)),
    min_size=1,
    max_size=2,
).map(tuple)
PLACE = st.integers(0, 99)
NOTES = st.lists(
    st.builds(Citation, WORD, WORD, PLACE, PLACE)
    | st.builds(Citation, WORD, WORD)
    | st.just(Opaque("openai_chat", '{"type":"file_citation","file":{"id":"f"}}')),
    max_size=2,
)
KINDS = st.builds(TokenKinds, *[st.none() | st.integers(0, 1000)] * 3)
NOTED = Opaque("openai_chat", '{"moderation":{"input":1},"metadata":{"a":"b"}}')


@st.composite
def choices(draw: st.DrawFn, index: int) -> list[ChatEvent]:
    """One choice, its blocks in the order a whole message keeps."""
    tracker = BlockTracker(index)
    events: list[ChatEvent] = []
    for kind in ("reasoning", "text", "audio", "refusal"):
        if draw(st.booleans()):
            for piece in draw(PIECES):
                given = AudioDelta(piece, piece[::-1]) if kind == "audio" else piece
                events += getattr(tracker, kind)(given)
                if kind == "text" and draw(st.booleans()):
                    events.append(LogprobsReported(draw(LIKELY), (), index))
                if kind == "refusal" and draw(st.booleans()):
                    events.append(LogprobsReported((), draw(LIKELY), index))
        if kind == "text":
            events += [Annotated(note, index) for note in draw(NOTES)]
        if kind == "audio" and tracker.open_kind == "audio":
            events += tracker.audio(AudioDelta(id=draw(WORD), expires_at=draw(st.integers(1))))
    calls = draw(st.lists(CALLED, max_size=3, unique_by=lambda call: call[0]))
    for call_id, name, freeform, opaque in calls:
        events += tracker.tool_call(call_id, name, freeform=freeform, opaque=opaque)
        for piece in draw(st.lists(WORD, max_size=3)):
            events += tracker.arguments(piece)
    reasons = ["tool_calls", "length"] if calls else ["stop", "length", "content_filter"]
    return events + tracker.finish(draw(st.sampled_from(reasons)))


@st.composite
def replies(draw: st.DrawFn) -> list[ChatEvent]:
    """A whole reply: choices interleaved, usage at the end."""
    rows = [draw(choices(index)) for index in range(draw(st.integers(1, 3)))]
    order = draw(st.permutations([i for i, row in enumerate(rows) for _ in row]))
    turns = [iter(row) for row in rows]
    tier = draw(st.sampled_from(["", "flex"]))
    events: list[ChatEvent] = [Started(draw(WORD), tier, draw(st.just("") | WORD))]
    events += [next(turns[index]) for index in order]
    counts = st.integers(0, 1000)
    usage = draw(
        st.none()
        | st.builds(
            Usage,
            counts,
            counts,
            st.none() | counts,
            st.none() | counts,
            st.none() | counts,
            st.just("reported"),
            st.none() | counts,
            st.none() | counts,
            KINDS,
            KINDS,
        )
    )
    if draw(st.booleans()):
        events.append(ReplyNoted(NOTED))
    return events + ([UsageReported(usage)] if usage is not None else [])


def meaning(events: list[ChatEvent]) -> dict[Any, Any]:
    """What a reply says: model, usage, and of each choice its joined blocks and its end."""
    said: dict[Any, Any] = {}
    for event in events:
        match event:
            case Started():
                said["model"] = event
            case ReplyNoted(fields):
                said["noted"] = fields
            case UsageReported(usage):
                said["usage"] = usage
            case BlockStarted(_, kind, choice, tool_id, name, freeform, opaque):
                said.setdefault(choice, []).append([kind, tool_id, name, "", freeform, opaque])
            case AudioDelta(sound, transcript, choice, audio_id, expires_at):
                block = said[choice][-1]
                block[3] += sound
                block[2] += transcript
                block[1] += audio_id
                block[4] = expires_at or block[4]
            case Annotated(note, choice):
                said.setdefault(f"notes {choice}", []).append(note)
            case LogprobsReported(text, refused, choice):
                likely = said.setdefault(f"logprobs {choice}", [[], []])
                likely[0] += text
                likely[1] += refused
            case TextDelta(piece, choice) | ReasoningDelta(piece, choice):
                said[choice][-1][3] += piece
            case RefusalDelta(piece, choice) | ToolCallDelta(piece, choice):
                said[choice][-1][3] += piece
            case Finished(reason, choice):
                said.setdefault(choice, []).append(reason)
    for choice, blocks in said.items():
        for block in blocks if isinstance(choice, int) else ():
            if block[0] == "tool_call":  # no arguments are sent as an empty object
                block[3] = block[3] or ("" if block[4] else "{}")
    return said


def asking(**fields: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return DOOR.ask(HEAD, msgspec.json.encode(body))


def decoded(chunks: list[bytes], head: ReplyHead) -> list[ChatEvent]:
    decoder = UPSTREAM.decoder(asking().request(), head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.eof()
    assert decoder.fault is None
    assert decoder.done
    return events


@settings(max_examples=100)
@given(reply=replies(), data=st.data())
def test_a_stream_the_door_encodes_the_upstream_decodes(
    reply: list[ChatEvent], data: st.DataObject
) -> None:
    """However reads fall on either side, the reply means the same after the wire."""
    asked = asking(stream=True, stream_options={"include_usage": True})
    encoder = DOOR.reply(asked, Stamp("0f", 1_700_000_000))
    reads = sorted(data.draw(st.sets(st.integers(0, len(reply)), max_size=5)) | {0, len(reply)})
    stream = b"".join(encoder.feed(reply[a:b]) for a, b in pairwise(reads)) + encoder.end()
    assert meaning(decoded([stream], SSE)) == meaning(reply)
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=9))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert meaning(decoded(pieces, SSE)) == meaning(reply)


@given(reply=replies())
def test_a_whole_reply_the_door_encodes_the_upstream_decodes(reply: list[ChatEvent]) -> None:
    """The object of a reply that is not streamed means what its events meant."""
    whole = DOOR.reply(asking(), Stamp("0f", 1_700_000_000)).complete(reply)
    assert whole.status == 200
    assert meaning(decoded([whole.body], JSON)) == meaning(reply)
