"""Backend side of Responses: what a server is asked for a canonical request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import structs

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
    SpokenAnswer,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream, ServerTraits
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import RequestHead, header
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret

OWN = "openai_responses"
USER = Message("user", (Text("hi"),))


class NoIds:
    """This dialect puts no ids on the wire."""

    def uuid4(self) -> str:
        raise AssertionError("equal turns must give equal bytes")


def asked(
    *messages: Message, traits: ServerTraits = ServerTraits(), model: str = "gpt-4o", **more: Any
) -> dict[str, Any]:
    """The body a server gets."""
    upstream = ResponsesUpstream("http://upstream.example/v1/", traits)
    request = ChatRequest(model=model, messages=messages or (USER,), **more)
    call = upstream.encode(request, model, ANONYMOUS, NoIds())
    assert call.target == b"/v1/responses"
    body: dict[str, Any] = json.loads(call.body)
    return body


def items(*messages: Message, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(*messages, **more)["input"]
    return found


def ignored(traits: ServerTraits = ServerTraits(), **more: Any) -> tuple[str, ...]:
    upstream = ResponsesUpstream("http://upstream.example/v1", traits)
    return upstream.ignored(ChatRequest(**{"model": "m", "messages": (USER,), **more}))


def test_a_plain_question() -> None:
    """Nothing is kept there unless somebody wants it."""
    assert asked() == {
        "model": "gpt-4o",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "store": False,
    }
    assert asked(dialect="openai_chat", extras={"store": True})["store"] is True


def test_instructions_are_the_system_message_in_front() -> None:
    """Trap 53: further ones, and ``developer``, stay where and what they are."""
    system = Message("system", (Text("Be brief."),))
    developer = Message("developer", (Text("In verse."),))
    body = asked(system, developer, USER, system)
    assert body["instructions"] == "Be brief."
    assert [item["role"] for item in body["input"]] == ["developer", "user", "system"]
    several = Message("system", (Text("A"), Text("B", Vendor("anthropic", {"cache": 1}))))
    assert asked(several, USER)["instructions"] == "A\n\nB"
    assert "instructions" not in asked(system)
    marked = Message("system", (Text("A", Vendor(OWN, {"prompt_cache_breakpoint": {}})),))
    assert "instructions" not in asked(marked, USER)


def test_a_turn_of_the_model_is_items_in_its_order() -> None:
    """Thoughts, words, a refusal and calls; what is sealed goes back with its thought."""
    turn = Message(
        "assistant",
        (
            Reasoning("Hm.", Opaque(OWN, "gAAA=")),
            Text("So"),
            Refusal("not"),
            ToolCall("c1", "f", '{"a":1}'),
            ToolCall("c2", "patch", "+x", freeform=True),
        ),
    )
    results = Message(
        "user",
        (
            Text("And?"),
            ToolResult("c1", (Text("1"),)),
            ToolResult("c2", (Text("ok"), Image("data:image/png;base64,AA==", "low"))),
        ),
    )
    assert items(USER, turn, results)[1:] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAA=",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "So"},
                {"type": "refusal", "refusal": "not"},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "+x"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "ok"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,AA==",
                    "detail": "low",
                },
            ],
        },
        {"type": "message", "role": "user", "content": "And?"},
    ]


def test_what_others_have_sealed_stays_out() -> None:
    """Traps 42 and 52: neither another vendor's seal nor a thought in plain words is an item."""
    turn = Message(
        "assistant",
        (
            Reasoning("A", Opaque("anthropic", "sig")),
            Reasoning("B"),
            Foreign(Opaque("anthropic", "{}")),
            Foreign(Opaque(OWN, '{"type":"web_search_call","id":"ws_1"}')),
            Text("C"),
        ),
    )
    kinds = [item["type"] for item in items(USER, turn)[1:]]
    assert kinds == ["web_search_call", "message"]
    kinds = [item["type"] for item in items(USER, turn, dialect=OWN)[1:]]
    assert kinds == ["reasoning", "web_search_call", "message"]


def test_parts_of_every_kind() -> None:
    """Pictures, sound, files by data, URL and id."""
    data = base64.b64encode(b"x").decode()
    message = Message(
        "user",
        (
            Text("See"),
            Image("https://a.example/p.png"),
            Audio(data, "wav"),
            File(data=f"data:text/plain;base64,{data}", filename="a.txt"),
            File(url="https://a.example/f.pdf"),
            File(file_id="file_1"),
            File(file_id="file_2", vendor=Vendor(OWN, {"type": "input_image"})),
        ),
    )
    [item] = items(message)
    assert item["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": "https://a.example/p.png"},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {
            "type": "input_file",
            "file_data": f"data:text/plain;base64,{data}",
            "filename": "a.txt",
        },
        {"type": "input_file", "file_url": "https://a.example/f.pdf"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "file_id": "file_2"},
    ]


def test_ids_and_names_that_are_too_long_fit() -> None:
    """Traps 27 and 28: always the same way, so a result finds its call, in every turn."""
    long = "x" * 90
    turn = Message("assistant", (ToolCall(long, long, "{}"),))
    result = Message("tool", (ToolResult(long, (Text("1"),)),))
    body = asked(USER, turn, result, tools=(Tool(long),), tool_choice=NamedTool(long))
    call, output = body["input"][1:]
    assert len(call["call_id"]) <= 64
    assert call["call_id"] == output["call_id"]
    assert len(call["name"]) <= 64
    assert call["name"] == body["tools"][0]["name"] == body["tool_choice"]["name"]


# -- tools -------------------------------------------------------------------------------------

FUNCTION = Tool("f", "d", {"type": "object"})
PATCH = Tool("patch", freeform=True, grammar=Grammar("lark", "start: /x/"))


def test_functions_of_others_are_not_strict_unless_they_say_so() -> None:
    """Here a function that says nothing is checked; elsewhere it is not."""
    plain, own = asked(tools=(FUNCTION,)), asked(tools=(FUNCTION,), dialect=OWN)
    assert plain["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": False,
        }
    ]
    assert "strict" not in own["tools"][0]
    bare = asked(tools=(Tool("g"),))["tools"][0]
    assert bare["parameters"] == {"type": "object", "properties": {}}
    assert asked(tools=(structs.replace(FUNCTION, strict=True),))["tools"][0]["strict"] is True


def test_freeform_tools_are_custom_tools() -> None:
    """Trap 50: with their grammar; a choice of one says its kind."""
    body = asked(tools=(FUNCTION, PATCH), tool_choice=NamedTool("patch"), parallel_tool_calls=False)
    assert body["tools"][1] == {
        "type": "custom",
        "name": "patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
    }
    assert body["tool_choice"] == {"type": "custom", "name": "patch"}
    assert body["parallel_tool_calls"] is False
    choice = AllowedTools(("f", "patch"), "required")
    assert asked(tools=(FUNCTION, PATCH), tool_choice=choice)["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "patch"}],
    }
    assert "tool_choice" not in asked(tool_choice="auto")


def test_a_namespace_holds_its_tools_again() -> None:
    """Trap 50: under their bare names, and its calls too; a client's tool search is one again."""
    space = {"namespace": {"name": "files", "description": "D"}}
    read = Tool("files__read", vendor=Vendor(OWN, {**space, "name": "read"}))
    write = Tool("files__write", freeform=True, vendor=Vendor(OWN, {**space, "name": "write"}))
    search = Tool(
        "tool_search", "find", {"type": "object"}, vendor=Vendor(OWN, {"type": "tool_search"})
    )
    call = ToolCall(
        "c", "files__read", "{}", vendor=Vendor(OWN, {"namespace": "files", "name": "read"})
    )
    body = asked(
        USER,
        Message("assistant", (call,)),
        tools=(read, FUNCTION, write, search),
        tool_choice=NamedTool("files__write"),
        dialect=OWN,
        extras={"tools": [{"type": "web_search"}]},
    )
    assert body["tools"] == [
        {
            "type": "namespace",
            "name": "files",
            "description": "D",
            "tools": [{"type": "function", "name": "read"}, {"type": "custom", "name": "write"}],
        },
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
        {"type": "tool_search", "description": "find", "parameters": {"type": "object"}},
        {"type": "web_search"},
    ]
    assert body["tool_choice"] == {"type": "custom", "name": "write", "namespace": "files"}
    assert body["input"][1] == {
        "type": "function_call",
        "call_id": "c",
        "name": "read",
        "namespace": "files",
        "arguments": "{}",
    }


# -- parameters --------------------------------------------------------------------------------


def test_parameters_have_their_names_here() -> None:
    """Lengths, formats, effort, what is to be included."""
    schema = JsonFormat({"type": "object"}, "a", "d", strict=True)
    body = asked(
        max_tokens=100,
        sampling=Sampling(temperature=0.5, top_p=0.9),
        json=schema,
        user="u",
        prompt_cache_key="k",
        stream=True,
        dialect="openai_chat",
        extras={"verbosity": "low", "logprobs": True, "top_logprobs": 2, "service_tier": "flex"},
    )
    assert {name: body[name] for name in body.keys() - {"model", "input", "store"}} == {
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "text": {
            "format": {
                "type": "json_schema",
                "name": "a",
                "description": "d",
                "schema": {"type": "object"},
                "strict": True,
            },
            "verbosity": "low",
        },
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "service_tier": "flex",
        "user": "u",
        "prompt_cache_key": "k",
        "stream": True,
    }
    assert asked(json=JsonFormat())["text"] == {"format": {"type": "json_object"}}


def test_thoughts_come_back_sealed_from_models_that_think() -> None:
    """Trap 52: nothing is kept there, so the seal has to travel; others refuse to make one."""
    sealed = ["reasoning.encrypted_content"]
    assert asked(model="gpt-5.1")["include"] == sealed
    body = asked(model="own", reasoning_effort="high")
    assert (body["reasoning"], body["include"]) == ({"effort": "high"}, sealed)
    assert asked(reasoning_budget=0)["reasoning"] == {"effort": "none"}
    assert "include" not in asked(model="gpt-4o")
    wishes = {"reasoning": {"summary": "auto"}, "include": ["x"]}
    own = asked(model="o4-mini", reasoning_effort="low", dialect=OWN, extras=wishes)
    assert own["reasoning"] == {"effort": "low", "summary": "auto"}
    assert own["include"] == ["x", *sealed]


def test_what_a_model_that_thinks_refuses_is_named() -> None:
    """Trap 64: and left out."""
    sampling = Sampling(temperature=0.5, top_p=0.9)
    body = asked(model="gpt-5", sampling=sampling)
    assert not {"temperature", "top_p"} & body.keys()
    assert ignored(model="gpt-5", sampling=sampling) == ("temperature", "top_p")


def test_what_has_no_place_is_named_in_the_clients_words() -> None:
    """Nothing is dropped in silence; a length below the least is the least, and is named."""
    sampling = Sampling(seed=1, presence_penalty=0.1, frequency_penalty=0.1, top_k=3)
    assert ignored(
        sampling=sampling,
        max_tokens=3,
        dialect="openai_chat",
        extras={"logit_bias": {}, "modalities": ["text"], "store": False, "prediction": {}},
        own_names={"max_tokens": "max_completion_tokens"},
    ) == (
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "top_k",
        "max_completion_tokens",
        "logit_bias",
        "prediction",
    )
    assert asked(max_tokens=3)["max_output_tokens"] == 16
    assert ignored(dialect="gemini", extras={"store": True}) == ("store",)
    assert ignored(dialect=OWN, extras={"truncation": "auto"}) == ()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"dialect": "openai_chat", "extras": {"modalities": ["audio"]}}, "modalities"),
        ({"messages": (Message("assistant", (SpokenAnswer("a"),)),)}, "messages[0].content[0]"),
    ],
)
def test_sound_is_refused(more: Any, param: str) -> None:
    """An answer in sound, or an earlier one, changes what the answer means."""
    with pytest.raises(InvalidRequest) as caught:
        ignored(**more)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


def test_equal_turns_begin_with_equal_bytes() -> None:
    """Trap 65: a longer conversation goes on where the shorter one ended."""
    turn = Message("assistant", (Text("Hello"), ToolCall("c", "f", "{}")))
    upstream = ResponsesUpstream("http://upstream.example/v1")

    def body(*messages: Message) -> bytes:
        request = ChatRequest(model="m", messages=messages, tools=(FUNCTION,))
        return upstream.encode(request, "m", ANONYMOUS, NoIds()).body

    system = Message("system", (Text("Be brief."),))
    shorter = body(system, USER, turn)
    assert shorter == body(system, USER, turn)
    end = shorter.index(b'],"tools"')
    assert body(system, USER, turn, USER).startswith(shorter[:end])


# -- what servers differ in --------------------------------------------------------------------

TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}, 1)
)
HEAD = RequestHead(
    "POST",
    "/v1/responses",
    b"",
    [
        (b"authorization", b"Bearer ours"),
        (b"session-id", b"s"),
        (b"x-codex-turn-metadata", b"{}"),
        (b"openai-beta", b"b"),
        (b"cookie", b"c"),
    ],
)


def test_a_server_that_always_streams_is_asked_for_a_stream() -> None:
    """Whatever the client wants; its answer is collected."""
    assert asked(traits=ServerTraits(always_streams=True))["stream"] is True
    assert "stream" not in asked()


def test_the_account_of_a_token_goes_into_its_header() -> None:
    """On every call with that token, relayed and lists too; a token that tells none gets none."""
    traits = ServerTraits(
        account_header="chatgpt-account-id", headers=(("originator", Secret("us")),)
    )
    upstream = ResponsesUpstream("http://upstream.example/v1", traits)
    access = Access(token=Secret(TOKEN))
    calls = [
        upstream.encode(ChatRequest(model="m", messages=(USER,)), "m", access, NoIds()),
        upstream.forward(b"{}", access, model="m", stream=True, head=HEAD),
        upstream.models_request(access),
    ]
    for call in calls:
        assert header(call.headers, b"chatgpt-account-id") == b"acc"
        assert header(call.headers, b"originator") == b"us"
        assert header(call.headers, b"authorization") == b"Bearer " + TOKEN.encode()
    bare = upstream.models_request(Access(token=Secret("sk-plain")))
    assert header(bare.headers, b"chatgpt-account-id") is None


def test_refused_parameters_are_not_sent_and_are_named() -> None:
    """In the client's words; what nobody wished for is not told."""
    traits = ServerTraits(refuses=frozenset({"max_output_tokens", "store", "service_tier"}))
    more: Any = {
        "max_tokens": 100,
        "dialect": "openai_chat",
        "extras": {"service_tier": "flex"},
        "own_names": {"max_tokens": "max_completion_tokens"},
    }
    assert asked(traits=traits, **more).keys() == {"model", "input"}
    assert ignored(traits, **more) == ("max_completion_tokens", "service_tier")
    upstream = ResponsesUpstream("http://upstream.example/v1", traits)
    body = b'{"model": "m", "input": "hi", "max_output_tokens": 5, "store": true}'
    assert upstream.unheard(body) == ("max_output_tokens",)
    call = upstream.forward(body, ANONYMOUS, model="m", stream=False, head=HEAD)
    assert json.loads(call.body) == {"model": "m", "input": "hi"}


def test_a_relayed_body_keeps_its_bytes_and_its_own_headers() -> None:
    """The session and the beta asked for go on; the client's key and cookies never."""
    upstream = ResponsesUpstream("http://upstream.example/v1")
    body = b'{ "model":"m", "new": [1.0e2] }'
    access = Access(token=Secret("sk-theirs"))
    call = upstream.forward(body, access, model="m", stream=True, head=HEAD)
    assert call.body is body
    assert {name for name, _ in call.headers} == {
        b"authorization",
        b"content-type",
        b"accept",
        b"session-id",
        b"x-codex-turn-metadata",
        b"openai-beta",
    }
    assert header(call.headers, b"authorization") == b"Bearer sk-theirs"


def test_a_body_is_unsealed_by_taking_its_sealed_thoughts_out() -> None:
    """Trap 52: every other item keeps its bytes; a history made short is no thought."""
    sealed = b'{"type":"reasoning","summary":[],"encrypted_content":"gAAA="}'
    others = [
        b'{"type": "message","role":"user","content":"encrypted_content"}',
        b'{"type":"reasoning","summary":[],"encrypted_content":null}',
        b'{"type":"compaction","encrypted_content":"gBBB="}',
    ]
    upstream = ResponsesUpstream("http://upstream.example/v1")
    body = b'{"input":[%b],"model":"m"}'
    given = body % b",".join([others[0], sealed, *others[1:]])
    assert upstream.unsealed(given) == body % b",".join(others)
    assert upstream.unsealed(body % b",".join(others)) is None
    assert upstream.unsealed(b'{"input":"hi"}') is None
