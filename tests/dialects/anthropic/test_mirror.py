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
    BlockStarted,
    ChatEvent,
    Citation,
    Finished,
    ReasoningDelta,
    ReplyNoted,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import (
    ChatRequest,
    File,
    Foreign,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Part,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.door import DOOR
from chatgpt_to_api.dialects.anthropic.door_request import _OWN_NAMES, cache_key
from chatgpt_to_api.dialects.anthropic.messages import DIALECT
from chatgpt_to_api.dialects.anthropic.seals import (
    data_seal,
    sealed_thought,
    signature_seal,
    signed_thought,
)
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/v1/messages", b"", [])
UPSTREAM = MessagesUpstream("http://upstream.example")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])
MODEL = "claude-opus-4-8"
STAMP = Stamp("0f", 1_700_000_000)


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


# -- requests --------------------------------------------------------------------------------

CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Z", "C"))
WORD = st.text(CHARACTERS, min_size=1, max_size=12)
ID = st.from_regex(r"\A[a-zA-Z0-9_-]{1,20}\Z")
CACHE = st.none() | st.just(Vendor(DIALECT, {"cache_control": {"type": "ephemeral"}}))
TEXT = st.builds(Text, WORD, CACHE)
URL = WORD.map(lambda word: f"https://example.org/{word}")
PICTURE = st.just("data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nxx").decode())
IMAGE = st.builds(Image, URL | PICTURE, st.none(), CACHE)
PDF = st.binary(min_size=1, max_size=9).map(
    lambda data: "data:application/pdf;base64," + base64.b64encode(data).decode()
)
DOCUMENT = st.none() | st.just(
    Vendor(DIALECT, {"citations": {"enabled": True}, "context": "of the year"})
)
FILE = st.builds(File, PDF, st.none(), st.none() | WORD, DOCUMENT) | st.builds(
    File, st.none(), st.none(), st.none() | WORD, DOCUMENT, URL
)
FILED = st.builds(
    lambda file_id, kind: File(file_id=file_id, vendor=Vendor(DIALECT, {"type": kind})),
    WORD,
    st.sampled_from(["image", "document"]),
)
PLAIN_DOCUMENT = st.builds(
    lambda text: Text(
        text,
        Vendor(
            DIALECT,
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain"},
                "title": "t",
            },
        ),
    ),
    WORD,
)
FOUND = st.builds(
    lambda text, title: Text(
        f"{title} (s)\n\n{text}",
        Vendor(
            DIALECT,
            {
                "type": "search_result",
                "source": "s",
                "title": title,
                "content": [{"type": "text", "text": text}],
            },
        ),
    ),
    WORD,
    WORD,
)


def tuples(strategy: Any, **sizes: int) -> Any:
    return st.lists(strategy, **sizes).map(tuple)


RESULT_PART = TEXT | IMAGE | FILE | FOUND | PLAIN_DOCUMENT
USER = tuples(TEXT | IMAGE | FILE | FILED | PLAIN_DOCUMENT | FOUND, min_size=1, max_size=3)
SERVED = st.just(
    Foreign(
        Opaque(
            DIALECT, '{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}'
        )
    )
)
THOUGHT = st.builds(signed_thought, WORD, WORD) | st.builds(sealed_thought, WORD)
INPUT = st.dictionaries(WORD, WORD | st.integers(-9, 9), max_size=2).map(
    lambda value: msgspec.json.encode(value).decode()
)


@st.composite
def episodes(draw: st.DrawFn) -> tuple[list[Message], int]:
    """A user's turn, the assistant's, and the results of the calls in it; ids count up."""
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 3))):
        said: list[Part] = [*draw(tuples(THOUGHT, max_size=2)), *draw(tuples(TEXT, max_size=2))]
        said += draw(tuples(SERVED, max_size=1))
        calls = [
            ToolCall(f"call-{number}-{at}", draw(ID), draw(INPUT), vendor=draw(CACHE))
            for at in range(draw(st.integers(0, 2)))
        ]
        said += calls
        said += draw(tuples(TEXT, max_size=1))  # Trap 40: words may follow calls
        messages.append(Message("user", draw(USER)))
        if draw(st.booleans()):  # a system turn in the middle stays where it is
            messages.append(Message("system", draw(tuples(TEXT, min_size=1, max_size=2))))
        messages.append(Message("assistant", tuple(said) or (Text("."),)))
        if calls:
            results = tuple(
                ToolResult(
                    call.id, draw(tuples(RESULT_PART, max_size=2)), draw(st.booleans()), draw(CACHE)
                )
                for call in calls
            )
            messages.append(Message("tool", results))
            messages.append(Message("assistant", (Text("done"),)))
    messages.append(Message("user", draw(USER)))
    return messages, 0


SCHEMA = st.dictionaries(WORD.filter(lambda key: key != "type"), WORD, max_size=2).map(
    lambda fields: {"type": "object", **fields}
)
TOOL = st.builds(Tool, ID, st.none() | WORD, SCHEMA, st.none() | st.booleans(), CACHE)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "context_management": st.just({"edits": []}),
        "service_tier": st.just("auto"),
        "container": st.just("c"),
        "thinking": st.just({"type": "adaptive", "display": "omitted"}),
        "tools": st.just([{"type": "web_search_20250305", "name": "web_search"}]),
        "brand_new": st.integers(0, 9),
    },
)
BILLING = Foreign(
    Opaque(DIALECT, '{"type":"text","text":"x-anthropic-billing-header: cc_version=1; cch=ab"}')
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = draw(st.lists(TOOL, max_size=3, unique_by=lambda tool: tool.name).map(tuple))
    choice = draw(st.sampled_from([None, "auto", "none"]))
    if tools and draw(st.booleans()):
        choice = draw(st.sampled_from(["required", NamedTool(tools[0].name)]))
    extras = draw(EXTRAS)
    forced = choice == "required" or isinstance(choice, NamedTool)
    budget = None
    if forced:  # a model that thinks refuses to be forced: only one of the two is ever sent
        extras.pop("thinking", None)
    elif "thinking" not in extras:
        budget = draw(st.none() | st.just(0) | st.integers(1024, 9000))
    if not (tools or "tools" in extras):
        choice = None
    parallel = None
    if choice != "none":
        parallel = draw(st.none() | st.booleans()) if tools else None
    if parallel is not None and choice is None:
        choice = "auto"
    messages, _ = draw(episodes())
    opening = draw(tuples(st.just(BILLING), max_size=1)) + draw(tuples(TEXT, max_size=2))
    system = [Message("system", opening)] if opening else []
    user = draw(st.none() | WORD)
    return ChatRequest(
        model=MODEL,
        messages=(*system, *messages),
        stream=draw(st.booleans()),
        include_usage=True,
        max_tokens=draw(st.integers(9001, 99999)),
        stop=draw(tuples(WORD, max_size=3)),
        sampling=Sampling(),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        json=draw(st.none() | st.builds(lambda schema: JsonFormat(schema, strict=True), SCHEMA)),
        reasoning_effort=draw(st.none() | st.sampled_from(["low", "max"])),
        reasoning_budget=budget,
        user=user,
        prompt_cache_key=cache_key((user or "").encode()),
        dialect=DIALECT,
        extras=extras,
        own_names=_OWN_NAMES,
        names_stop=True,
        counts_first=True,
    )


@settings(max_examples=200)
@given(request=requests())
def test_what_the_upstream_encodes_the_door_decodes(request: ChatRequest) -> None:
    """A canonical request loses nothing on its way through this dialect's JSON."""
    call = UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds())
    assert DOOR.ask(HEAD, call.body).request() == request
    assert UPSTREAM.ignored(request) == ()


@given(request=requests())
def test_equal_turns_give_equal_bytes(request: ChatRequest) -> None:
    """Trap 65: a longer conversation begins, upstream, with the very bytes of the shorter one."""
    body = UPSTREAM.encode(request, MODEL, ANONYMOUS, NoIds()).body
    assert UPSTREAM.encode(request, MODEL, ANONYMOUS, NoIds()).body == body
    more = (*request.messages, Message("assistant", (Text("yes"),)), Message("user", (Text("x"),)))
    longer = UPSTREAM.encode(
        msgspec.structs.replace(request, messages=more), MODEL, ANONYMOUS, NoIds()
    ).body
    turns = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["messages"]
    at = body.index(b'"messages":')
    assert longer.startswith(body[:at] + b'"messages":' + bytes(turns)[:-1])


# -- replies ---------------------------------------------------------------------------------

PIECES = st.lists(WORD, min_size=1, max_size=3)
OWN_NOTE = Opaque(DIALECT, '{"type":"char_location","cited_text":"x","document_index":0}')
PAGE = Opaque(
    DIALECT,
    '{"type":"web_search_result_location","url":"https://x","title":"t","encrypted_index":"e"}',
)
NOTES = st.lists(st.just(OWN_NOTE) | st.just(Citation("https://x", "t", opaque=PAGE)), max_size=2)
SERVER_BLOCK = Opaque(
    DIALECT, '{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}'
)
SERVER_RESULT = Opaque(
    DIALECT, '{"type":"web_search_tool_result","tool_use_id":"s","content":[{"a":"b"}]}'
)
CALLER = Opaque(DIALECT, '{"caller":{"type":"direct"}}')
COUNTS = st.integers(0, 1000)
USAGE = st.builds(
    Usage,
    COUNTS,
    COUNTS,
    st.none() | COUNTS,
    st.none() | COUNTS,
    st.none() | COUNTS,
    st.just("reported"),
)


@st.composite
def replies(draw: st.DrawFn) -> list[ChatEvent]:
    """A whole reply of blocks in any order: text, late thinking, tool (trap 34)."""
    tracker = BlockTracker()
    usage = draw(USAGE)
    events: list[ChatEvent] = [
        Started(draw(WORD), usage=msgspec.structs.replace(usage, output=1, reasoning=None))
    ]
    called = False
    for at in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["text", "thought", "sealed", "call", "served", "found"]))
        match kind:
            case "text":
                for piece in draw(PIECES):
                    events += tracker.text(piece)
                events += [Annotated(note) for note in draw(NOTES)]
            case "thought":
                for piece in draw(PIECES):
                    events += tracker.reasoning(piece)
                if draw(st.booleans()):
                    events += tracker.reasoning("", signature_seal(draw(WORD)))
            case "sealed":
                events += tracker.reasoning("", data_seal(draw(WORD)))
            case "call":
                called = True
                opaque = draw(st.sampled_from([None, CALLER]))
                events += tracker.tool_call(f"call-{at}", draw(ID), opaque=opaque)
                arguments = draw(INPUT)
                cut = draw(st.integers(0, len(arguments)))
                events += tracker.arguments(arguments[:cut])
                events += tracker.arguments(arguments[cut:])
            case "served":
                events += tracker.foreign(SERVER_BLOCK)
            case "found":
                events += tracker.foreign(SERVER_RESULT)
        events += tracker.end_block()
    if draw(st.booleans()):
        events.append(ReplyNoted(Opaque(DIALECT, '{"container":{"id":"c"}}')))
    events.append(UsageReported(usage))
    reason: Any = "tool_calls"
    stop = None
    if not called:
        reason = draw(st.sampled_from(["stop", "length", "content_filter", "pause"]))
        stop = draw(st.none() | WORD) if reason == "stop" else None
    return events + tracker.finish(reason, stop)


def meaning(events: list[ChatEvent]) -> dict[str, Any]:
    """What a reply says: model, usage, its joined blocks and its end."""
    said: dict[str, Any] = {"blocks": []}
    for event in events:
        match event:
            case Started(model):
                said["model"] = model
            case ReplyNoted(fields):
                said["noted"] = fields
            case UsageReported(usage):
                said["usage"] = usage
            case BlockStarted(_, kind, _, tool_id, name, _, opaque):
                said["blocks"].append([kind, tool_id, name, "", [opaque] if opaque else []])
            case TextDelta(piece) | ToolCallDelta(piece):
                said["blocks"][-1][3] += piece
            case ReasoningDelta(piece, _, opaque):
                said["blocks"][-1][3] += piece
                said["blocks"][-1][4] += [opaque] if opaque else []
            case Annotated(note):
                said["blocks"][-1][4].append(note)
            case Finished():
                said["end"] = event
    for block in said["blocks"]:
        if block[0] == "tool_call":
            block[3] = block[3] or "{}"
    return said


def asking(**fields: Any) -> Any:
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }
    return DOOR.ask(HEAD, msgspec.json.encode(body))


def decoded(chunks: list[bytes], head: ReplyHead) -> list[ChatEvent]:
    decoder = UPSTREAM.decoder(asking().request(), head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.eof()
    assert decoder.fault is None
    assert decoder.done
    return events


@settings(max_examples=150)
@given(reply=replies(), data=st.data())
def test_a_stream_the_door_encodes_the_upstream_decodes(
    reply: list[ChatEvent], data: st.DataObject
) -> None:
    """Traps 1, 34, 36, 42: however reads fall on either side, the reply means the same."""
    encoder = DOOR.reply(asking(stream=True), STAMP)
    reads = sorted(data.draw(st.sets(st.integers(0, len(reply)), max_size=5)) | {0, len(reply)})
    stream = b"".join(encoder.feed(reply[a:b]) for a, b in pairwise(reads)) + encoder.end()
    assert meaning(decoded([stream], SSE)) == meaning(reply)
    cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=9))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert meaning(decoded(pieces, SSE)) == meaning(reply)


@given(reply=replies())
def test_a_whole_reply_the_door_encodes_the_upstream_decodes(reply: list[ChatEvent]) -> None:
    """The message of a reply that is not streamed means what its events meant."""
    whole = DOOR.reply(asking(), STAMP).complete(reply)
    assert whole.status == 200
    assert meaning(decoded([whole.body], JSON)) == meaning(reply)


@given(reply=replies())
def test_a_stream_byte_by_byte_gives_the_same_events(reply: list[ChatEvent]) -> None:
    """Trap 1: fed one byte at a time the same is said, and no character is broken."""
    encoder = DOOR.reply(asking(stream=True), STAMP)
    stream = encoder.feed(reply) + encoder.end()
    bytewise = decoded([stream[at : at + 1] for at in range(len(stream))], SSE)
    assert meaning(bytewise) == meaning(reply)


@given(reply=replies())
def test_blocks_are_numbered_and_nested(reply: list[ChatEvent]) -> None:
    """Traps 9 and 34: one message_start; blocks from 0, each started, fed and stopped in turn."""
    encoder = DOOR.reply(asking(stream=True), STAMP)
    stream = encoder.feed(reply) + encoder.end()
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    events = [msgspec.json.decode(line) for line in lines]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_start") == kinds.count("message_stop") == 1
    open_block, count = None, 0
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                assert event["index"] == count
                open_block = event["content_block"]["type"]
                count += 1
            case "content_block_delta":
                assert event["index"] == count - 1
                fitting = {
                    "text": {"text_delta", "citations_delta"},
                    "thinking": {"thinking_delta", "signature_delta"},
                    "tool_use": {"input_json_delta"},
                    "server_tool_use": {"input_json_delta"},
                }
                assert event["delta"]["type"] in fitting[open_block]
            case "content_block_stop":
                assert open_block is not None
                assert event["index"] == count - 1
                open_block = None
    assert open_block is None
