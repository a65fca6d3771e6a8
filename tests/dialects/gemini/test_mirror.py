"""The two sides hold each other: what one encodes the other decodes to an equal value."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    BlockStarted,
    ChatEvent,
    Citation,
    Finished,
    LogprobsReported,
    ReasoningDelta,
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
    Foreign,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.chat.usage import TokenKinds, Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.gemini.door import DOOR, GenerateAsked
from chatgpt_to_api.dialects.gemini.door_turns import signed
from chatgpt_to_api.dialects.gemini.thinking import DYNAMIC, INCLUDE
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

UPSTREAM = GeminiUpstream("http://upstream.example/v1beta")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json; charset=UTF-8")])


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


def at_the_door(call: HttpRequest) -> GenerateAsked:
    """What the door makes of a call of the upstream."""
    path, _, query = call.target.partition(b"?")
    return DOOR.ask(RequestHead("POST", unquote(path.decode()), query, []), call.body)


# -- requests --------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
JSON_VALUE = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
FIELD = WORD.map(lambda word: "x" + word.replace("_", "-"))
FIELDS = st.dictionaries(FIELD, JSON_VALUE, min_size=1, max_size=2)
VENDOR = st.none() | FIELDS.map(lambda fields: Vendor("gemini", fields))
BASE64 = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
TEXT = st.builds(Text, WORD, VENDOR)
IMAGE = st.builds(
    Image,
    BASE64.map(lambda data: f"data:image/webp;base64,{data}")
    | st.just("https://example.org/a.png?b=1"),
    vendor=VENDOR,
)
AUDIO = st.builds(Audio, BASE64, st.sampled_from(["wav", "mp3", "flac"]), VENDOR)
FILE = st.builds(
    File, BASE64.map(lambda data: f"data:application/pdf;base64,{data}"), vendor=VENDOR
) | st.builds(File, url=st.just("https://example.org/files/abc"), vendor=VENDOR)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", fullmatch=True)
SIGNATURE = st.none() | st.builds(Opaque, st.just("gemini"), WORD)
ARGUMENTS = st.dictionaries(WORD, JSON_VALUE, max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)
FOREIGN = WORD.map(signed) | st.just(
    Foreign(Opaque("gemini", '{"executableCode":{"language":"PYTHON","code":"1"}}'))
)


def tuples(strategy: Any, **sizes: int) -> Any:
    return st.lists(strategy, **sizes).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Instructions, turns, and after each turn with calls all their results."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", draw(tuples(TEXT, min_size=1, max_size=2))))
    count = 0
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            parts = draw(tuples(TEXT | IMAGE | AUDIO | FILE, min_size=1, max_size=3))
            messages.append(Message("user", parts))
            continue
        said = draw(st.lists(TEXT | FOREIGN | st.builds(Reasoning, WORD, SIGNATURE), max_size=3))
        calls = []
        for name in draw(st.lists(NAME, max_size=3)):
            count += 1
            call_id = f"id {count}"
            calls.append(ToolCall(call_id, name, draw(ARGUMENTS), draw(SIGNATURE)))
        if not said and not calls:
            continue
        messages.append(Message("assistant", (*said, *calls)))
        if calls:
            results = [
                ToolResult(call.id, draw(tuples(RESULT, max_size=1)), draw(st.booleans()))
                for call in calls
            ]
            messages.append(Message("tool", tuple(results)))
    if not any(message.role != "system" for message in messages):
        messages.append(Message("user", (Text("hi"),)))
    return tuple(messages)


RESULT = st.builds(Text, WORD | ARGUMENTS)
LEAF = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean", ["string", "null"]])},
    optional={"description": WORD},
)
ENUM = st.builds(
    lambda values, null: {
        "type": ["string", "null"] if null else "string",
        "enum": [*values, None] if null else values,
    },
    st.lists(WORD, min_size=1, max_size=3),
    st.booleans(),
)
SCHEMA = st.recursive(
    LEAF | ENUM,
    lambda inner: (
        st.dictionaries(WORD, inner, min_size=1, max_size=3).map(
            lambda fields: {"type": "object", "properties": fields, "required": list(fields)[:1]}
        )
        | inner.map(lambda item: {"type": "array", "items": item, "minItems": 1})
        | st.lists(inner, min_size=2, max_size=3).map(lambda some: {"anyOf": some})
    ),
    max_leaves=5,
)
OBJECT = st.dictionaries(WORD, SCHEMA, min_size=1, max_size=3).map(
    lambda fields: {"type": "object", "properties": fields}
)
TOOL = st.builds(Tool, NAME, st.none() | WORD, st.none() | OBJECT, vendor=VENDOR)
CHOICE = (
    st.sampled_from([None, "auto", "none", "required"])
    | st.builds(NamedTool, NAME)
    | st.builds(AllowedTools, tuples(NAME, min_size=2, max_size=3), st.just("required"))
    | st.builds(AllowedTools, tuples(NAME, min_size=1, max_size=3), st.just("auto"))
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "safetySettings": st.just([{"category": "A", "threshold": "B"}]),
        "cachedContent": WORD,
        "tools": st.just([{"googleSearch": {}}]),
        "toolConfig.retrievalConfig": FIELDS,
        "generationConfig.speechConfig": FIELDS,
        "generationConfig.responseModalities": st.just(["TEXT"]),
        INCLUDE: st.booleans(),
        "newField": JSON_VALUE,
    },
)
NAMES = (
    DOOR.ask(
        RequestHead("POST", "/v1beta/models/m:generateContent", b"", []),
        b'{"contents":[{"parts":[{"text":"hi"}]}]}',
    )
    .request()
    .own_names
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = draw(tuples(TOOL, max_size=2))
    extras = draw(EXTRAS)
    effort, budget = None, None
    by_level = draw(st.booleans())
    if by_level:
        effort = draw(st.none() | st.sampled_from(["low", "medium", "high"]))
    elif draw(st.booleans()):
        budget = draw(st.none() | st.integers(0, 30000))
    else:
        extras[DYNAMIC] = -1
    maybe = st.none()
    return ChatRequest(
        model="gemini-3-flash" if by_level else "gemini-2.5-flash",
        messages=draw(conversations()),
        stream=draw(st.booleans()),
        include_usage=True,
        n=draw(st.integers(1, 8)),
        max_tokens=draw(maybe | st.integers(1, 10**6)),
        stop=draw(tuples(WORD, max_size=4)),
        sampling=Sampling(
            temperature=draw(maybe | st.floats(0, 2)),
            top_p=draw(maybe | st.floats(0, 1)),
            seed=draw(maybe | st.integers(-(2**31), 2**31 - 1)),
            presence_penalty=draw(maybe | st.floats(-2, 2)),
            frequency_penalty=draw(maybe | st.floats(-2, 2)),
            top_k=draw(maybe | st.integers(1, 100)),
        ),
        tools=tools,
        tool_choice=draw(CHOICE) if tools else None,
        json=draw(maybe | st.just(JsonFormat()) | st.builds(JsonFormat, OBJECT)),
        reasoning_effort=effort,
        reasoning_budget=budget,
        dialect="gemini",
        extras=extras,
        own_names=NAMES,
    )


@settings(max_examples=80)
@given(request=requests())
def test_what_the_upstream_encodes_the_door_decodes(request: ChatRequest) -> None:
    """A canonical request loses nothing on its way through this dialect's JSON."""
    call = UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds())
    assert at_the_door(call).request() == request
    assert UPSTREAM.ignored(request) == ()


@settings(max_examples=30)
@given(request=requests())
def test_equal_turns_give_equal_bytes(request: ChatRequest) -> None:
    """Trap 65: a longer conversation begins, upstream, with the bytes of the shorter one."""
    body = UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body
    assert UPSTREAM.encode(request, "m", ANONYMOUS, NoIds()).body == body
    more = (*request.messages, Message("user", (Text("and then?"),)))
    longer = UPSTREAM.encode(
        msgspec.structs.replace(request, messages=more), "m", ANONYMOUS, NoIds()
    ).body
    turns = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["contents"])
    end = body.index(b'"contents":' + turns) + len(b'"contents":' + turns)
    assert longer.startswith(body[: end - 1])


# -- replies ---------------------------------------------------------------------------------

PIECES = st.lists(WORD, min_size=1, max_size=3)
LOGPROB = st.none() | st.floats(-100, 0)
LIKELIEST = st.builds(TokenLogprob, WORD, LOGPROB)
LIKELY = st.builds(TokenLogprob, WORD, LOGPROB, st.none(), tuples(LIKELIEST, max_size=2))
NOTE = Opaque("gemini", '{"citationMetadata":{"citationSources":[{"uri":"https://a.example"}]}}')
KINDS = st.builds(TokenKinds, *[st.none() | st.integers(0, 1000)] * 3)


@st.composite
def choices(draw: st.DrawFn, index: int) -> list[ChatEvent]:
    """One candidate: thoughts, words, calls and this dialect's own parts in any order."""
    tracker = BlockTracker(index)
    events: list[ChatEvent] = []
    called = said = False
    kinds = st.sampled_from(["reasoning", "text", "call", "foreign"])
    for kind in draw(st.lists(kinds, min_size=1, max_size=5)):
        said = said or kind in ("text", "call")
        match kind:
            case "reasoning":
                for piece in draw(PIECES):
                    events += tracker.reasoning(piece)
                seal = draw(SIGNATURE)
                if seal is not None:
                    events += tracker.reasoning("", seal)
            case "text":
                for piece in draw(PIECES):
                    events += tracker.text(piece)
            case "foreign":
                events += tracker.foreign(draw(FOREIGN).opaque)
            case _:
                called = True
                events += tracker.tool_call(draw(WORD), draw(WORD), opaque=draw(SIGNATURE))
                events += tracker.arguments(draw(ARGUMENTS))
                events += tracker.end_block()
    if draw(st.booleans()):
        tokens = draw(tuples(LIKELY, min_size=1, max_size=2))
        events.append(LogprobsReported(tokens, choice=index))
    if draw(st.booleans()):
        events.append(Annotated(NOTE, index))
    reasons = ["tool_calls", "length"] if called else ["stop", "length", "content_filter"]
    if not said:
        reasons = ["length"]
    return events + tracker.finish(draw(st.sampled_from(reasons)))


@st.composite
def replies(draw: st.DrawFn) -> list[ChatEvent]:
    """A whole reply: candidates interleaved, usage at the end."""
    rows = [draw(choices(index)) for index in range(draw(st.integers(1, 3)))]
    order = draw(st.permutations([i for i, row in enumerate(rows) for _ in row]))
    turns = [iter(row) for row in rows]
    events: list[ChatEvent] = [Started(draw(WORD))]
    events += [next(turns[index]) for index in order]
    counts = st.integers(0, 1000)
    usage = draw(
        st.none()
        | st.builds(
            lambda fresh, written, read, thought, prompt, output: Usage(
                input=fresh,
                output=written + (thought or 0),
                cache_read=read,
                reasoning=thought,
                source="reported",
                prompt_kinds=prompt,
                output_kinds=output,
            ),
            counts,
            counts,
            st.none() | counts,
            st.none() | counts,
            KINDS,
            KINDS,
        )
    )
    return events + ([UsageReported(usage)] if usage is not None else [])


def meaning(events: list[ChatEvent]) -> dict[Any, Any]:
    """What a reply says: model, usage, and of each candidate its joined blocks and its end."""
    said: dict[Any, Any] = {}
    for event in events:
        match event:
            case Started(model):
                said["model"] = model
            case UsageReported(usage):
                said["usage"] = usage
            case BlockStarted(_, kind, choice, tool_id, name, _, opaque):
                blocks = said.setdefault(choice, [])
                same = blocks and blocks[-1][0] == kind and kind in ("text", "reasoning")
                if not same or blocks[-1][4] is not None:
                    blocks.append([kind, tool_id, name, "", opaque])
            case TextDelta(piece, choice) | ToolCallDelta(piece, choice):
                said[choice][-1][3] += piece
            case ReasoningDelta(piece, choice, opaque):
                if said[choice][-1][4] is not None:
                    said[choice].append(["reasoning", "", "", "", None])
                said[choice][-1][3] += piece
                said[choice][-1][4] = opaque
            case Annotated(note, choice):
                said.setdefault(f"notes {choice}", []).append(note)
            case LogprobsReported(tokens, _, choice):
                said.setdefault(f"logprobs {choice}", []).extend(tokens)
            case Finished(reason, choice):
                said.setdefault(choice, []).append([reason])
    return said


def asking(alt: bytes = b"alt=sse", **config: Any) -> GenerateAsked:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}, **config},
    }
    path = "/v1beta/models/m:streamGenerateContent"
    return DOOR.ask(RequestHead("POST", path, alt, []), msgspec.json.encode(body))


def decoded(chunks: list[bytes], head: ReplyHead) -> list[ChatEvent]:
    decoder = UPSTREAM.decoder(asking().request(), head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.eof()
    assert decoder.fault is None
    assert decoder.done
    return events


@settings(max_examples=80)
@given(reply=replies(), alt=st.sampled_from([b"alt=sse", b""]), data=st.data())
def test_what_the_door_streams_the_upstream_decodes(
    reply: list[ChatEvent], alt: bytes, data: st.DataObject
) -> None:
    """Traps 1 and 59: in both framings, however the events are grouped and the bytes are cut."""
    asked = asking(alt)
    encoder = DOOR.reply(asked, Stamp("0123456789abcdef" * 2, 1))
    groups = sorted(data.draw(st.sets(st.integers(0, len(reply)))))
    pieces = [encoder.feed(reply[a:b]) for a, b in pairwise([0, *groups, len(reply)])]
    body = b"".join(pieces) + encoder.end()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=20)))
    chunks = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
    head = SSE if alt else JSON
    assert dict(encoder.headers())[b"content-type"].split(b";")[0].decode() == head.content_type
    assert meaning(decoded(chunks, head)) == meaning(reply)


@settings(max_examples=40)
@given(reply=replies())
def test_what_the_door_gives_whole_the_upstream_decodes(reply: list[ChatEvent]) -> None:
    """The same without a stream."""
    encoder = DOOR.reply(asking(), Stamp("0123456789abcdef" * 2, 1))
    answer = encoder.complete(reply)
    assert answer.status == 200
    assert meaning(decoded([answer.body], JSON)) == meaning(reply)


@pytest.mark.parametrize("stream", [False, True])
def test_a_citations_place_is_bytes_on_the_wire_and_characters_here(stream: bool) -> None:
    """In any script; the vendor counts bytes, everybody else characters."""
    note = Citation("https://a.example", "A", 7, 9)
    tracker = BlockTracker()
    reply = [Started("m"), *tracker.text("Grüße, "), *tracker.text("日本!"), Annotated(note)]
    encoder = DOOR.reply(asking(), Stamp("0123456789abcdef" * 2, 1))
    reply += tracker.finish("stop")
    if stream:
        body = b"".join(encoder.feed([event]) for event in reply) + encoder.end()
    else:
        body = encoder.complete(reply).body
    assert b'"segment":{"startIndex":9,"endIndex":15}' in body
    notes = [e.note for e in decoded([body], SSE if stream else JSON) if isinstance(e, Annotated)]
    assert notes[-1] == note


@pytest.mark.parametrize("model", ["a/b", "llama3:8b", "tuned models", "ü?#&", "models"])
def test_any_models_name_fits_into_the_path(model: str) -> None:
    """Slashes, colons, blanks and signs that mean something in a URL."""
    request = ChatRequest(model=model, messages=(Message("user", (Text("hi"),)),))
    call = UPSTREAM.encode(request, model, ANONYMOUS, NoIds())
    assert at_the_door(call).model == model
