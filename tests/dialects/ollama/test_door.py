"""The client side of Ollama's API: what its requests mean, and what is wrong with some."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chatgpt_to_api.chat.request import Image, Message, Reasoning, Text, ToolCall, ToolResult
from chatgpt_to_api.dialects.ollama.door import (
    CHAT_DOOR,
    GENERATE_DOOR,
    OllamaChatAsked,
    OllamaChatDoor,
)
from chatgpt_to_api.dialects.ollama.messages import bare, tagged
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import RequestHead
from chatgpt_to_api.wire.limits import RequestLimits
from support.ollama_server import PIXEL

HEAD = RequestHead("POST", "/api/chat", b"", [])
USER = {"role": "user", "content": "hi"}


def ask(*messages: Any, **more: Any) -> OllamaChatAsked:
    body = {"model": "llama3.2", "messages": list(messages) or [USER], **more}
    return CHAT_DOOR.ask(HEAD, msgspec.json.encode(body))


def call(name: str = "f", arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments or {}}, **more}


def test_a_request_streams_unless_it_says_no() -> None:
    """Null says nothing."""
    assert ask().stream and ask(stream=None).stream and ask(stream=True).stream
    assert not ask(stream=False).stream


@pytest.mark.parametrize(
    ("given", "name", "shown"),
    [
        ("llama3.2:latest", "llama3.2", "llama3.2:latest"),
        ("llama3.2", "llama3.2", "llama3.2:latest"),
        ("qwen3:8b", "qwen3:8b", "qwen3:8b"),
        ("openai/gpt-oss:20b", "openai/gpt-oss:20b", "openai/gpt-oss:20b"),
        ("http://x:1/name", "http://x:1/name", "http://x:1/name:latest"),
        (":latest", ":latest", ":latest"),
    ],
)
def test_a_tag_that_says_nothing_is_no_part_of_a_name(given: str, name: str, shown: str) -> None:
    """Lists show it, routes do without."""
    assert bare(given) == name and tagged(given) == shown
    body = msgspec.json.encode({"model": given, "messages": [USER]})
    asked = CHAT_DOOR.ask(HEAD, body)
    assert asked.model == name == asked.request().model
    assert asked.relayed(name, ask_usage=True) is body


def test_a_relayed_request_keeps_every_byte_but_the_name() -> None:
    """Where the upstream knows the model by another."""
    body = b'{"model": "a:latest","messages":[], "options" : {"num_ctx":  8}}'
    relayed = CHAT_DOOR.ask(HEAD, body).relayed("b", ask_usage=True)
    assert relayed == b'{"model":"b","messages":[],"options":{"num_ctx":  8}}'


def test_calls_without_ids_are_counted_and_their_results_find_them() -> None:
    """Trap 60: by id, by the tool's name, or by their order; equal turns give equal ids."""
    asked = ask(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b"), call("a")]},
        {"role": "tool", "tool_name": "b", "content": "for b"},
        {"role": "tool", "content": "for the first a"},
        {"role": "tool", "tool_name": "a", "content": "for the second a"},
        {"role": "assistant", "tool_calls": [call("c", id="given")]},
        {"role": "tool", "tool_call_id": "given", "content": "for c"},
    )
    messages = asked.request().messages
    made = [part.id for m in messages for part in m.parts if isinstance(part, ToolCall)]
    assert made == ["call_1", "call_2", "call_3", "given"]
    results = [part.call_id for m in messages for part in m.parts if isinstance(part, ToolResult)]
    assert results == ["call_2", "call_1", "call_3", "given"]


def test_a_result_without_a_call_is_refused_by_name() -> None:
    """Nobody could tell what it is the result of."""
    with pytest.raises(InvalidRequest, match=r"messages\[1\].tool_name"):
        ask(USER, {"role": "tool", "tool_name": "f", "content": "x"}).request()


def test_arguments_are_an_object_and_become_its_text() -> None:
    """Trap 60: the text itself, as some clients send it, is understood too."""
    raw = b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":'
    raw += b'{"name":"f","arguments":{"b":1,  "a":[2]}}}]}]}'
    [message] = CHAT_DOOR.ask(HEAD, raw).request().messages
    assert message.parts == (ToolCall("call_1", "f", '{"b":1,  "a":[2]}'),)
    for given, text in ((None, "{}"), ('{"a":1}', '{"a":1}'), ("", "{}")):
        function = {"name": "f", "arguments": given}
        asked = ask(USER, {"role": "assistant", "tool_calls": [{"function": function}]})
        part = asked.request().messages[1].parts[0]
        assert isinstance(part, ToolCall) and part.arguments == text
    with pytest.raises(InvalidRequest, match=r"tool_calls\[0\].function.arguments"):
        ask(USER, {"role": "assistant", "tool_calls": [call(arguments=[1])]}).request()


def test_everything_a_message_can_hold() -> None:
    """Thoughts, words, pictures; content may be missing or null."""
    asked = ask(
        {"role": "system", "content": "Be brief."},
        {"role": "User", "content": "See", "images": [PIXEL, "/9j/AAAA"]},
        {"role": "assistant", "thinking": "hm", "content": None},
        {"role": "user"},
    )
    assert asked.request().messages == (
        Message("system", (Text("Be brief."),)),
        Message(
            "user",
            (
                Text("See"),
                Image(f"data:image/png;base64,{PIXEL}"),
                Image("data:image/jpeg;base64,/9j/AAAA"),
            ),
        ),
        Message("assistant", (Reasoning("hm"),)),
        Message("user", ()),
    )


def test_think_is_a_word_or_a_switch() -> None:
    """On, off, a level, or nothing said."""
    on, off = ask(think=True).request(), ask(think=False).request()
    assert (on.reasoning_effort, on.reasoning_budget) == ("medium", None)
    assert (off.reasoning_effort, off.reasoning_budget) == (None, 0)
    assert ask(think="high").request().reasoning_effort == "high"
    unsaid = ask().request()
    assert unsaid.reasoning_effort is None and unsaid.reasoning_budget is None
    assert "think" not in unsaid.extras


@pytest.mark.parametrize(
    ("given", "limit"), [(None, None), (-1, None), (-2, None), (0, None), (5, 5)]
)
def test_a_negative_limit_is_none(given: int | None, limit: int | None) -> None:
    """As on the vendor's own server."""
    assert ask(options={"num_predict": given}).request().max_tokens == limit


def test_options_that_mean_something_elsewhere_are_canonical_and_the_rest_is_kept() -> None:
    """Under the names that a client knows them by."""
    request = ask(options={"stop": "x", "num_ctx": 8, "mirostat": None}, keep_alive="5m").request()
    assert request.stop == ("x",)
    assert request.extras == {"options.num_ctx": 8, "keep_alive": "5m"}
    assert request.named("max_tokens") == "options.num_predict"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"[]", "must be a JSON object"),
        (b'{"messages":[]}', "'model'"),
        (b'{"model":""}', "'model'"),
        (b'{"model":"m","messages":[{"content":"x"}]}', r"messages\[0\].role"),
        (b'{"model":"m","messages":[{"role":"user","content":[]}]}', r"messages\[0\].content"),
        (b'{"model":"m","messages":[{"role":"user","images":["?"]}]}', r"images\[0\]"),
        (b'{"model":"m","options":{"num_predict":"x"}}', "options.num_predict"),
        (b'{"model":"m","messages":[{"role":"user"}],"format":"xml"}', "format"),
        (b'{"model":"m","messages":[{"role":"robot"}]}', r"messages\[0\].role"),
        (b'{"model":"m","messages":[{"role":"user"}],"tools":[{}]}', r"tools\[0\].function"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, said: str) -> None:
    """Where it stands, what was expected."""
    with pytest.raises(InvalidRequest, match=said):
        CHAT_DOOR.ask(HEAD, body).request()


def test_counts_are_limited() -> None:
    """Messages, tools and depth, by the gateway's settings."""
    door = OllamaChatDoor(RequestLimits(messages=2, tools=1, depth=10))
    with pytest.raises(InvalidRequest, match="CHATGPT_TO_API_MAX_MESSAGES"):
        door.ask(HEAD, msgspec.json.encode({"model": "m", "messages": [USER] * 3}))
    with pytest.raises(InvalidRequest, match="CHATGPT_TO_API_MAX_TOOLS"):
        door.ask(HEAD, msgspec.json.encode({"model": "m", "messages": [USER], "tools": [{}, {}]}))
    deep = b'{"model":"m","messages":[{"role":"user"}],"x":' + b"[" * 60 + b"]" * 60 + b"}"
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        door.ask(HEAD, deep).request()


def test_a_conversation_is_known_by_its_beginning() -> None:
    """Once an assistant has spoken; a header names a session before that."""
    said = {"role": "assistant", "content": "ho"}
    assert ask().opening == b""
    first, second = ask(USER, said), ask(USER, said, {"role": "user", "content": "more"})
    assert first.opening == second.opening != b""
    assert ask({"role": "user", "content": "ha"}, said).opening != first.opening
    head = RequestHead("POST", "/api/chat", b"", [(b"x-session-id", b"s")])
    body = msgspec.json.encode({"model": "m", "messages": [USER]})
    assert CHAT_DOOR.ask(head, body).affinity == b"s"


def test_needs_are_read_without_translating() -> None:
    """What a route has to look for; a picture's length is no prompt's."""
    shown = {"role": "user", "content": "?", "images": [PIXEL * 1]}
    asked = ask(USER, shown, tools=[{"function": {"name": "f"}}], format="json")
    assert asked.needs().fields == {
        "json": "format",
        "tools": "tools",
        "images": "messages[1].images[0]",
    }
    assert asked.needs().tokens < 60
    assert asked.may_need("tools") and asked.may_need("json") and not asked.may_need("n")
    assert not ask().may_need("tools")
    assert ask(options={"num_predict": 3, "stop": ["x"]}).may_need("max_tokens")


def test_generate_is_a_system_text_and_a_question() -> None:
    """What no chat can be asked is refused so that another candidate may be."""
    body = {"model": "m", "prompt": "P", "system": "S", "images": [PIXEL], "template": "T"}
    asked = GENERATE_DOOR.ask(HEAD, msgspec.json.encode(body))
    assert asked.untranslated == ("template",)
    picture = Image(f"data:image/png;base64,{PIXEL}")
    assert asked.request().messages == (
        Message("system", (Text("S"),)),
        Message("user", (Text("P"), picture)),
    )
    for more in ({"suffix": "x"}, {"context": [1]}):
        other = GENERATE_DOOR.ask(HEAD, msgspec.json.encode({"model": "m", "prompt": "P", **more}))
        with pytest.raises(InvalidRequest) as refused:
            other.request()
        assert refused.value.code == "unsupported_parameter"
        assert refused.value.param == next(iter(more))
