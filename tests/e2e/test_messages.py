"""The messages door over every kind of upstream, as clients of that API use it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.anthropic_server import KEY, AnthropicServer, count, error_play
from support.gateway_process import Answer, GatewayProcess, gateway_process, wait_until
from support.scripted_backend import (
    Play,
    ScriptedBackend,
    Seen,
    chat_chunks,
    conversation,
    json_play,
)
from support.stage import backend_thread

CONFIG = """
[upstreams.claude]
kind = "anthropic"
base_url = "{claude}"
api_keys = ["{key}"]
models = ["claude-*"]

[upstreams.bare]
kind = "anthropic"
base_url = "{bare}/v1"
api_keys = ["{key}"]
models = ["bare-*"]

[upstreams.worded]
kind = "anthropic"
base_url = "{claude}"
api_keys = ["{key}"]
models = ["worded"]
emulate = ["tools"]

[upstreams.narrow]
kind = "anthropic"
base_url = "{claude}"
api_keys = ["{key}"]
models = ["narrow"]
max_concurrency = 1

[upstreams.chat]
kind = "openai"
base_url = "{chat}/v1"
models = ["gpt-*", "o4-mini"]

[upstreams.conversation]
base_url = "{web}"
models = ["web"]

[[routes]]
model = "alias"
candidates = [{{ upstream = "claude", model = "claude-sonnet-4-5" }}]
"""
WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Chat:
    """An OpenAI-compatible server that plays what a test says."""

    def __init__(self) -> None:
        self.play: Any = Play(pieces=chat_chunks(["Hel", "lo"]))

    def __call__(self, seen: Seen) -> Play:
        return self.play(seen) if callable(self.play) else self.play


class Stand:
    """A gateway over every kind of upstream."""

    def __init__(
        self,
        gateway: GatewayProcess,
        claude: ScriptedBackend,
        chat: ScriptedBackend,
        web: ScriptedBackend,
        scripts: tuple[Chat, Chat],
    ) -> None:
        self.gateway = gateway
        self.claude, self.chat, self.web = claude, chat, web
        self.chat_script, self.web_script = scripts

    def post(self, path: str = "/v1/messages", **fields: Any) -> Answer:
        headers = fields.pop("headers", {})
        body = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "hello"}],
            **fields,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return self.gateway.fetch(path, method="POST", body=json.dumps(given), headers=headers)

    def events(self, **fields: Any) -> list[Any]:
        answer = self.post(stream=True, **fields)
        assert answer.status == 200, answer.text + self.gateway.text[-9000:]
        assert answer.headers["content-type"].startswith("text/event-stream")
        return events_of(answer)


def events_of(answer: Answer) -> list[Any]:
    return events_in(answer.text)


def events_in(text: str) -> list[Any]:
    found = []
    for event in text.split("\n\n"):
        lines = event.split("\n")
        if event and not event.startswith(":"):
            assert lines[0].startswith("event: "), event
            data = json.loads(lines[1].removeprefix("data: "))
            assert lines[0] == f"event: {data['type']}"
            found.append(data)
    return found


def text_of(events: list[Any]) -> str:
    return "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("messages") / "data"
    data.mkdir()
    chat_script, web_script = Chat(), Chat()
    with (
        backend_thread(AnthropicServer()) as claude,
        backend_thread(AnthropicServer(counts=False)) as bare,
        backend_thread(chat_script) as chat,
        backend_thread(web_script) as web,
    ):
        config = CONFIG.format(
            claude=claude.url(""), bare=bare.url(""), chat=chat.url(""), web=web.url(), key=KEY
        )
        (data / "config.toml").write_text(config)
        with gateway_process(
            data,
            ACCESS_TOKENS="tok-a",
            CHATGPT_TO_API_KEEP_ALIVE="0.1",
            CHATGPT_TO_API_QUEUE_WAIT="2",
        ) as gateway:
            wait_until(lambda: claude.listed(3) and bare.listed() and chat.listed())
            yield Stand(gateway, claude, chat, web, (chat_script, web_script))


@pytest.fixture
def stand(shared: Stand) -> Stand:
    for upstream in ("claude", "bare", "chat", "conversation"):
        answer = shared.gateway.admin("POST", f"/admin/tokens/reset?upstream={upstream}")
        assert answer.status == 200, answer.text
    for backend in (shared.claude, shared.chat, shared.web):
        backend.seen.clear()
    shared.chat_script.play = Play(pieces=chat_chunks(["Hel", "lo"]))
    shared.web_script.play = conversation("Hello", " there")
    return shared


# -- the native dialect ----------------------------------------------------------------------


def test_a_message_goes_through_byte_for_byte_but_for_the_model(stand: Stand) -> None:
    """The relay lane: unknown fields, betas and the query are passed on; keys never are."""
    headers = {
        "anthropic-beta": "context-1m-2025-08-07,brand-new",
        "anthropic-version": "2023-06-01",
        "x-api-key": "client-key",
        "authorization": "Bearer client-key",
        "cookie": "a=b",
    }
    answer = stand.post(
        "/v1/messages?beta=true", model="alias", context_management={"edits": []}, headers=headers
    )
    assert answer.status == 200, answer.text
    seen = stand.claude.seen[-1]
    assert seen.path == "/v1/messages?beta=true"
    assert seen.headers["anthropic-beta"] == headers["anthropic-beta"]
    assert seen.headers["x-api-key"] == KEY
    assert "client-key" not in repr(seen.headers)
    assert "cookie" not in seen.headers
    assert seen.json["model"] == "claude-sonnet-4-5"
    assert seen.json["context_management"] == {"edits": []}
    assert answer.json["content"] == [{"type": "text", "text": "You said: hello"}]
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert answer.headers["x-upstream"] == "claude"


def test_a_stream_goes_through_with_thoughts_and_seals(stand: Stand) -> None:
    """Trap 42: what the upstream signed and sealed reaches the client as it is."""
    events = stand.events(messages=[{"role": "user", "content": "think"}])
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    assert {"type": "signature_delta", "signature": "sig-a"} in deltas
    blocks = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert {"type": "redacted_thinking", "data": "sealed-b"} in blocks


def test_an_overload_before_any_content_is_tried_again(stand: Stand) -> None:
    """Trap 7: a 200 whose first event is an error never reaches the client."""
    answer = stand.post(messages=[{"role": "user", "content": "fail at once"}], stream=True)
    assert answer.status == 529
    assert answer.json["error"]["type"] == "overloaded_error"
    assert len(stand.claude.seen) == 3
    once = stand.post(messages=[{"role": "user", "content": "answer with status 529 once"}])
    assert once.status == 200


@pytest.mark.parametrize("prompt", ["fail midway", "cut the stream"])
def test_after_content_an_error_is_the_last_event(stand: Stand, prompt: str) -> None:
    """Traps 3 to 5: what was said, then the dialect's error event, and nothing after it."""
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": f"{prompt} please, if you can"}],
    }
    connection = http.client.HTTPConnection("127.0.0.1", stand.gateway.port, timeout=30)
    connection.request("POST", "/v1/messages", json.dumps(body))
    reply = connection.getresponse()
    received = b""
    while b"content_block_delta" not in received:
        piece = reply.read1(65536)
        assert piece, received
        received += piece
    stand.post(messages=[{"role": "user", "content": "release"}], stream=True)
    received += reply.read()
    kinds = [event["type"] for event in events_in(received.decode())]
    connection.close()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "error"
    assert "message_stop" not in kinds
    assert len(stand.claude.seen) == 2  # the stream, and what released it


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (404, 404, "not_found_error"),
        (413, 413, "request_too_large"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
        (529, 529, "overloaded_error"),
    ],
)
def test_errors_of_the_upstream_are_in_the_dialects_shape(
    stand: Stand, status: int, told: int, kind: str
) -> None:
    """Trap 46: status and type as clients of the API know them, with the request's id."""
    answer = stand.post(messages=[{"role": "user", "content": f"answer with status {status}"}])
    assert answer.status == told, answer.text
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == kind
    assert answer.headers["request-id"]


def test_a_client_that_leaves_a_silent_stream_frees_the_upstream(stand: Stand) -> None:
    """A ping keeps the stream open meanwhile, and the client's going away is seen."""
    import socket

    body = json.dumps(
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "stream": True,
            "messages": [{"role": "user", "content": "stop halfway for ever"}],
        }
    ).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    address = "127.0.0.1", stand.gateway.port
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(head.encode() + body)
        received = b""
        while b'event: ping\ndata: {"type":"ping"}\n\n' not in received:
            piece = client.recv(65536)
            assert piece, received
            received += piece
        assert b"event: message_start" in received
    wait_until(lambda: stand.claude.running == 0)


# -- over chat completions -------------------------------------------------------------------


def chat_stream(*deltas: dict[str, Any], finish: str = "stop", usage: Any = None) -> Play:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
        return b"data: " + json.dumps({**data, "choices": [choice]}).encode() + b"\n\n"

    pieces = [chunk({"role": "assistant"}), *map(chunk, deltas), chunk({}, finish)]
    if usage is not None:
        data = {"id": "c", "model": "gpt-4o", "choices": [], "usage": usage}
        pieces.append(b"data: " + json.dumps(data).encode() + b"\n\n")
    return Play(pieces=[*pieces, b"data: [DONE]\n\n"])


def test_a_stream_over_chat_completions(stand: Stand) -> None:
    """Traps 9, 34, 38, 39: one beginning with a prompt's length, and the true usage at the end."""
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 10},
    }
    stand.chat_script.play = chat_stream({"content": "Hel"}, {"content": "lo"}, usage=usage)
    events = stand.events(model="gpt-4o")
    assert [event["type"] for event in events if event["type"] != "ping"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ] or text_of(events) == "Hello"
    begun = events[0]["message"]
    assert begun["model"] == "gpt-4o"
    assert begun["usage"]["input_tokens"] > 0
    ended = events[-2]
    assert ended["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert ended["usage"]["input_tokens"] == 20
    assert ended["usage"]["cache_read_input_tokens"] == 10
    assert ended["usage"]["output_tokens"] == 2


def test_an_upstream_that_reports_no_usage_is_counted(stand: Stand) -> None:
    """Trap 38: both counts are real, though nobody reported any."""
    events = stand.events(model="gpt-4o")
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    assert events[-2]["usage"]["output_tokens"] == 1  # "Hello"
    assert events[-2]["usage"]["input_tokens"] == events[0]["message"]["usage"]["input_tokens"]


def test_late_thought_text_and_calls_each_in_a_block(stand: Stand) -> None:
    """Traps 34 to 37 and 43: text, a late thought, two calls; nothing is swallowed or mixed."""
    stand.chat_script.play = chat_stream(
        {"reasoning_content": "Hm."},
        {"content": "I look."},
        {"reasoning_content": "Which?"},
        {"tool_calls": [tool_piece(0, "call.1", "weather", '{"city":')]},
        {"tool_calls": [tool_piece(0, None, None, '"Paris"}')]},
        {"tool_calls": [tool_piece(1, "call.2", "weather", "")]},
        finish="stop",  # Trap 17: calls were made, whatever the upstream says
    )
    events = stand.events(model="gpt-4o", tools=[WEATHER])
    blocks = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    kinds = [block["type"] for block in blocks]
    assert kinds == ["thinking", "text", "thinking", "tool_use", "tool_use"]
    assert blocks[3]["id"] == "call.1"
    assert blocks[0]["signature"] == ""
    joined: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            piece = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            joined[event["index"]] = joined.get(event["index"], "") + piece
    assert joined == {0: "Hm.", 1: "I look.", 2: "Which?", 3: '{"city":"Paris"}', 4: "{}"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def tool_piece(index: int, call_id: str | None, name: str | None, arguments: str) -> Any:
    function: dict[str, Any] = {"arguments": arguments}
    if name is not None:
        function["name"] = name
    piece: dict[str, Any] = {"index": index, "function": function}
    return piece if call_id is None else {**piece, "id": call_id, "type": "function"}


def test_the_stop_string_that_ended_a_reply_is_told(stand: Stand) -> None:
    """Trap 45: the upstream could not say which it was, so the gateway applies them itself."""
    stand.chat_script.play = chat_stream({"content": "one tw"}, {"content": "o three"})
    events = stand.events(model="gpt-4o", stop_sequences=["zzz", "two"])
    assert text_of(events) == "one "
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "two"}
    assert events[-2]["usage"]["output_tokens"] > 0
    assert "stop" not in stand.chat.seen[-1].json
    whole = stand.post(model="gpt-4o", stop_sequences=["three"])
    assert whole.headers["x-emulated"] == "stop"


def test_what_the_agent_sends_reaches_a_chat_server_in_its_words(stand: Stand) -> None:
    """Traps 24, 27, 28, 40, 41, 44: a turn of a coding agent, whole."""
    long = "mcp__server__" + "x" * 70
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    stand.chat_script.play = chat_stream(
        {
            "tool_calls": [
                tool_piece(0, "c", f"{long[:55]}_00000000", "{}")  # not the shortened name
            ]
        }
    )
    answer = stand.post(
        model="gpt-4o",
        stream=True,
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=ab12"},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be kind."},
        ],
        messages=[
            {"role": "user", "content": "look"},
            {"role": "system", "content": "There are skills."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": ""},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "functions.Read:0", "name": long, "input": {}},
                    {"type": "tool_use", "id": "b" * 80, "name": "weather", "input": {"city": "x"}},
                    {"type": "text", "text": "Wait."},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "functions.Read:0",
                        "content": [
                            {"type": "text", "text": "a picture"},
                            {"type": "image", "source": picture},
                        ],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "b" * 80,
                        "content": "no such city",
                        "is_error": True,
                    },
                    {"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "please"},
                ],
            },
        ],
        tools=[
            {"name": long, "input_schema": {"type": "object", "properties": {}}},
            WEATHER,
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        thinking={"type": "adaptive"},
        output_config={"effort": "max"},
        context_management={"edits": []},
        metadata={"user_id": json.dumps({"device_id": "d" * 64, "session_id": "s-1"})},
    )
    assert answer.status == 200, answer.text
    sent = stand.chat.seen[-1].json
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["system", "user", "system", "assistant", "tool", "tool", "user", "user"]
    assert sent["messages"][0]["content"] == "Be brief.\n\nBe kind."
    assert sent["messages"][2]["content"] == "There are skills."
    said = sent["messages"][3]
    assert said["tool_calls"][0]["id"] == "functions.Read:0"
    assert all(len(call["id"]) <= 64 for call in said["tool_calls"])
    assert all(len(tool["function"]["name"]) <= 64 for tool in sent["tools"])
    assert said["tool_calls"][0]["function"]["name"] == sent["tools"][0]["function"]["name"]
    results = sent["messages"][4:6]
    assert [r["tool_call_id"] for r in results] == [call["id"] for call in said["tool_calls"]]
    assert results[0]["content"] == "a picture"
    assert results[1]["content"] == "Error: no such city"
    assert sent["messages"][6]["content"][0]["type"] == "image_url"
    assert sent["messages"][7]["content"] == "go on\n\nplease"
    assert len(sent["prompt_cache_key"]) == 32
    assert len(sent["user"]) <= 64
    assert "reasoning_effort" not in sent  # gpt-4o does not think
    ignored = answer.headers["x-ignored-parameters"]
    assert {"tools[web_search_20250305]", "context_management"} <= set(ignored.split(", "))
    assert "cch=" not in json.dumps(sent)


def test_a_shortened_tools_own_name_comes_back(stand: Stand) -> None:
    """Trap 28: the client is asked to call the tool that it has, not the one the server knows."""
    long = "mcp__server__" + "x" * 70

    def play(seen: Seen) -> Play:
        name = seen.json["tools"][0]["function"]["name"]
        assert len(name) == 64
        return chat_stream({"tool_calls": [tool_piece(0, "c", name, "{}")]}, finish="tool_calls")

    stand.chat_script.play = play
    tool = {"name": long, "input_schema": {"type": "object", "properties": {}}}
    events = stand.events(model="gpt-4o", tools=[tool])
    assert events[1]["content_block"]["name"] == long


def test_a_session_keeps_its_cache_key(stand: Stand) -> None:
    """Trap 44: the same session gives the same key in every turn, another one another."""
    keys = []
    for session in ("s-1", "s-1", "s-2"):
        stand.post(model="gpt-4o", headers={"x-claude-code-session-id": session})
        keys.append(stand.chat.seen[-1].json["prompt_cache_key"])
    assert keys[0] == keys[1] != keys[2]


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_know(stand: Stand) -> None:
    """Trap 45: OpenAI's error becomes the one at which agents compact their history."""
    said = (
        "This model's maximum context length is 128000 tokens. However, your messages resulted in "
        "140123 tokens. Please reduce the length of the messages."
    )
    error = {"message": said, "type": "invalid_request_error", "code": "context_length_exceeded"}
    stand.chat_script.play = json_play({"error": error}, 400)
    answer = stand.post(model="gpt-4o")
    assert answer.status == 400
    told = answer.json["error"]["message"]
    assert told.startswith("prompt is too long: 140123 tokens > 128000 maximum")


def test_a_request_of_a_servers_own_tool_alone_gets_a_plain_answer(stand: Stand) -> None:
    """What has no search gets no search, a notice, and no 400."""
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    answer = stand.post(model="gpt-4o", tools=[tool], tool_choice={"type": "auto"}, stream=True)
    assert answer.status == 200
    assert answer.headers["x-ignored-parameters"] == "tools[web_search_20250305]"
    assert "tools" not in stand.chat.seen[-1].json
    assert "tool_choice" not in stand.chat.seen[-1].json


def test_a_refusal_is_a_stop_reason(stand: Stand) -> None:
    """Trap 45: both of OpenAI's ways to refuse."""
    stand.chat_script.play = chat_stream({"refusal": "I can't."})
    events = stand.events(model="gpt-4o")
    assert text_of(events) == "I can't."
    assert events[-2]["delta"]["stop_reason"] == "refusal"
    stand.chat_script.play = chat_stream({"content": "Fi"}, finish="content_filter")
    assert stand.events(model="gpt-4o")[-2]["delta"]["stop_reason"] == "refusal"
    stand.chat_script.play = chat_stream({"content": "Fi"}, finish="length")
    assert stand.events(model="gpt-4o")[-2]["delta"]["stop_reason"] == "max_tokens"


# -- over a conversation backend -------------------------------------------------------------


def test_tools_over_a_conversation_backend(stand: Stand) -> None:
    """An upstream that knows only text: its call in words becomes a ``tool_use`` block."""
    stand.web_script.play = conversation(
        "I look.\n",
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    )
    answer = stand.post(model="web", tools=[WEATHER])
    assert answer.status == 200, answer.text
    text, call = answer.json["content"]
    assert text["text"].strip() == "I look."
    assert call["type"] == "tool_use"
    assert (call["name"], call["input"]) == ("weather", {"city": "Paris"})
    assert answer.json["stop_reason"] == "tool_use"
    assert answer.json["usage"]["input_tokens"] > 0
    assert answer.json["usage"]["output_tokens"] > 0
    stand.web_script.play = conversation("It rains.")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "rain"}
    events = stand.events(
        model="web",
        tools=[WEATHER],
        messages=[
            {"role": "user", "content": "how is it in Paris?"},
            {"role": "assistant", "content": [text, call]},
            {"role": "user", "content": [result]},
        ],
    )
    assert text_of(events) == "It rains."
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    assert events[-2]["delta"]["stop_reason"] == "end_turn"


# -- clients of other dialects over this upstream ---------------------------------------------


def test_a_chat_client_over_this_upstream(stand: Stand) -> None:
    """Traps 24, 25, 29, 30: system turns, results of parallel calls, and the mandatory length."""
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "x"}'}}
    answer = stand.gateway.ask(
        model="claude-sonnet-4-5",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{**call, "id": "call.1"}, {**call, "id": "call:2"}],
            },
            {"role": "tool", "tool_call_id": "call.1", "content": "sun"},
            {"role": "tool", "tool_call_id": "call:2", "content": "rain"},
            {"role": "developer", "content": "Now be long."},
        ],
        tools=[{"type": "function", "function": {"name": "weather"}}],
        parallel_tool_calls=False,
        frequency_penalty=1,
    )
    assert answer.status == 200, answer.text
    assert answer.json["choices"][0]["message"]["content"] == "It says: rain"
    assert answer.headers["x-ignored-parameters"] == "frequency_penalty"
    sent = stand.claude.seen[-1].json
    assert sent["system"] == "Be brief."
    assert sent["max_tokens"] == 32000
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    kinds = [block["type"] for block in sent["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text"]
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    usage = answer.json["usage"]
    assert usage["prompt_tokens"] == count(sent) + 12  # Trap 39: the cached ones are in it
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5


def test_betas_reach_its_own_api_where_something_is_emulated(stand: Stand) -> None:
    """A request that is written anew has its headers, and no other client's has any."""
    betas = {"anthropic-beta": "context-1m-2025-08-07,brand-new", "x-other": "no"}
    stand.post(model="worded", tools=[WEATHER], headers=betas)
    seen = stand.claude.seen[-1]
    assert "tools" not in seen.json
    assert seen.headers["anthropic-beta"] == betas["anthropic-beta"]
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert "x-other" not in seen.headers
    message = {"role": "user", "content": "hello"}
    stand.post("/v1/chat/completions", messages=[message], headers=betas)
    assert "anthropic-beta" not in stand.claude.seen[-1].headers


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_of_gemini_carries_what_claude_has_signed(
    stand: Stand, shown: bool, stream: bool
) -> None:
    """Thought, signature and sealed thought come back whole, thoughts shown or not."""
    model, method = "claude-sonnet-4-5", "streamGenerateContent" if stream else "generateContent"
    path = f"/v1beta/models/{model}:{method}" + ("?alt=sse" if stream else "")
    config = {"thinkingConfig": {"includeThoughts": shown, "thinkingBudget": 2000}}
    turns: list[Any] = [{"role": "user", "parts": [{"text": "think and seal"}]}]

    def ask() -> list[Any]:
        body = json.dumps(
            {"contents": turns, "generationConfig": {**config, "maxOutputTokens": 9000}}
        )
        answer = stand.gateway.fetch(path, method="POST", body=body)
        assert answer.status == 200, answer.text
        lines = [line.removeprefix("data: ") for line in answer.text.split("\r\n\r\n") if line]
        chunks = [json.loads(line) for line in lines] if stream else [answer.json]
        return [p for c in chunks for p in c["candidates"][0]["content"]["parts"]]

    parts = ask()
    assert ("Let me see." in [part["text"] for part in parts]) is shown
    turns += [{"role": "model", "parts": parts}, {"role": "user", "parts": [{"text": "go on"}]}]
    ask()
    said = stand.claude.seen[-1].json["messages"][1]["content"]
    assert [block for block in said if block["type"] != "text"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "sig-a"},
        {"type": "redacted_thinking", "data": "sealed-b"},
    ]


def test_json_of_a_chat_client_is_promised_or_emulated(stand: Stand) -> None:
    """A strict schema goes through; what this API cannot promise the gateway sees to."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    stand.gateway.ask(model="claude-sonnet-4-5", response_format=form)
    assert stand.claude.seen[-1].json["output_config"]["format"]["schema"] == schema
    answer = stand.gateway.ask(
        model="claude-sonnet-4-5",
        content='{"a": 1}',
        response_format={"type": "json_object"},
    )
    assert answer.headers["x-emulated"] == "json"
    assert json.loads(answer.json["choices"][0]["message"]["content"]) == {"a": 1}
    assert "output_config" not in stand.claude.seen[-1].json


def test_several_choices_are_several_calls(stand: Stand) -> None:
    """The API gives one answer; a client that wants two gets two."""
    answer = stand.gateway.ask(model="claude-sonnet-4-5", n=2)
    assert len(answer.json["choices"]) == 2
    assert len(stand.claude.seen) == 2


def test_the_upstreams_models_are_listed(stand: Stand) -> None:
    """With the length of their context, as the API's own list says it."""
    answer = stand.gateway.fetch("/v1/models")
    names = {card["id"] for card in answer.json["data"]}
    assert "claude-opus-4-8" in names
    card = next(card for card in answer.json["data"] if card["id"] == "claude-opus-4-8")
    assert card["context_length"] == 200_000


# -- counting --------------------------------------------------------------------------------


def test_a_count_is_the_upstreams_own_where_it_can(stand: Stand) -> None:
    """Trap 63: asked, betas and all, and passed on."""
    answer = stand.post("/v1/messages/count_tokens?beta=true", max_tokens=None)
    assert answer.status == 200, answer.text
    assert stand.claude.seen[-1].path == "/v1/messages/count_tokens?beta=true"
    assert answer.json == {"input_tokens": count(stand.claude.seen[-1].json)}
    assert "x-token-count" not in answer.headers


@pytest.mark.parametrize("model", ["gpt-4o", "web", "bare-1"])
def test_a_count_of_our_own_has_everything_in_it_and_says_so(stand: Stand, model: str) -> None:
    """Trap 63: system, tools, calls, results and pictures count; nothing is a constant."""
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    hello = {"role": "user", "content": "hello"}
    called = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "it rains " * 20}
    seen = [hello, {"role": "user", "content": [{"type": "image", "source": picture}]}]
    counts = [
        stand.post("/v1/messages/count_tokens", model=model, max_tokens=None, **fields)
        for fields in (
            {},
            {"system": "Be brief. " * 10},
            {"tools": [WEATHER]},
            {
                "messages": [
                    hello,
                    {"role": "assistant", "content": [called]},
                    {"role": "user", "content": [result]},
                ]
            },
            {"messages": seen},
        )
    ]
    assert [answer.status for answer in counts] == [200] * 5
    assert all(a.headers["x-token-count"] == "estimate; o200k_base" for a in counts)
    plain, *more = (answer.json["input_tokens"] for answer in counts)
    assert 0 < plain < 20
    assert all(number > plain + 10 for number in more)


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_count_that_the_upstream_refuses_now_is_estimated(stand: Stand, status: int) -> None:
    """A limit or a trouble of the counting endpoint is no reason to answer without a number."""
    messages = [{"role": "user", "content": f"answer with status {status}"}]
    answer = stand.post("/v1/messages/count_tokens", max_tokens=None, messages=messages)
    assert answer.status == 200, answer.text
    assert answer.json["input_tokens"] > 0
    assert answer.headers["x-token-count"] == "estimate; o200k_base"
    assert [seen.path for seen in stand.claude.seen] == ["/v1/messages/count_tokens"]
    assert stand.post().status == 200  # asking is not held back for it


def test_a_count_while_the_credential_cools_is_estimated(stand: Stand) -> None:
    """Nobody can be asked, and the number is there at once all the same."""
    limited = [{"role": "user", "content": "answer with status 429"}]
    assert stand.post(messages=limited).status == 429
    asked = len(stand.claude.seen)
    answer = stand.post("/v1/messages/count_tokens", max_tokens=None)
    assert answer.status == 200, answer.text
    assert answer.headers["x-token-count"] == "estimate; o200k_base"
    assert answer.headers["x-upstream"] == "claude"
    assert len(stand.claude.seen) == asked


def test_counts_at_once_do_not_wait_for_a_busy_credential(stand: Stand) -> None:
    """Claude Code has the parts of its context counted all at once, while it is answered too."""
    silent = [{"role": "user", "content": "say nothing for ever"}]
    body = json.dumps({"model": "narrow", "max_tokens": 9, "messages": silent})
    busy = http.client.HTTPConnection("127.0.0.1", stand.gateway.port)
    busy.request("POST", "/v1/messages", body)
    wait_until(lambda: bool(stand.claude.seen))

    def count_one(place: int) -> Answer:
        messages = [{"role": "user", "content": f"part {place}"}]
        path = "/v1/messages/count_tokens"
        return stand.post(path, model="narrow", max_tokens=None, messages=messages)

    with ThreadPoolExecutor(14) as clients:
        answers = list(clients.map(count_one, range(14)))
    busy.close()
    assert [answer.status for answer in answers] == [200] * 14
    assert all(answer.headers["x-token-count"].startswith("estimate") for answer in answers)
    assert len(stand.claude.seen) == 1


def test_a_count_for_a_model_that_nobody_has_is_an_error(stand: Stand) -> None:
    """Trap 63: never a number for what is not known."""
    answer = stand.post("/v1/messages/count_tokens", model="nobody")
    assert answer.status == 404
    assert answer.json["error"]["type"] == "not_found_error"


# -- the door itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": []}, "messages"),
        ({"model": ""}, "model"),
    ],
)
def test_bad_requests_name_the_field(stand: Stand, fields: Any, said: str) -> None:
    """Our own refusals, in the dialect's shape."""
    answer = stand.post(**fields)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert f"'{said}'" in answer.json["error"]["message"]


def test_a_wrong_method_is_told_in_the_dialect(stand: Stand) -> None:
    """Whatever goes wrong at the door's path looks like this API's errors."""
    answer = stand.gateway.fetch("/v1/messages")
    assert answer.status == 405
    assert answer.json["type"] == "error"


def test_error_play_is_what_the_api_says() -> None:
    """The scripted server's errors have the documented shape."""
    play = error_play(529, "Overloaded")
    assert json.loads(play.pieces[0])["error"]["type"] == "overloaded_error"


def test_the_log_and_the_errors_hold_no_key(stand: Stand, tmp_path: Path) -> None:
    """The upstream's key is nowhere but in its own header."""
    stand.post(messages=[{"role": "user", "content": "answer with status 500"}])
    assert KEY not in stand.gateway.text
