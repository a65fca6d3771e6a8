"""Calls to an OpenAI-compatible server: where they go and what they carry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.chat.request import (
    ChatRequest,
    Foreign,
    Image,
    JsonFormat,
    Message,
    Opaque,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.wire.http import HttpRequest, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret

HEAD = RequestHead("POST", "/", b"", [])
ACCESS = Access(Secret("sk-planted"))
HELLO = (Message("user", (Text("hi"),)),)


class NoIds:
    def uuid4(self) -> str:
        raise AssertionError("no id is needed")


def encoded(request: ChatRequest, model: str = "there", **options: Any) -> dict[str, Any]:
    upstream = ChatUpstream("https://api.example.com/v1", **options)
    body: dict[str, Any] = json.loads(upstream.encode(request, model, ACCESS, NoIds()).body)
    return body


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("https://api.example.com/v1", b"/v1/chat/completions"),
        ("https://api.example.com/v1/", b"/v1/chat/completions"),
        ("http://127.0.0.1:8000", b"/chat/completions"),
        (
            "https://a.example.com/deploy/x?api-version=2",
            b"/deploy/x/chat/completions?api-version=2",
        ),
    ],
)
def test_the_path_is_added_to_the_base_url(base_url: str, target: bytes) -> None:
    """With or without a trailing slash; a query stays at the end."""
    upstream = ChatUpstream(base_url)
    call = upstream.forward(b"{}", ACCESS, model="m", stream=False, head=HEAD)
    assert (call.method, call.target) == (b"POST", target)
    assert upstream.models_request(ACCESS).target == target.replace(b"chat/completions", b"models")


def test_a_wrong_base_url_is_refused_at_once() -> None:
    """Not when the first request fails."""
    with pytest.raises(ValueError, match="http://"):
        ChatUpstream("api.example.com/v1")


def test_the_credential_travels_in_its_header_alone() -> None:
    """As a bearer token, in no other place, and not at all where there is none."""
    upstream = ChatUpstream("https://api.example.com/v1")
    request = ChatRequest(model="m", messages=HELLO)
    calls: list[HttpRequest] = [
        upstream.encode(request, "m", ACCESS, NoIds()),
        upstream.forward(b"{}", ACCESS, model="m", stream=True, head=HEAD),
        upstream.models_request(ACCESS),
    ]
    for call in calls:
        assert (b"authorization", b"Bearer sk-planted") in call.headers
        assert b"planted" not in call.target + call.body
        assert "planted" not in repr(call)
    bare = upstream.forward(b"{}", ANONYMOUS, model="m", stream=False, head=HEAD)
    assert b"authorization" not in dict(bare.headers)


def test_a_relayed_body_is_carried_as_it_is() -> None:
    """Byte for byte, with the accept header of what was asked for."""
    upstream = ChatUpstream("https://api.example.com/v1")
    body = b'{ "x" : 1 }'
    for stream, accept in ((True, b"text/event-stream"), (False, b"application/json")):
        call = upstream.forward(body, ACCESS, model="m", stream=stream, head=HEAD)
        assert call.body is body
        assert dict(call.headers)[b"accept"] == accept
        assert dict(call.headers)[b"content-type"] == b"application/json"


def test_a_stream_is_asked_for_usage_unless_switched_off() -> None:
    """The gateway accounts for every reply; a server that refuses the option is spared it."""
    stream = ChatRequest(model="m", messages=HELLO, stream=True)
    assert encoded(stream)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in encoded(stream, include_usage=False)
    whole = encoded(ChatRequest(model="m", messages=HELLO))
    assert set(whole) == {"model", "messages"}
    assert whole["model"] == "there"


def test_models_that_think_get_the_parameters_they_take() -> None:
    """The newer name of the limit, and no sampling, which is named as ignored."""
    request = ChatRequest(
        model="o3-mini", messages=HELLO, max_tokens=5, sampling=Sampling(temperature=0.5, seed=1)
    )
    body = encoded(request, "o3-mini")
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert "temperature" not in body
    assert body["seed"] == 1
    upstream = ChatUpstream("https://api.example.com/v1")
    assert upstream.ignored(request) == ("temperature",)
    for name in ("gpt-4o", "gpt-5-chat-latest", "llama", "olmo-7b", "gpt-oss-20b"):
        assert encoded(request, name)["max_tokens"] == 5
        assert encoded(request, name)["temperature"] == 0.5


@pytest.mark.parametrize("name", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5.1", "openai/o3"])
def test_which_models_think(name: str) -> None:
    """By the vendor's names."""
    request = ChatRequest(model=name, messages=HELLO, max_tokens=5)
    assert "max_completion_tokens" in encoded(request, name)


def test_a_tool_choice_never_goes_without_tools() -> None:
    """Servers refuse it."""
    request = ChatRequest(model="m", messages=HELLO, tool_choice="auto", parallel_tool_calls=True)
    assert set(encoded(request)) == {"model", "messages"}
    with_tools = encoded(
        ChatRequest(model="m", messages=HELLO, tools=(Tool("f"),), tool_choice="required")
    )
    assert with_tools["tool_choice"] == "required"
    assert with_tools["tools"] == [{"type": "function", "function": {"name": "f"}}]


def test_results_stand_together_and_their_pictures_follow() -> None:
    """A tool message holds text; pictures come in a user message after the turn's last result."""
    request = ChatRequest(
        model="m",
        messages=(
            Message("assistant", (ToolCall("a", "f", "{}"), ToolCall("b", "f", ""))),
            Message(
                "user",
                (
                    ToolResult("a", (Text("one"), Image("https://x/1.png"))),
                    ToolResult("b", (Image("https://x/2.png"),)),
                    Text("what now?"),
                ),
            ),
            Message("tool", (ToolResult("c", (Text("three"), Image("https://x/3.png"))),)),
        ),
    )
    assert [(m["role"], m["content"]) for m in encoded(request)["messages"]] == [
        ("assistant", None),
        ("tool", "one"),
        ("tool", ""),
        (
            "user",
            [
                {"type": "image_url", "image_url": {"url": "https://x/1.png"}},
                {"type": "image_url", "image_url": {"url": "https://x/2.png"}},
            ],
        ),
        ("user", "what now?"),
        ("tool", "three"),
        ("user", [{"type": "image_url", "image_url": {"url": "https://x/3.png"}}]),
    ]


def test_another_dialects_words_stay_behind() -> None:
    """What only servers of another dialect understand is not sent, and what was given is named."""
    mark = Vendor("anthropic", {"cache_control": {"type": "ephemeral"}})
    request = ChatRequest(
        model="m",
        messages=(
            Message("user", (Text("hi", mark), Foreign(Opaque("anthropic", '{"type":"x"}')))),
        ),
        sampling=Sampling(top_k=5),
        reasoning_budget=5000,
        extras={"container": "c", "store": True},
        dialect="anthropic",
    )
    upstream = ChatUpstream("https://api.example.com/v1")
    assert upstream.ignored(request) == ("top_k", "container", "store")
    assert encoded(request) == {
        "model": "there",
        "messages": [{"role": "user", "content": "hi"}],
        "reasoning_effort": "medium",
    }


@pytest.mark.parametrize(
    ("model", "effort"), [("gpt-4o", None), ("llama", None), ("gpt-5.1", "none"), ("o3", "none")]
)
def test_a_model_that_does_not_think_is_not_told_not_to(model: str, effort: str | None) -> None:
    """Clients of other dialects say so of any model, and its server refuses the parameter."""
    request = ChatRequest(model=model, messages=HELLO, reasoning_budget=0)
    assert encoded(request, model).get("reasoning_effort") == effort


def test_another_vendors_opaque_parts_stay_behind() -> None:
    """The thought's text goes on, its signature does not."""
    thought = Reasoning("hm", Opaque("anthropic", "signature"))
    call = ToolCall("a", "f", "{}", Opaque("openai_responses", "signature"))
    request = ChatRequest(model="m", messages=(Message("assistant", (thought, call)),))
    (message,) = encoded(request)["messages"]
    assert message["reasoning_content"] == "hm"
    assert b"signature" not in json.dumps(message).encode()


def test_a_google_signature_goes_back_beside_its_call() -> None:
    """Trap 55: also one that came over the vendor's own dialect."""
    call = ToolCall("a", "f", "{}", Opaque("gemini", "c2ln"))
    request = ChatRequest(model="m", messages=(Message("assistant", (call,)),))
    (message,) = encoded(request)["messages"]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}


def test_an_answers_schema_needs_a_name() -> None:
    """One is given where another dialect has none."""
    request = ChatRequest(model="m", messages=HELLO, json=JsonFormat({"type": "object"}))
    assert encoded(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }
