"""What an Ollama server is asked, and what its replies mean."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
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
    Message,
    NamedTool,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import ListedModel
from chatgpt_to_api.dialects.ollama.model_list import OllamaModels
from chatgpt_to_api.dialects.ollama.scanner import ReplyScanner, read_whole
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream import OllamaRelay, OllamaUpstream
from chatgpt_to_api.dialects.ollama.upstream_reply import OllamaReplyDecoder
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret
from support.ollama_server import PIXEL, lines

NDJSON = ReplyHead(200, [(b"content-type", b"application/x-ndjson")])
JSON = ReplyHead(200, [(b"content-type", b"application/json; charset=utf-8")])
SERVER = OllamaServer("http://upstream.example:11434")
UPSTREAM = OllamaUpstream(SERVER)
USER = Message("user", (Text("hi"),))
TOOLS = (Tool("a"), Tool("b"))


class NoIds:
    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


def sent(*messages: Message, model: str = "m", **more: Any) -> dict[str, Any]:
    request = ChatRequest(model=model, messages=messages or (USER,), **more)
    found: dict[str, Any] = msgspec.json.decode(
        UPSTREAM.encode(request, model, ANONYMOUS, NoIds()).body
    )
    return found


# -- the request -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("http://h:11434", b"/api/chat"),
        ("http://h:11434/", b"/api/chat"),
        ("http://h/api", b"/api/chat"),
        ("https://h/deep/path/?key=1", b"/deep/path/api/chat?key=1"),
    ],
)
def test_the_path_stands_behind_the_base_url(base: str, target: bytes) -> None:
    """With or without the part that is always there."""
    request = OllamaUpstream(OllamaServer(base)).encode(
        ChatRequest(model="m", messages=(USER,)), "m", ANONYMOUS, NoIds()
    )
    assert request.target == target
    assert not any(name == b"authorization" for name, _ in request.headers)


def test_a_key_goes_into_a_header() -> None:
    """A server of one's own wants none; a hosted one does."""
    access = Access(token=Secret("sk-ollama"))
    call = UPSTREAM.encode(ChatRequest(model="m", messages=(USER,)), "m", access, NoIds())
    assert (b"authorization", b"Bearer sk-ollama") in call.headers
    head = RequestHead("POST", "/api/chat", b"", [(b"authorization", b"Bearer client")])
    for dialect, path in (("ollama", b"/api/chat"), ("ollama_generate", b"/api/generate")):
        relay = OllamaRelay(SERVER, dialect)
        relayed = relay.forward(b"{}", access, model="m", stream=True, head=head)
        assert (relayed.target, relayed.body) == (path, b"{}")
        shown = [value for name, value in relayed.headers if name == b"authorization"]
        assert shown == [b"Bearer sk-ollama"]


def test_messages_of_every_kind() -> None:
    """Trap 60: arguments as an object, pictures bare, results by the tool's name; trap 32."""
    shown = Image("data:x;base64,QQ==")
    messages = sent(
        Message("developer", (Text("D"),)),
        Message("user", (Text("a"), Text("b"), Image(f"data:image/png;base64,{PIXEL}"))),
        Message(
            "assistant",
            (
                Reasoning("hm"),
                Text("so"),
                Refusal("no"),
                ToolCall("t1", "f", '{"x": 1}'),
                ToolCall("t2", "g", "free text", freeform=True),
                Foreign(Opaque("other", "{}")),
            ),
        ),
        Message("tool", (ToolResult("t2", (Text("second"),)),)),
        Message("user", (ToolResult("t1", (Text("first"), shown)), *USER.parts)),
        Message("tool", (ToolResult("unknown", ()),)),
    )["messages"]
    assert messages == [
        {"role": "system", "content": "D"},
        {"role": "user", "content": "a\nb", "images": [PIXEL]},
        {
            "role": "assistant",
            "content": "so\nno",
            "thinking": "hm",
            "tool_calls": [
                {"id": "t1", "function": {"name": "f", "arguments": {"x": 1}}},
                {"id": "t2", "function": {"name": "g", "arguments": {"input": "free text"}}},
            ],
        },
        {"role": "tool", "content": "second", "tool_name": "g", "tool_call_id": "t2"},
        {
            "role": "tool",
            "content": "first",
            "images": ["QQ=="],
            "tool_name": "f",
            "tool_call_id": "t1",
        },
        {"role": "user", "content": "hi"},
        {"role": "tool", "content": "", "tool_call_id": "unknown"},
    ]


def test_a_choice_of_tools_is_a_choice_of_what_is_shown() -> None:
    """The dialect has no other word for it: not to be called is not to be there."""
    assert len(sent(tools=TOOLS)["tools"]) == 2
    assert "tools" not in sent(tools=TOOLS, tool_choice="none")
    [tool] = sent(tools=TOOLS, tool_choice=AllowedTools(("b",)))["tools"]
    assert tool["function"]["name"] == "b"


@pytest.mark.parametrize("choice", ["required", NamedTool("a"), AllowedTools(("a",), "required")])
def test_a_call_that_must_be_made_is_refused(choice: Any) -> None:
    """It would only be made by chance."""
    request = ChatRequest(model="m", messages=(USER,), tools=TOOLS, tool_choice=choice)
    with pytest.raises(InvalidRequest) as refused:
        UPSTREAM.ignored(request)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tool_choice")


@pytest.mark.parametrize(
    "part",
    [Image("https://example.org/x.png"), Audio("AA==", "wav"), File(file_id="f")],
)
def test_what_it_cannot_be_shown_is_refused_with_its_place(part: Any) -> None:
    """Trap 32: another candidate may see it."""
    for message in (
        Message("user", (Text("x"), part)),
        Message("tool", (Text("x"), ToolResult("t", (part,)))),
    ):
        with pytest.raises(InvalidRequest) as refused:
            UPSTREAM.ignored(ChatRequest(model="m", messages=(USER, message)))
        assert refused.value.code == "unsupported_parameter"
        assert refused.value.param == "messages[1].content[1]"


@pytest.mark.parametrize(
    ("model", "effort", "budget", "think", "named"),
    [
        ("qwen3:8b", None, None, None, []),
        ("qwen3:8b", "none", None, False, []),
        ("qwen3:8b", None, 0, False, []),
        ("qwen3:8b", "high", None, None, ["reasoning_effort"]),
        ("qwen3:8b", None, 9000, None, ["reasoning_budget"]),
        ("gpt-oss:20b", "low", None, "low", []),
        ("gpt-oss:20b", "minimal", None, "low", []),
        ("gpt-oss:20b", "xhigh", None, "high", []),
        ("openai/gpt-oss", None, 9000, "high", []),
    ],
)
def test_levels_of_thinking_go_to_models_that_know_them(
    model: str, effort: str | None, budget: int | None, think: Any, named: list[str]
) -> None:
    """Others refuse a level, and some any word of it; they think by themselves where they can."""
    more = {"reasoning_effort": effort, "reasoning_budget": budget}
    assert sent(model=model, **more).get("think") == think
    request = ChatRequest(model=model, messages=(USER,), **more)  # type: ignore[arg-type]
    assert list(UPSTREAM.ignored(request)) == named


def test_extras_of_this_dialect_are_passed_on_and_others_named() -> None:
    """Options to their place; of chat completions two mean the same."""
    own = {"options.num_ctx": 8, "keep_alive": "5m", "think": "high"}
    body = sent(extras=own, dialect="ollama", max_tokens=3, reasoning_effort="high")
    assert body["options"] == {"num_predict": 3, "num_ctx": 8}
    assert (body["keep_alive"], body["think"]) == ("5m", "high")
    theirs = {"logprobs": True, "logit_bias": {"1": 2}}
    body = sent(extras=theirs, dialect="openai_chat")
    assert body["logprobs"] is True and "logit_bias" not in body
    request = ChatRequest(model="m", messages=(USER,), extras=theirs, dialect="openai_chat")
    assert UPSTREAM.ignored(request) == ("logit_bias",)


# -- the reply ---------------------------------------------------------------------------------

CALL = {"function": {"name": "f", "arguments": {"a": [1, "ä"]}}}
REPLY = b"".join(
    lines(
        {"thinking": "hm "},
        {"thinking": "so", "content": ""},
        {"content": "Hä"},
        {"content": "llo 👋"},
        {"tool_calls": [CALL, CALL]},
        {"content": None},
    )
)


def decode(head: ReplyHead, *chunks: bytes) -> list[ChatEvent]:
    decoder = OllamaReplyDecoder(head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [*events, *decoder.eof()]


def joined(events: list[ChatEvent]) -> list[ChatEvent]:
    found: list[ChatEvent] = []
    for event in events:
        match found[-1] if found else None, event:
            case (TextDelta(a), TextDelta(b)) | (ReasoningDelta(a), ReasoningDelta(b)):
                found[-1] = type(event)(a + b)
            case _:
                found.append(event)
    return found


def test_a_stream_is_read() -> None:
    """Trap 60: thoughts, text, calls whole with ids of our own, counts, and null content."""
    events = joined(decode(NDJSON, REPLY))
    kinds = [event.kind for event in events if isinstance(event, BlockStarted)]
    assert kinds == ["reasoning", "text", "tool_call", "tool_call"]
    assert events[0] == Started("llama3.2")
    assert ReasoningDelta("hm so") in events and TextDelta("Hällo 👋") in events
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert [msgspec.json.decode(c.arguments) for c in calls] == [{"a": [1, "ä"]}] * 2
    ids = [event.tool_id for event in events if isinstance(event, BlockStarted) and event.tool_id]
    assert len(set(ids)) == 2
    # Trap 17: the dialect says "stop" whatever was called.
    assert Finished("tool_calls") in events
    assert events[-1] == UsageReported(Usage(input=26, output=6, source="reported"))


@given(data=st.data())
def test_any_chunking_gives_the_same_events(data: st.DataObject) -> None:
    """Trap 1: however a reply is cut, in the middle of a character too."""
    body = data.draw(st.sampled_from([REPLY, REPLY[:-1], REPLY[:-20], REPLY + b"more", b"<html>"]))
    cuts = data.draw(st.sets(st.integers(0, len(body)), max_size=8))
    chunks = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    assert _plain(decode(NDJSON, *chunks)) == _plain(decode(NDJSON, body))
    one = [body[i : i + 1] for i in range(len(body))]
    assert _plain(decode(NDJSON, *one)) == _plain(decode(NDJSON, body))


def _plain(events: list[ChatEvent]) -> list[Any]:
    """Events that can be compared: an error by its words."""
    return [e.error.text if isinstance(e, Failed) else e for e in joined(events)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ended without an answer"),
        (b"".join(lines({"content": "half"})[:1]), "ended before the answer was complete"),
        (REPLY[:-20], "ended before the answer was complete"),
        (b'{"error":"model runner has stopped"}\n', "model runner has stopped"),
        (lines({"content": "x"})[0] + b'{"error":"out of memory"}\n', "out of memory"),
        (b"data: {}\n\n", "no answer"),
        (b"<html><title>Just a moment</title></html>", "web page"),
        (b"[1]\n", "no answer"),
        (b'{"model":"m"}\n', "no part of an answer"),
        (
            b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":[]}}]}}\n',
            "arguments are no object",
        ),
    ],
)
def test_a_reply_that_is_none_fails(body: bytes, said: str) -> None:
    """Trap 3: an end without the dialect's end is a fault, never a quiet success."""
    *_, last = decode(NDJSON, body)
    assert isinstance(last, Failed) and said in last.error.text
    scanner = ReplyScanner(NDJSON)
    passed = [scanner.feed(body), scanner.eof()]
    if b"tool_calls" not in body and b'{"model":"m"}' not in body:  # a relay judges no content
        assert any(p.failed is not None and said in p.failed.text for p in passed)


def test_nothing_follows_the_end_or_an_error() -> None:
    """Trap 4: whatever else the server may send."""
    decoder = OllamaReplyDecoder(NDJSON)
    decoder.feed(REPLY)
    assert decoder.done and decoder.feed(REPLY) == [] and decoder.eof() == []
    broken = OllamaReplyDecoder(NDJSON)
    broken.feed(b'{"error":"x"}\n')
    assert broken.feed(REPLY) == [] and broken.eof() == []


def test_two_replies_share_nothing() -> None:
    """Trap 10: each decoder has its own state."""
    one, two = OllamaReplyDecoder(NDJSON), OllamaReplyDecoder(NDJSON)
    half = REPLY[: len(REPLY) // 2]
    one.feed(half)
    assert joined(decode(NDJSON, REPLY)) == joined([*two.feed(REPLY), *two.eof()])


def test_arguments_as_text_are_understood() -> None:
    """Trap 60: some servers send what others want."""
    call = {"id": "given", "function": {"name": "f", "arguments": '{"a":1}'}}
    events = decode(NDJSON, *lines({"tool_calls": [call]}))
    assert ToolCallDelta('{"a":1}') in events
    assert any(isinstance(e, BlockStarted) and e.tool_id == "given" for e in events)


# -- the relay lane ----------------------------------------------------------------------------


@given(data=st.data())
def test_a_relayed_stream_keeps_its_bytes_in_any_chunking(data: st.DataObject) -> None:
    """Whole lines only, the first content told, and the end noticed where it is."""
    tricky = {"tool_calls": [{"function": {"name": "f", "arguments": {"done": True, "error": 1}}}]}
    body = b"".join(lines({"content": ""}, tricky, {"content": '"done":true'}, {"content": "x"}))
    cuts = data.draw(st.sets(st.integers(0, len(body)), max_size=8))
    scanner = ReplyScanner(NDJSON)
    passed = [scanner.feed(body[a:b]) for a, b in pairwise([0, *sorted(cuts), len(body)])]
    assert b"".join(p.data for p in passed) == body
    assert all(p.data.endswith(b"\n") or not p.data for p in passed)
    assert sum(p.content for p in passed) == 1 and scanner.done
    assert scanner.usage == Usage(input=26, output=4, source="reported")
    assert scanner.model == "llama3.2"
    assert scanner.feed(b'{"more":1}\n').data == b""


def test_an_error_before_the_content_is_not_passed_on() -> None:
    """Trap 7: it can be tried elsewhere; one after it is told by the gateway."""
    early = ReplyScanner(NDJSON)
    passed = early.feed(b'{"error":"server busy, please try again"}\n')
    assert passed.data == b"" and passed.failed is not None and early.fault is not None
    late = ReplyScanner(NDJSON)
    passed = late.feed(lines({"content": "x"})[0] + b'{"error":"gone"}\n')
    assert passed.content and passed.failed is not None
    assert passed.data == lines({"content": "x"})[0]


def test_a_whole_reply_tells_its_counts_or_its_error() -> None:
    """Of either path."""
    facts = read_whole(JSON, lines()[-1])
    assert facts.usage == Usage(input=26, output=0, source="reported")
    assert facts.model == "llama3.2" and facts.fault is None
    assert read_whole(JSON, b'{"response":"x","done":true}').fault is None
    for body in (b'{"error":"x"}', b"{}", b"<html>", b""):
        assert read_whole(JSON, body).fault is not None


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "code", "credential", "retry"),
    [
        (404, "model 'x' not found", "model_not_found", "none", "never"),
        (400, "prompt too long; exceeds max context", "context_length_exceeded", "none", "never"),
        (400, "x does not support tools", "upstream_rejected", "none", "never"),
        (401, "unauthorized", "upstream_denied", "invalid", "next_credential"),
        (402, "you need a subscription", "upstream_denied", "cool", "next_credential"),
        (
            429,
            "you have reached your limit",
            "rate_limit_exceeded",
            "backoff",
            "again",
        ),
        (503, "server busy, please try again", "upstream_overloaded", "none", "again"),
        (500, "model runner has unexpectedly stopped", "upstream_error", "none", "again"),
    ],
)
def test_its_errors_are_told_apart(
    status: int, said: str, code: str, credential: str, retry: str
) -> None:
    """Words alone, and the status."""
    head = ReplyHead(status, [(b"content-type", b"application/json")])
    fault = UPSTREAM.fault(head, msgspec.json.encode({"error": said}), 0.0)
    assert (fault.error.code, fault.credential, fault.retry) == (code, credential, retry)
    assert said in fault.error.text


# -- the list ----------------------------------------------------------------------------------


def test_the_list_and_what_is_said_of_one() -> None:
    """A name without a tag is the one that is meant; an odd entry hides no other."""
    models = OllamaModels(SERVER)
    assert models.models_request(ANONYMOUS).target == b"/api/tags"
    body = {"models": [{"name": "a:latest", "digest": "d"}, {"odd": 1}, {"name": "b:7b"}]}
    found = models.read_models(msgspec.json.encode(body))
    assert [model.id for model in found] == ["a", "b:7b"]
    call = models.model_request(found[0], ANONYMOUS)
    assert (call.target, call.body) == (b"/api/show", b'{"model":"a"}')
    shown = {
        "capabilities": ["completion", "vision", "insert"],
        "model_info": {"general.architecture": "gemma3", "gemma3.context_length": 131072},
    }
    read = models.read_model(found[0], msgspec.json.encode(shown))
    assert read.abilities == {"chat", "images"} and read.context_length == 131072
    assert read.version == "d"
    bare = models.read_model(found[1], b"{}")
    assert bare.abilities is None and bare.context_length is None
    for nonsense in (b"", b"[]", b'{"data":[]}'):
        with pytest.raises(ValueError, match=r".*"):
            models.read_models(nonsense)
    with pytest.raises(ValueError, match=r".*"):
        models.read_model(ListedModel(id="x"), b"<html>")
