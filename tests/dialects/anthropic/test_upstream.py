"""What servers of this dialect are asked, and how their errors are read: traps 23 to 33."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import Failed, Finished, TextDelta, ToolCallDelta
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
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.errors import InvalidRequest, UpstreamDenied
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret
from support.anthropic_server import Refused, check, event

UPSTREAM = MessagesUpstream("https://api.example.org/v1")
SSE = ReplyHead(200, [(b"content-type", b"text/event-stream")])
JSON = ReplyHead(200, [(b"content-type", b"application/json")])


class NoIds:
    def uuid4(self) -> str:
        raise AssertionError("this dialect puts no ids on the wire")


def asked(*messages: Message, model: str = "claude-sonnet-4-5", **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=messages, dialect="openai_chat", **fields)


def sent(request: ChatRequest) -> dict[str, Any]:
    """The request as the strict server takes it."""
    UPSTREAM.ignored(request)
    body = json.loads(UPSTREAM.encode(request, request.model, ANONYMOUS, NoIds()).body)
    check(body)
    return body


def said(role: Role, *texts: str) -> Message:
    return Message(role, tuple(map(Text, texts)))


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def result(call_id: str, *parts: Any) -> Message:
    return Message("tool", (ToolResult(call_id, parts or (Text("ok"),)),))


HELLO = said("user", "hello")
TOOL = Tool("f", "does it", {"type": "object", "properties": {}})


@pytest.mark.parametrize("blank", ["", "\n", "  "])
def test_blank_texts_are_left_out(blank: str) -> None:
    """Trap 23: the API refuses them in every turn and in system; a result may be one."""
    body = sent(
        asked(
            said("system", blank),
            said("user", "hello", blank),
            Message("assistant", (Text(blank), call("a"))),
            result("a", Text(blank)),
            said("user", blank),
        )
    )
    assert "system" not in body
    assert body["messages"][0] == {"role": "user", "content": "hello"}
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert body["messages"][2]["content"][0]["content"] == blank


def test_system_turns_in_the_middle_stay_in_place() -> None:
    """Trap 24: as system turns where the model takes them, else as the user's words there."""
    messages = (
        said("system", "first"),
        said("developer", "second"),
        HELLO,
        said("assistant", "hi"),
        said("user", "and?"),
        said("system", "now French"),
        said("developer", "and brief"),
    )
    old = sent(asked(*messages))
    assert [block["text"] for block in old["system"]] == ["first", "second"]
    assert [turn["role"] for turn in old["messages"]] == ["user", "assistant", "user"]
    texts = [block["text"] for block in old["messages"][2]["content"]]
    assert texts == ["and?", "now French", "and brief"]
    new = sent(asked(*messages, model="claude-opus-4-8"))
    assert [turn["role"] for turn in new["messages"]] == ["user", "assistant", "user", "system"]
    assert [block["text"] for block in new["messages"][3]["content"]] == ["now French", "and brief"]


def test_a_system_turn_where_none_may_stand_is_told_by_the_user() -> None:
    """Trap 24: before a user's turn, or after an assistant's, the API takes none."""
    body = sent(
        asked(
            HELLO,
            said("assistant", "hi"),
            said("system", "be brief"),
            said("user", "and?"),
            model="claude-opus-4-8",
        )
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


def test_instructions_alone_are_a_question() -> None:
    """The API wants a user's turn; what there is is asked as one."""
    body = sent(asked(said("system", "Say hello.")))
    assert body["messages"] == [{"role": "user", "content": "Say hello."}]


def test_an_assistant_may_speak_first() -> None:
    """The API does not take that, so the user begins."""
    assert sent(asked(said("assistant", "hi"), HELLO))["messages"][0]["role"] == "user"


def test_results_come_in_one_turn_before_all_text() -> None:
    """Trap 25: each call has its one result, in the turn right after it."""
    body = sent(
        asked(
            HELLO,
            Message("assistant", (Text("wait"), call("a"), call("b"))),
            result("a"),
            said("system", "be brief"),
            result("b"),
            said("user", "well?"),
        )
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    kinds = [block["type"] for block in body["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text", "text"]


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ((HELLO, Message("assistant", (call("a"),)), said("user", "so?")), "messages[1]"),
        ((HELLO, result("a")), "messages[1]"),
        ((HELLO, Message("assistant", (call("a"),)), result("a"), result("a")), "messages[3]"),
    ],
)
def test_calls_and_results_that_do_not_match_are_refused_by_us(
    messages: tuple[Message, ...], where: str
) -> None:
    """Trap 26: a clear 400 that says where, and not the API's."""
    with pytest.raises(InvalidRequest) as refused:
        UPSTREAM.ignored(asked(*messages))
    assert refused.value.param == where


@given(call_id=st.text(min_size=1, max_size=90))
def test_ids_of_calls_fit_on_both_sides(call_id: str) -> None:
    """Trap 27: cleaned and shortened alike in the call and in its result, in every turn."""
    request = asked(HELLO, Message("assistant", (call(call_id),)), result(call_id))
    body = sent(request)
    assert (
        body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"]
    )
    assert len(body["messages"][1]["content"][0]["id"]) <= 64


def test_names_of_tools_fit_and_come_back() -> None:
    """Trap 28: with other characters, or longer than the API takes."""
    name = "my tool." + "x" * 150
    request = asked(HELLO, tools=(Tool(name),), tool_choice=NamedTool(name))
    body = sent(request)
    short = body["tools"][0]["name"]
    assert body["tool_choice"]["name"] == short
    decoder = UPSTREAM.decoder(request, SSE)
    block = {"type": "tool_use", "id": "a", "name": short, "input": {}}
    events = decoder.feed(event("content_block_start", index=0, content_block=block))
    assert [e.tool_name for e in events if hasattr(e, "tool_name")] == [name]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("required", None, {"type": "any"}),
        ("none", None, {"type": "none"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
        (NamedTool("f"), None, {"type": "tool", "name": "f"}),
        (AllowedTools(("f",), "required"), None, {"type": "any"}),
    ],
)
def test_tool_choices(choice: Any, parallel: bool | None, expected: Any) -> None:
    """Trap 29: each choice in the API's words; of certain tools only those are shown."""
    tools = (TOOL, Tool("g"))
    body = sent(asked(HELLO, tools=tools, tool_choice=choice, parallel_tool_calls=parallel))
    assert body["tool_choice"] == expected
    shown = 1 if isinstance(choice, AllowedTools) else 2
    assert len(body["tools"]) == shown


def test_no_choice_without_tools() -> None:
    """Trap 29: a choice of nothing is not sent, and a demanded one is refused."""
    assert "tool_choice" not in sent(asked(HELLO, tool_choice="auto"))
    with pytest.raises(InvalidRequest):
        UPSTREAM.ignored(asked(HELLO, tool_choice="required"))


def test_the_mandatory_length_is_filled() -> None:
    """Trap 30: the client's, the setting's, or the model's."""
    assert sent(asked(HELLO))["max_tokens"] == 32000
    assert sent(asked(HELLO, model="claude-3-haiku-20240307"))["max_tokens"] == 4096
    assert sent(asked(HELLO, max_tokens=5))["max_tokens"] == 5
    own = MessagesUpstream("https://api.example.org", longest=777)
    body = json.loads(own.encode(asked(HELLO), "claude-x", ANONYMOUS, NoIds()).body)
    assert body["max_tokens"] == 777


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"tool_choice": "required", "tools": (TOOL,)}, {"reasoning_effort"}),
        ({"sampling": Sampling(temperature=0.5)}, {"temperature"}),
        ({"sampling": Sampling(temperature=1, top_k=5)}, {"top_k"}),
        ({"max_tokens": 500}, {"reasoning_effort"}),
        ({"sampling": Sampling(seed=1, presence_penalty=1)}, {"seed", "presence_penalty"}),
    ],
)
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8"])
def test_what_does_not_go_with_thinking_is_named(
    fields: dict[str, Any], dropped: set[str], model: str
) -> None:
    """Trap 31: resolved visibly, and what is sent is taken."""
    request = asked(HELLO, reasoning_effort="high", model=model, **fields)
    body = sent(request)
    names = set(UPSTREAM.ignored(request))
    if model == "claude-opus-4-8" and "max_tokens" in fields:
        dropped = set()  # it thinks as it sees fit, within any length
    assert dropped <= names
    if "reasoning_effort" not in names:
        assert body["thinking"]["type"] == ("enabled" if "sonnet" in model else "adaptive")


def test_a_budget_fits_in_the_answer() -> None:
    """Trap 31: the API wants it smaller than the whole answer."""
    body = sent(asked(HELLO, reasoning_effort="high", max_tokens=4000))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 3999}


def test_sampling_of_models_that_take_none_is_named() -> None:
    """Trap 31: today's models refuse any."""
    request = asked(HELLO, model="claude-opus-4-8", sampling=Sampling(temperature=0.2, top_p=0.5))
    assert "temperature" not in sent(request)
    assert set(UPSTREAM.ignored(request)) == {"temperature", "top_p"}
    both = asked(HELLO, sampling=Sampling(temperature=0.2, top_p=0.5))
    assert UPSTREAM.ignored(both) == ("top_p",)
    assert UPSTREAM.ignored(asked(HELLO, sampling=Sampling(temperature=1.7))) == ("temperature",)


PNG = "data:image/jpeg;base64,iVBORw0KGgo="


def test_pictures() -> None:
    """Trap 32: data with its true type, links as links, in results too; other schemes are ours."""
    body = sent(
        asked(
            Message("user", (Image(PNG), Image("https://example.org/a.png"))),
            Message("assistant", (call("a"),)),
            result("a", Text("see"), Image(PNG)),
        )
    )
    first, second = body["messages"][0]["content"]
    assert first["source"]["media_type"] == "image/png"
    assert second["source"] == {"type": "url", "url": "https://example.org/a.png"}
    assert body["messages"][2]["content"][0]["content"][1]["source"]["type"] == "base64"
    with pytest.raises(InvalidRequest) as refused:
        sent(asked(Message("user", (Text("x"), Image("ftp://example.org/a")))))
    assert refused.value.param == "messages[0].content[1]"


@pytest.mark.parametrize(
    "part",
    [Audio("AA==", "wav"), File(file_id="file-1"), File("data:application/zip;base64,AA==")],
)
def test_what_the_api_has_no_block_for_is_refused(part: Part) -> None:
    """Sound and other vendors' files: for the route's next candidate, or a 400."""
    with pytest.raises(InvalidRequest) as refused:
        sent(asked(Message("user", (part,))))
    assert refused.value.code == "unsupported_parameter"


def test_stop_strings_of_white_space_are_named() -> None:
    """Trap 33: the API refuses them."""
    request = asked(HELLO, stop=("\n\n", "END"))
    assert sent(request)["stop_sequences"] == ["END"]
    assert UPSTREAM.ignored(request) == ("stop",)


def test_thoughts_without_a_signature_are_not_sent() -> None:
    """Trap 42: nor those of other vendors; signed and sealed ones go back byte for byte."""
    signed = Reasoning("Hm.", Opaque("anthropic", '{"signature":"sig-1"}'))
    sealed = Reasoning("", Opaque("anthropic", '{"data":"sealed-1"}'))
    foreign = Reasoning("Ha.", Opaque("gemini", '{"x":1}'))
    body = sent(
        asked(
            HELLO,
            Message("assistant", (Reasoning("Oh."), signed, sealed, foreign, Text("hi"))),
            HELLO,
        )
    )
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "sealed-1"},
        {"type": "text", "text": "hi"},
    ]


def test_a_call_without_its_thought_stops_thinking() -> None:
    """Trap 31: with a budget the API wants the thought before a call; another's model had none."""
    request = asked(
        HELLO,
        Message("assistant", (call("a"),)),
        result("a"),
        tools=(TOOL,),
        reasoning_effort="low",
    )
    assert "thinking" not in sent(request)
    assert UPSTREAM.ignored(request) == ("reasoning_effort",)


def test_foreign_blocks_of_others_are_left_out() -> None:
    """A block of another vendor's hosted tool means nothing here."""
    other = Foreign(Opaque("openai_responses", "{}"))
    assert sent(asked(HELLO, Message("assistant", (other, Text("x"))), HELLO))["messages"][1] == {
        "role": "assistant",
        "content": "x",
    }


def test_arguments_that_are_no_object_become_one() -> None:
    """What a model wrote wrongly, or as plain text, is not lost."""
    parts = (call("a", arguments="not json"), ToolCall("b", "f", "text", freeform=True))
    body = sent(asked(HELLO, Message("assistant", parts), result("a"), result("b")))
    assert [block["input"] for block in body["messages"][1]["content"]] == [
        {"input": "not json"},
        {"input": "text"},
    ]


def test_an_answer_to_go_on_with_does_not_end_in_white_space() -> None:
    """The API refuses that."""
    assert sent(asked(HELLO, said("assistant", "Well, \n")))["messages"][1]["content"] == "Well,"


def test_what_json_can_be_promised() -> None:
    """Only a strict schema; all else is for the gateway."""
    assert UPSTREAM.lacks(asked(HELLO, json=JsonFormat())) == {"json"}
    assert UPSTREAM.lacks(asked(HELLO, json=JsonFormat({"type": "object"}))) == {"json"}
    assert not UPSTREAM.lacks(asked(HELLO, json=JsonFormat({"type": "object"}, strict=True)))
    assert not UPSTREAM.lacks(asked(HELLO))


def test_the_call_goes_to_the_messages_endpoint_with_the_key_in_its_header() -> None:
    """Whether or not the base URL ends in /v1."""
    for url in ("https://a.example", "https://a.example/", "https://a.example/v1"):
        access = Access(Secret("sk-ant-key"))
        request = MessagesUpstream(url).encode(asked(HELLO), "m", access, NoIds())
        assert request.target == b"/v1/messages"
        assert (b"x-api-key", b"sk-ant-key") in request.headers
        assert "sk-ant-key" not in repr(request)


# -- replies ---------------------------------------------------------------------------------


def replayed(*pieces: bytes, head: ReplyHead = SSE) -> tuple[list[Any], Any]:
    decoder = UPSTREAM.decoder(asked(HELLO), head)
    events = [e for piece in pieces for e in decoder.feed(piece)] + decoder.eof()
    return events, decoder


BEGIN = event("message_start", message={"type": "message", "model": "m", "usage": {}})
TEXT = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
PIECE = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
STOP = event("content_block_stop", index=0)


def test_a_stream_without_its_end_is_a_fault() -> None:
    """Trap 3: the body's end alone is no end."""
    events, decoder = replayed(BEGIN, TEXT, PIECE, STOP)
    assert isinstance(events[-1], Failed)
    assert decoder.fault.error.code == "upstream_truncated"


def test_a_reason_for_the_end_is_end_enough() -> None:
    """Some servers forget ``message_stop``."""
    reason = event("message_delta", delta={"stop_reason": "max_tokens"}, usage={})
    events, decoder = replayed(BEGIN, TEXT, PIECE, STOP, reason)
    assert decoder.fault is None
    assert [e.reason for e in events if isinstance(e, Finished)] == ["length"]


def test_the_first_piece_of_a_block_is_not_swallowed() -> None:
    """Trap 35: not at the change from text to call, nor where a server begins no block."""
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"a":1}'}
    end = event("message_delta", delta={"stop_reason": "tool_use"}, usage={})
    events, _ = replayed(
        BEGIN,
        PIECE,
        event("content_block_start", index=1, content_block=block)
        + event("content_block_delta", index=1, delta=piece),
        end,
        event("message_stop"),
    )
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["hi"]
    assert [e.arguments for e in events if isinstance(e, ToolCallDelta)] == ['{"a":1}']


def test_counts_that_are_null_replace_nothing() -> None:
    """Trap 38: the end of a stream may leave out what its beginning said."""
    begun = {"type": "message", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}
    usage = {"input_tokens": None, "output_tokens": 4, "cache_read_input_tokens": 3}
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    events, _ = replayed(
        event("message_start", message=begun), TEXT, PIECE, STOP, end, event("message_stop")
    )
    usage_now = next(e.usage for e in events if hasattr(e, "usage") and e.usage.output == 4)
    assert (usage_now.input, usage_now.cache_read, usage_now.prompt) == (9, 3, 12)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause"),
    ],
)
def test_reasons_for_the_end(reason: str, expected: str) -> None:
    """Trap 45: each has its canonical word."""
    whole = {"type": "message", "content": [], "stop_reason": reason, "usage": {}}
    events, _ = replayed(json.dumps(whole).encode(), head=JSON)
    assert [e.reason for e in events if isinstance(e, Finished)] == [expected]


def test_the_stop_string_that_hit_is_read() -> None:
    """Trap 45: with its value."""
    whole = {
        "type": "message",
        "content": [{"type": "text", "text": "a"}],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
    }
    events, _ = replayed(json.dumps(whole).encode(), head=JSON)
    assert events[-1] == Finished("stop", 0, "END")


# -- errors ----------------------------------------------------------------------------------


def fault(status: int, message: str, **more: Any) -> Any:
    error = {"type": "invalid_request_error", "message": message, **more}
    body = json.dumps({"type": "error", "error": error}).encode()
    head = ReplyHead(status, [(b"content-type", b"application/json")])
    return UPSTREAM.fault(head, body, 0.0)


def test_a_prompt_that_is_too_long_has_its_code() -> None:
    """Trap 45: so that clients of other dialects know what it is."""
    found = fault(400, "prompt is too long: 210000 tokens > 200000 maximum")
    assert found.error.code == "context_length_exceeded"
    assert found.retry == "never"


def test_an_account_without_credit_is_the_operators_trouble() -> None:
    """The API says so with a 400."""
    found = fault(400, "Your credit balance is too low to access the Anthropic API.")
    assert isinstance(found.error, UpstreamDenied)
    assert found.credential == "cool"
    assert found.retry == "next_credential"


def test_a_code_that_clients_act_on_is_kept() -> None:
    """A lost thread is begun anew by the client that knows it is lost."""
    found = fault(400, "No such thread.", details={"error_code": "thread_not_found"})
    assert found.error.code == "thread_not_found"


def test_an_overloaded_server_counts_and_is_tried_again() -> None:
    """Trap 46: 529 is this dialect's 503."""
    found = fault(529, "Overloaded")
    assert (found.error.status, found.upstream, found.retry) == (503, "count", "again")


def test_models_are_listed() -> None:
    """With names for people and the length of their context; one odd entry hides no other."""
    entry = {
        "id": "claude-x",
        "display_name": "Claude X",
        "created_at": "2026-05-28T00:00:00Z",
        "max_input_tokens": 200000,
    }
    (model,) = UPSTREAM.read_models(msgspec.json.encode({"data": [{"odd": 1}, entry]}))
    assert (model.id, model.title, model.context_length) == ("claude-x", "Claude X", 200000)
    assert model.created == 1779926400
    with pytest.raises(ValueError):
        UPSTREAM.read_models(b'{"error": 1}')


def test_the_strict_server_is_strict() -> None:
    """What these tests lean on refuses what the API refuses."""
    with pytest.raises(Refused):
        check({"model": "m", "messages": [{"role": "user", "content": " "}], "max_tokens": 1})


def test_a_clients_headers_go_on_and_its_keys_do_not() -> None:
    """The relay lane: betas and version, nothing else."""
    head = RequestHead(
        "POST",
        "/v1/messages",
        b"beta=true",
        [(b"anthropic-beta", b"a,b"), (b"x-api-key", b"client"), (b"cookie", b"c")],
    )
    request = UPSTREAM.forward(b"{}", Access(Secret("own")), model="m", stream=True, head=head)
    assert request.target == b"/v1/messages?beta=true"
    assert (b"anthropic-beta", b"a,b") in request.headers
    assert (b"anthropic-version", b"2023-06-01") in request.headers
    assert (b"x-api-key", b"own") in request.headers
    assert b"client" not in b"".join(value for _, value in request.headers)
