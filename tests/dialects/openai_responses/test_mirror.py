"""The two sides hold each other: what one encodes the other decodes to an equal value."""

from __future__ import annotations

import base64
import json
from itertools import groupby, pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    Annotated,
    ChatEvent,
    Citation,
    Finished,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
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
    Grammar,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai_responses.door import DOOR, ResponsesAsked
from chatgpt_to_api.dialects.openai_responses.messages import ResponsesRequest, TypedExtras
from chatgpt_to_api.dialects.openai_responses.naming import flat_name
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/v1/responses", b"", [])
OWN = "openai_responses"
UPSTREAM = ResponsesUpstream("http://upstream.example/v1")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


# -- requests --------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAME = st.text("abcXYZ09-", min_size=1, max_size=10)
JSON_VALUE = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
TAKEN = {"type", "text", "image_url", "file_id", "detail", "file_data", "file_url", "filename"}
TAKEN |= {"annotations", "logprobs", "input_audio", "name", "description", "parameters", "strict"}
TAKEN |= {"format", "namespace"}
FIELDS = st.dictionaries(
    WORD.filter(lambda key: key not in TAKEN), JSON_VALUE, min_size=1, max_size=2
)
VENDOR = st.none() | FIELDS.map(lambda fields: Vendor(OWN, fields))
URL = WORD.map(lambda word: f"https://example.org/{word}") | st.just("data:image/png;base64,AA==")
MAYBE = st.none() | WORD
BASE64 = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
TEXT = st.builds(Text, WORD, VENDOR)
IMAGE = st.builds(Image, URL, st.none() | st.sampled_from(["low", "high", "auto"]), VENDOR)
FILE = (
    st.builds(File, BASE64, st.none(), MAYBE, VENDOR)
    | st.builds(File, st.none(), WORD, st.none(), VENDOR)
    | st.builds(lambda word: File(url=f"https://example.org/{word}"), WORD)
    | WORD.map(lambda id: File(file_id=id, vendor=Vendor(OWN, {"type": "input_image"})))
)
AUDIO = st.builds(Audio, BASE64, st.sampled_from(["wav", "mp3"]), VENDOR)
USER_PART = TEXT | IMAGE | FILE | AUDIO
OPAQUE = WORD.map(lambda data: Opaque(OWN, data))
REASONING = st.builds(Reasoning, WORD) | st.builds(Reasoning, st.just("") | WORD, OPAQUE)


def spaced(id: str, namespace: str, name: str, arguments: str, freeform: bool) -> ToolCall:
    own = Vendor(OWN, {"namespace": namespace, "name": name})
    flat = flat_name(namespace, name)
    return ToolCall(id, flat, arguments, freeform=freeform, vendor=own)


CALL_ID = st.text("abcdef0123456789_", min_size=1, max_size=20)
CALL = (
    st.builds(ToolCall, CALL_ID, NAME, st.just("") | WORD, freeform=st.booleans())
    | st.builds(spaced, CALL_ID, NAME, NAME, WORD, st.booleans())
    | st.builds(
        lambda id, query: ToolCall(
            id,
            "tool_search",
            msgspec.json.encode({"query": query}).decode(),
            vendor=Vendor(OWN, {"type": "tool_search_call"}),
        ),
        CALL_ID,
        WORD,
    )
)
FOREIGN = WORD.map(
    lambda word: Foreign(
        Opaque(OWN, msgspec.json.encode({"type": "web_search_call", "id": word}).decode())
    )
)


def tuples(strategy: Any, **sizes: int) -> Any:
    return st.lists(strategy, **sizes).map(tuple)


WORDS = (
    st.tuples(st.builds(Text, WORD))
    | st.tuples(st.builds(Refusal, WORD))
    | tuples(TEXT, max_size=2)
)
ASSISTANT = (
    st.tuples(
        tuples(REASONING | FOREIGN, max_size=2),
        WORDS,
        tuples(CALL | REASONING | FOREIGN, max_size=3),
    )
    .map(lambda groups: tuple(part for group in groups for part in group))
    .filter(bool)
)
PHASE = st.none() | st.sampled_from(["commentary", "final_answer"]).map(
    lambda phase: Vendor(OWN, {"phase": phase})
)


def phased(parts: tuple[Any, ...], vendor: Vendor | None) -> Message:
    said = any(isinstance(part, Text | Refusal) for part in parts)
    return Message("assistant", parts, vendor=vendor if said else None)


RESULT = st.builds(
    ToolResult, CALL_ID.map(lambda id: f"r{id}"), tuples(TEXT | IMAGE | FILE, max_size=2)
)
OTHERS = st.builds(
    Message, st.sampled_from(["system", "developer"]), tuples(TEXT, max_size=2)
) | st.builds(Message, st.just("user"), tuples(USER_PART, max_size=3))
MESSAGE = (
    OTHERS
    | st.builds(phased, ASSISTANT, PHASE)
    | st.builds(Message, st.just("tool"), st.tuples(RESULT))
)


def joined(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Leave away what the dialect cannot tell apart: two turns of the model in a row."""
    return tuple(
        next(turns)
        for _, turns in groupby(messages, lambda m: m.role if m.role == "assistant" else id(m))
    )


# A first system message is the instructions, of plain text alone.
INSTRUCTED = st.builds(Message, st.just("system"), st.tuples(st.builds(Text, WORD)))
MESSAGES = st.builds(
    lambda first, user, rest: joined((*first, user, *rest)),
    tuples(INSTRUCTED, max_size=1),
    st.builds(Message, st.just("user"), tuples(USER_PART, min_size=1, max_size=2)),
    tuples(MESSAGE, max_size=4),
)
SCHEMA = st.dictionaries(WORD, JSON_VALUE, max_size=3)


def of_space(namespace: str, description: str | None, tool: Tool) -> Tool:
    space = {"name": namespace} | ({} if description is None else {"description": description})
    own = {"namespace": space, "name": tool.name}
    rest = {} if tool.vendor is None else dict(tool.vendor.fields)
    flat = flat_name(namespace, tool.name)
    return msgspec.structs.replace(tool, name=flat, vendor=Vendor(OWN, rest | own))


TOOL = st.builds(
    Tool, NAME, MAYBE, st.none() | SCHEMA, st.none() | st.booleans(), VENDOR
) | st.builds(
    Tool,
    NAME,
    MAYBE,
    vendor=VENDOR,
    freeform=st.just(value=True),
    grammar=st.none() | st.builds(Grammar, st.sampled_from(["lark", "regex"]), WORD),
)
SPACE = st.builds(
    lambda space, description, tools: tuple(of_space(space, description, t) for t in tools),
    NAME,
    MAYBE,
    tuples(TOOL, min_size=1, max_size=2),
)
SEARCH = st.builds(
    lambda description, schema: Tool(
        "tool_search",
        description,
        schema,
        vendor=Vendor(OWN, {"type": "tool_search", "execution": "client"}),
    ),
    MAYBE,
    st.none() | SCHEMA,
)


def distinct(groups: list[tuple[Tool, ...]]) -> tuple[Tool, ...]:
    """Each name once, and each namespace in one piece."""
    found: dict[str, Tool] = {}
    spaces: set[str] = set()
    for group in groups:
        fields = group[0].vendor.fields if group[0].vendor is not None else {}
        space = fields["namespace"]["name"] if "namespace" in fields else None
        if space is not None and space in spaces:
            continue
        spaces.add(space or "")
        for tool in group:
            found.setdefault(tool.name, tool)
    return tuple(found.values())


TOOLS = st.lists(st.tuples(TOOL) | SPACE | st.tuples(SEARCH), max_size=4).map(distinct)
KNOWN = {
    *ResponsesRequest.__struct_fields__,
    *TypedExtras.__struct_fields__,
    "verbosity",
    "logprobs",
}
EXTRAS = st.dictionaries(NAME.filter(lambda name: name not in KNOWN), JSON_VALUE, max_size=2)
NUMBER = st.none() | st.floats(0, 1).map(lambda value: round(value, 3))


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = draw(TOOLS)
    names = [tool.name for tool in tools]
    choices: list[Any] = [None]
    if names:
        choices += ["auto", "none", "required", NamedTool(names[0])]
        choices += [AllowedTools(tuple(names), mode) for mode in ("auto", "required")]
    extras = draw(EXTRAS)
    extras |= draw(st.sampled_from([{}, {"verbosity": "low"}, {"tools": [{"type": "web_search"}]}]))
    extras |= draw(st.sampled_from([{}, {"reasoning": {"summary": "auto"}}]))
    return ChatRequest(
        model="gpt-4o",
        messages=draw(MESSAGES),
        stream=draw(st.booleans()),
        include_usage=True,
        max_tokens=draw(st.none() | st.integers(16, 2**40)),
        sampling=Sampling(temperature=draw(NUMBER), top_p=draw(NUMBER)),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)),
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        json=draw(
            st.none()
            | st.just(JsonFormat())
            | st.builds(JsonFormat, SCHEMA, WORD, MAYBE, st.none() | st.booleans())
        ),
        reasoning_effort=draw(st.sampled_from([None, "low", "high"])),
        user=draw(MAYBE),
        prompt_cache_key=draw(MAYBE),
        dialect=OWN,
        extras=extras,
    )


def again(request: ChatRequest) -> ChatRequest:
    call = UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds())
    return DOOR.ask(HEAD, call.body).request()


@settings(max_examples=300)
@given(requests())
def test_a_request_survives_the_round_trip(request: ChatRequest) -> None:
    """Upstream-encoded, then read by the door, a canonical request is the same."""
    found = again(request)
    extras = dict(found.extras)
    if "include" in extras:  # what a server is always asked for where it thinks
        assert extras.pop("include") == ["reasoning.encrypted_content"]
    found = msgspec.structs.replace(found, extras=extras, own_names={})
    assert found == request


@given(MESSAGES, st.builds(phased, ASSISTANT, PHASE), MESSAGES)
def test_what_follows_a_turn_never_changes_its_bytes(
    before: tuple[Message, ...], answer: Message, after: tuple[Message, ...]
) -> None:
    """Trap 65: the vendor's prompt cache lives on byte-equal prefixes."""
    if before[-1].role == "assistant":
        before = before[:-1] or (Message("user", (Text("x"),)),)
    more = (*before, answer, *(m for m in after if m.role == "user"))

    def items(messages: tuple[Message, ...]) -> list[bytes]:
        request = ChatRequest(model="gpt-4o", messages=messages, dialect=OWN)
        body = UPSTREAM.encode(request, "gpt-4o", ANONYMOUS, NoIds()).body
        return [msgspec.json.encode(item) for item in json.loads(body)["input"]]

    first = items(before) if len(before) > 1 or before[0].role != "system" else []
    assert items(more)[: len(first)] == first


# -- replies ---------------------------------------------------------------------------------

TOKEN = st.builds(
    TokenLogprob,
    WORD,
    st.floats(-9, 0).map(lambda value: round(value, 3)),
    st.just(()) | st.just((1, 2)),
)


@st.composite
def replies(draw: st.DrawFn) -> list[ChatEvent]:
    """A whole canonical reply, as the block tracker makes it."""
    tracker = BlockTracker()
    events: list[ChatEvent] = [Started(draw(WORD), draw(st.sampled_from(["", "flex"])))]
    called, said = False, 0
    for kind in draw(
        st.lists(st.sampled_from(["text", "refusal", "think", "call", "free"]), max_size=5)
    ):
        pieces = draw(st.lists(WORD, min_size=1, max_size=3))
        events += tracker.end_block()
        match kind:
            case "text":
                began = said
                for piece in pieces:
                    events += tracker.text(piece)
                    said += len(piece)
                if draw(st.booleans()):
                    events.append(
                        LogprobsReported(tuple(draw(st.lists(TOKEN, min_size=1, max_size=2))))
                    )
                if draw(st.booleans()):
                    events.append(Annotated(Citation("https://a.b", "t", began, said)))
            case "refusal":
                for piece in pieces:
                    events += tracker.refusal(piece)
            case "think":
                if draw(st.booleans()):
                    for piece in pieces:
                        events += tracker.reasoning(piece)
                    if draw(st.booleans()):
                        events += tracker.reasoning("", Opaque(OWN, pieces[0]))
                else:
                    events += tracker.reasoning("", Opaque(OWN, pieces[0]))
            case _:
                called = True
                count = len(events)
                events += tracker.tool_call(f"call_{count}", "f", freeform=kind == "free")
                for piece in pieces:
                    events += tracker.arguments(piece)
    whole = "tool_calls" if called else "stop"
    events += tracker.finish(draw(st.sampled_from([whole, "length", "content_filter"])))
    counts = st.integers(0, 10**6)
    if draw(st.booleans()):
        numbers = draw(st.tuples(counts, counts, counts, counts, counts))
        fresh, output, read, write, reasoning = numbers
        events.append(UsageReported(Usage(fresh, output, read, write, reasoning, "reported")))
    return events


def meaning(events: list[ChatEvent]) -> list[Any]:
    """What a reply says, whatever pieces it came in."""
    told: list[Any] = []
    for event in events:
        last = told[-1] if told else None
        match event, last:
            case TextDelta(text), TextDelta(before):
                told[-1] = TextDelta(before + text)
            case RefusalDelta(text), RefusalDelta(before):
                told[-1] = RefusalDelta(before + text)
            case ReasoningDelta(text, opaque=None), ReasoningDelta(before, opaque=None):
                told[-1] = ReasoningDelta(before + text)
            case ToolCallDelta(text), ToolCallDelta(before):
                told[-1] = ToolCallDelta(before + text)
            case ((Annotated() | LogprobsReported()), _):
                told.append(event)
            case _:
                told.append(event)
    # What belongs to a text stands behind it, in one order.
    notes = [e for e in told if isinstance(e, Annotated | LogprobsReported)]
    rest = [e for e in told if not isinstance(e, Annotated | LogprobsReported)]
    return rest + sorted(notes, key=repr)


def asked() -> ResponsesAsked:
    body = {
        "model": "m",
        "input": "x",
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "f"}],
    }
    return DOOR.ask(HEAD, msgspec.json.encode(body))


def encoded(events: list[ChatEvent], cuts: list[int]) -> bytes:
    encoder = DOOR.reply(asked(), Stamp("0" * 32, 1))
    parts = [events[a:b] for a, b in pairwise([0, *cuts, len(events)])]
    return b"".join(encoder.feed(part) for part in parts) + encoder.end()


def decoded(data: bytes, head: ReplyHead = SSE) -> list[ChatEvent]:
    decoder = UPSTREAM.decoder(ChatRequest(model="m", messages=()), head)
    return decoder.feed(data) + decoder.eof()


@settings(max_examples=300)
@given(replies(), st.data())
def test_a_stream_survives_the_round_trip(events: list[ChatEvent], data: st.DataObject) -> None:
    """Door-encoded in any reads, then decoded, a reply says the same."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(events)))))
    assert meaning(decoded(encoded(events, cuts))) == meaning(events)


@settings(max_examples=200)
@given(replies())
def test_a_whole_reply_survives_the_round_trip(events: list[ChatEvent]) -> None:
    """Not streamed, too."""
    encoder = DOOR.reply(asked(), Stamp("0" * 32, 1))
    reply = encoder.complete(events)
    assert meaning(decoded(reply.body, JSON)) == meaning(events)


@given(replies(), st.data())
def test_events_are_numbered_and_whole_however_they_are_fed(
    events: list[ChatEvent], data: st.DataObject
) -> None:
    """Trap 47: created first and once, numbers without a gap, one end; each line one event."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(events)))))
    lines = encoded(events, cuts).decode().split("\n")
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [line[7:] for line in lines if line.startswith("event: ")] == [e["type"] for e in told]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    kinds = [event["type"] for event in told]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    ends = {"response.completed", "response.incomplete", "response.failed"}
    assert [kind for kind in kinds if kind in ends] == [kinds[-1]]
    items = told[-1]["response"]["output"]
    added = [e["output_index"] for e in told if e["type"] == "response.output_item.added"]
    done = [e for e in told if e["type"] == "response.output_item.done"]
    assert added == [e["output_index"] for e in done] == list(range(len(items)))
    assert [event["item"] for event in done] == items
    assert len({item["id"] for item in items}) == len(items)
    finish = [event for event in events if isinstance(event, Finished)]
    assert (kinds[-1] == "response.incomplete") == (
        finish[0].reason in ("length", "content_filter")
    )
