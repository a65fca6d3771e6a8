"""The backend side's replies: what each end means, in any chunking and any framing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    Annotated,
    BlockStarted,
    ChatEvent,
    Citation,
    Failed,
    Finished,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TokenLogprob,
    UsageReported,
)
from chatgpt_to_api.chat.request import ChatRequest, Message, Text, Tool
from chatgpt_to_api.chat.usage import TokenKinds, Usage
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.dialects.gemini.upstream_reply import GenerateReplyDecoder
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.secret import ANONYMOUS as ACCESS
from support.two_roads import joined

UPSTREAM = GeminiUpstream("https://generativelanguage.googleapis.com/v1beta")
REQUEST = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),))
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])


class NoIds:
    """This dialect's requests need no fresh ids."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


def candidate(*parts: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with one candidate; a text stands for a part of it."""
    shown = [{"text": part} if isinstance(part, str) else part for part in parts]
    fields: dict[str, Any] = {"index": 0, **more}
    if shown:
        fields["content"] = {"parts": shown, "role": "model"}
    if reason is not None:
        fields["finishReason"] = reason
    return {"candidates": [fields], "modelVersion": "m-1"}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks)


def decoder_of(request: ChatRequest = REQUEST, head: ReplyHead = SSE) -> GenerateReplyDecoder:
    return UPSTREAM.decoder(request, head)


def decoded(body: bytes, request: ChatRequest = REQUEST, head: ReplyHead = SSE) -> list[ChatEvent]:
    decoder = decoder_of(request, head)
    return decoder.feed(body) + decoder.eof()


def last(events: list[ChatEvent], kind: type[ChatEvent]) -> Any:
    return next(event for event in reversed(events) if isinstance(event, kind))


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


CALL = {"functionCall": {"name": "f", "args": {"a": "é\n😀"}}, "thoughtSignature": "c2ln"}
RECORDED = [
    candidate({"text": "Hm. ", "thought": True}),
    candidate("Häl"),
    candidate("lo 👋"),
    candidate(CALL, {"functionCall": {"name": "f"}}),
    {
        **candidate({"text": "", "thoughtSignature": "ZW5k"}, reason="STOP"),
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    },
]


@pytest.mark.parametrize("shape", ["events", "array"])
@settings(max_examples=60)
@given(cuts=st.sets(st.integers(0, 900), max_size=30), data=st.data())
def test_any_chunking_gives_the_same_meaning(
    shape: str, cuts: set[int], data: st.DataObject
) -> None:
    """Traps 1, 2 and 18: cut anywhere, also within a character, a line end or a string."""
    end = data.draw(st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"]))
    body = "".join(f"data: {json.dumps(c, ensure_ascii=False)}{end}" for c in RECORDED)
    head = SSE
    if shape == "array":
        body = json.dumps(RECORDED, ensure_ascii=False)
        head = JSON
    raw = body.encode()
    decoder = decoder_of(head=head)
    events: list[ChatEvent] = []
    at = 0
    for cut in sorted(cut for cut in cuts if cut < len(raw)):
        events += decoder.feed(raw[at:cut])
        at = cut
    events += decoder.feed(raw[at:]) + decoder.eof()
    assert joined(events) == joined(decoded(raw, head=head))
    assert text_of(events) == "Hällo 👋"
    assert [e.opaque.data for e in events if isinstance(e, BlockStarted) and e.opaque] == [
        "c2ln",
        '{"text":"","thoughtSignature":"ZW5k"}',
    ]
    assert last(events, Finished) == Finished("tool_calls")


def test_calls_are_the_reason_whenever_the_end_comes() -> None:
    """Trap 17: ``STOP`` after calls is ``tool_calls``, also in a chunk of its own."""
    events = decoded(sse(candidate(CALL), candidate(reason="STOP")))
    assert last(events, Finished).reason == "tool_calls"
    assert last(decoded(sse(candidate("a", reason="MAX_TOKENS"))), Finished).reason == "length"


@pytest.mark.parametrize("body", [sse(candidate("half")), b"", b": nothing\n\n", b"[]"])
def test_an_end_without_a_reason_is_a_fault(body: bytes) -> None:
    """Trap 3: a stream that just ends is never a success."""
    events = decoded(body)
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Finished) for event in events)


def test_an_array_without_its_bracket_is_cut_only_where_no_candidate_has_ended() -> None:
    """Trap 59: the reason counts, not the bracket."""
    whole = json.dumps([candidate("a", reason="STOP")]).encode()
    assert last(decoded(whole[:-1], head=JSON), Finished).reason == "stop"
    cut = json.dumps([candidate("a"), candidate("b")]).encode()[:-20]
    assert isinstance(decoded(cut, head=JSON)[-1], Failed)


@pytest.mark.parametrize(
    "reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"]
)
def test_what_was_filtered_says_so(reason: str) -> None:
    """Trap 58: with nothing said it is a refusal; what was said before stays."""
    empty = decoded(sse(candidate(reason=reason)))
    assert reason in last(empty, RefusalDelta).text
    assert last(empty, Finished).reason == "content_filter"
    some = decoded(sse(candidate("Well, "), candidate(reason=reason)))
    assert not any(isinstance(event, RefusalDelta) for event in some)
    assert last(some, Finished).reason == "content_filter"


@pytest.mark.parametrize("head", [SSE, JSON])
def test_a_blocked_prompt_is_a_refusal(head: ReplyHead) -> None:
    """Trap 58: no candidates, and the vendor's words where it has any."""
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "Not this."}
    chunk = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}}
    events = decoded(sse(chunk) if head is SSE else json.dumps(chunk).encode(), head=head)
    assert last(events, RefusalDelta).text == "Not this."
    assert last(events, Finished).reason == "content_filter"
    assert last(events, UsageReported).usage.input == 4


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([candidate(reason="STOP")], "stop"),
        ([candidate({"text": "Hm.", "thought": True}), candidate(reason="STOP")], "stop"),
        ([candidate(reason="MALFORMED_FUNCTION_CALL")], "malformed_function_call"),
        ([candidate("x"), candidate(reason="OTHER")], "other"),
    ],
)
def test_no_answer_is_a_fault_that_blames_nobody(chunks: list[Any], code: str) -> None:
    """Trap 58: it may go better the next time, and the upstream is well."""
    decoder = decoder_of()
    events = decoder.feed(sse(*chunks)) + decoder.eof()
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == code
    assert decoder.fault is not None
    assert (decoder.fault.retry, decoder.fault.upstream, decoder.fault.credential) == (
        "again",
        "none",
        "none",
    )


@pytest.mark.parametrize("content", [b"data: ", b"", b"["])
def test_an_error_inside_a_good_status_is_a_fault(content: bytes) -> None:
    """Traps 4 and 7: as an event, an item or the whole body; nothing follows it."""
    error = b'{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}'
    end = b"\n\n" if content == b"data: " else b"]" if content else b""
    decoder = decoder_of(head=SSE if content == b"data: " else JSON)
    events = decoder.feed(content + error + end) + decoder.eof()
    assert isinstance(events[-1], Failed)
    assert decoder.fault is not None
    assert (decoder.fault.upstream, decoder.fault.retry) == ("count", "again")
    assert decoder.feed(sse(candidate("more"))) == []


def test_two_streams_share_nothing() -> None:
    """Trap 10: each decoder counts its own blocks."""
    one, two = decoder_of(), decoder_of()
    first = one.feed(sse(candidate("a"))) + two.feed(sse(candidate("b")))
    starts = [event for event in first if isinstance(event, BlockStarted)]
    assert [start.block for start in starts] == [0, 0]


def test_counts_are_disjoint() -> None:
    """Trap 39: the cached part is inside the prompt, thoughts beside the answer, and tools' too."""
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 132,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}, {"modality": "IMAGE"}],
    }
    events = decoded(sse({**candidate("a", reason="STOP"), "usageMetadata": usage}))
    found = last(events, UsageReported).usage
    assert found == Usage(
        input=45,
        output=27,
        cache_read=60,
        reasoning=7,
        source="reported",
        prompt_kinds=TokenKinds(text=90, image=0),
    )
    assert found.total == 132


def test_a_server_that_counts_cached_tokens_apart_is_not_clamped() -> None:
    """Trap 39: more cached than prompt tokens: the prompt is then the fresh part."""
    usage = {"promptTokenCount": 10, "cachedContentTokenCount": 60, "candidatesTokenCount": 1}
    events = decoded(sse({**candidate("a", reason="STOP"), "usageMetadata": usage}))
    assert last(events, UsageReported).usage.input == 10


def test_sources_are_citations() -> None:
    """Of each support, with its place in characters, where it is one; the rest without."""
    grounding = {
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"web": {"uri": "https://b.example", "title": "B"}},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": 5}, "groundingChunkIndices": [0]},
        ],
    }
    plain = decoded(sse(candidate("Hello", reason="STOP", groundingMetadata=grounding)))
    notes = [event.note for event in plain if isinstance(event, Annotated)][1:]
    assert notes == [
        Citation("https://a.example", "A", 0, 5),
        Citation("https://b.example", "B"),
    ]
    other = decoded(sse(candidate("Hé!", reason="STOP", groundingMetadata=grounding)))
    assert Annotated(Citation("https://a.example", "A")) in other
    accents = decoded(
        sse(candidate("é日!"), candidate("?", reason="STOP", groundingMetadata=grounding))
    )
    assert Annotated(Citation("https://a.example", "A", 0, 2)) in accents


def test_logprobs_are_read() -> None:
    """The chosen token and the likeliest in its place."""
    result = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1.5}]}],
    }
    events = decoded(sse(candidate("a", reason="STOP", logprobsResult=result)))
    expected = (TokenLogprob("a", -0.5, top=(TokenLogprob("b", -1.5),)),)
    assert last(events, LogprobsReported).text == expected


def test_a_picture_reaches_clients_that_have_no_part_for_it() -> None:
    """In their text, as a link that holds it; this dialect's clients get the part."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body = sse(candidate(picture, reason="STOP"))
    assert text_of(decoded(body)) == "![image](data:image/png;base64,AAAA)"
    own = ChatRequest(model="m", messages=REQUEST.messages, dialect="gemini")
    start = last(decoded(body, own), BlockStarted)
    assert json.loads(start.opaque.data) == picture


def test_names_come_back_as_the_client_calls_them() -> None:
    """Trap 28: what does not fit is rewritten there and back, the same way every time."""
    tools = (Tool("mcp/do it"), Tool("9lives"), Tool("fine.name-1"))
    request = ChatRequest(model="m", messages=REQUEST.messages, tools=tools)
    call = UPSTREAM.encode(request, "m", ACCESS, NoIds())
    names = [f["name"] for f in json.loads(call.body)["tools"][0]["functionDeclarations"]]
    assert names[2] == "fine.name-1"
    assert len(set(names)) == 3
    parts = [{"functionCall": {"name": name}} for name in names]
    events = decoded(sse(candidate(*parts, reason="STOP")), request)
    assert [e.tool_name for e in events if isinstance(e, BlockStarted)] == [t.name for t in tools]


@pytest.mark.parametrize(
    "body", [b"<html>sorry</html>", b"[1,2]", b'{"choices":[]}', b"data: {\n\n"]
)
def test_nonsense_is_a_fault(body: bytes) -> None:
    """A good status with something else in it."""
    decoder = decoder_of(head=JSON)
    events = decoder.feed(body) + decoder.eof()
    assert isinstance(events[-1], Failed)
    assert decoder.fault is not None


def test_a_candidate_numbered_absurdly_is_a_fault() -> None:
    """No memory is spent on it."""
    assert isinstance(decoded(sse(candidate("a", index=10**9)))[-1], Failed)


def test_thoughts_are_thoughts() -> None:
    """Trap 36: never text, and the model that really answers is told."""
    events = decoded(sse(candidate({"text": "Hm.", "thought": True}, "Hi", reason="STOP")))
    assert events[0] == Started("m-1")
    assert [e.text for e in events if isinstance(e, ReasoningDelta)] == ["Hm."]
    assert text_of(events) == "Hi"
