"""Ollama's API at the gateway's doors, over a server of its own kind and over others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import pytest
import pytest_asyncio

from support.gateway_process import Answer, gateway_process, wait_until
from support.ollama_server import PIXEL, OllamaServer, lines
from support.rig import Rig
from support.scripted_backend import (
    Ending,
    Play,
    Seen,
    chat_chunks,
    conversation,
    scripted_backend,
)
from support.vendor.server import KEY, Vendor

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG: Final = """
[upstreams.home]
kind = "ollama"
base_url = "{address}"
models = ["llama3.2", "qwen3:8b", "llava:7b", "nomic-embed-text:latest"]

[upstreams.bare]
kind = "ollama"
base_url = "{address}"
models = ["bare"]
emulate = []

[upstreams.vendor]
kind = "openai"
base_url = "{address}/v1"
api_keys = ["{key}"]
endpoints = ["chat", "models", "embeddings"]
models = ["gpt-4o", "gpt-4o-mini", "o4-mini"]
context_length = 128000

[upstreams.conversation]
base_url = "{address}/backend-api/conversation"
models = ["web"]
"""
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CHAT_MODELS: Final = ("llama3.2", "gpt-4o", "web")
"""One of each kind of upstream."""


def web_answer(seen: Seen) -> Play:
    """What a model writes that is asked in words for a call, for JSON, or for neither."""
    if b"fair" in seen.body:
        return conversation("I was told: ", "fair")
    if b"<tools>" in seen.body:
        call = '{"name": "weather", "arguments": {"city": "Oslo"}}'
        return conversation(f"<tool_call>{call}</tool_call>")
    if b"must be one JSON" in seen.body:
        return conversation('{"city": "Vaduz", "people": 5696}')
    return conversation("You said: ", "Hello")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    ollama, vendor = OllamaServer(), Vendor()

    def serve(seen: Seen) -> Play:
        if seen.path.startswith("/api/"):
            return ollama(seen)
        return web_answer(seen) if seen.path.startswith("/backend-api") else vendor(seen)

    data = tmp_path_factory.mktemp("ollama") / "data"
    data.mkdir()
    async with scripted_backend(serve) as backend:
        config = CONFIG.format(address=backend.url(""), key=KEY)
        (data / "config.toml").write_text(config)
        with gateway_process(
            data,
            ACCESS_TOKENS="tok-a",
            CHATGPT_TO_API_HOLD="0.05",
            CHATGPT_TO_API_KEEP_ALIVE="0.1",
        ) as gateway:
            # The gateway asks the server about each of its models, beside the requests.
            await asyncio.to_thread(
                wait_until,
                lambda: len(gateway.fetch("/v1/models/nomic-embed-text").json) > 4,
            )
            await backend.until(lambda: backend.listed(3))
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    for upstream in ("home", "vendor", "conversation"):
        await shared.admin("POST", f"/admin/tokens/reset?upstream={upstream}")
    shared.backend.seen.clear()
    return shared


async def post(rig: Rig, path: str, **body: Any) -> Answer:
    return await rig.fetch(path, method="POST", body=json.dumps(body))


async def chat(rig: Rig, model: str, content: str = "Hello", **more: Any) -> Answer:
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return await post(rig, "/api/chat", model=model, messages=messages, **more)


def read(answer: Answer) -> list[Any]:
    """The lines of a stream; every one of them is JSON, as clients take for granted."""
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.split(b"\n")[:-1]]


def text_of(found: list[Any]) -> str:
    return "".join(line["message"]["content"] for line in found)


LINE: Final = re.compile(rb"^\{.*\}$", re.MULTILINE)
"""A line of the dialect in a body that is sent in chunks, each of which is whole lines."""


@contextlib.contextmanager
def playing(rig: Rig, play: Play) -> Iterator[None]:
    """Have every upstream play this, for the length of a block."""
    script = rig.backend._script
    rig.backend._script = lambda _: play
    try:
        yield
    finally:
        rig.backend._script = script


@contextlib.asynccontextmanager
async def streaming(
    rig: Rig, model: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw streaming request; leaving the block hangs up."""
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": model, "messages": messages})
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    head = f"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n{body}".encode())
    try:
        yield reader, writer
    finally:
        writer.close()


# -- chat --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_a_chat_streams_unless_it_is_told_not_to(rig: Rig, model: str) -> None:
    """Trap 60: lines of JSON, and a last one with reason, counts and nanoseconds."""
    found = read(await chat(rig, model))
    assert text_of(found) == "You said: Hello"
    *before, last = found
    assert all(line["done"] is False and "done_reason" not in line for line in before)
    assert last["done"] is True and last["done_reason"] == "stop"
    assert {line["model"] for line in found} == {model}
    for name in ("total_duration", "prompt_eval_duration", "eval_duration"):
        assert isinstance(last[name], int) and last[name] > 0
    assert last["prompt_eval_count"] > 0 and last["eval_count"] > 0
    whole = await chat(rig, model, stream=False)
    assert whole.status == 200, whole.text
    assert whole.headers["content-type"].startswith("application/json")
    assert whole.json["message"] == {"role": "assistant", "content": "You said: Hello"}
    assert whole.json["done"] is True and whole.json["eval_duration"] > 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_calls_and_results_go_their_round(rig: Rig, model: str, stream: bool) -> None:
    """Trap 60: arguments are an object both ways, with streams and without (tools of all kinds)."""
    answer = await chat(rig, model, 'Weather in "Oslo"', tools=[TOOL], stream=stream)
    assert answer.status == 200, answer.text
    said = read(answer) if stream else [answer.json]
    calls = [call for line in said for call in line["message"].get("tool_calls", ())]
    assert [call["function"]["name"] for call in calls] == ["weather"]
    assert calls[0]["function"]["arguments"] == {"city": "Oslo"}
    assert said[-1]["done"] is True
    # As clients do: the call without its id comes back, and the result names the tool.
    history = [
        {"role": "user", "content": 'Weather in "Oslo"'},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": calls[0]["function"]}],
        },
        {"role": "tool", "tool_name": "weather", "content": "fair"},
    ]
    answer = await chat(rig, model, messages=history, tools=[TOOL], stream=stream)
    assert answer.status == 200, answer.text
    said = read(answer) if stream else [answer.json]
    assert "fair" in text_of(said)


async def test_parallel_calls_over_another_dialect_have_indexes_and_ids(rig: Rig) -> None:
    """Two calls are two lines; a client that keeps ids can send them back."""
    found = read(await chat(rig, "gpt-4o", 'Weather in "Oslo" and "Rome"', tools=[TOOL]))
    calls = [call for line in found for call in line["message"].get("tool_calls", ())]
    assert [c["function"]["arguments"]["city"] for c in calls] == ["Oslo", "Rome"]
    assert [c["function"]["index"] for c in calls] == [0, 1]
    assert len({c["id"] for c in calls}) == 2
    history = [
        {"role": "user", "content": 'Weather in "Oslo" and "Rome"'},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": "rain"},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "fair"},
    ]
    rig.backend.seen.clear()
    await chat(rig, "gpt-4o", messages=history, tools=[TOOL])
    sent = rig.backend.seen[-1].json["messages"]
    assert [m.get("tool_call_id") for m in sent[2:]] == [calls[1]["id"], calls[0]["id"]]
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo"}


@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_a_format_holds_the_answer_to_json(rig: Rig, model: str) -> None:
    """The word, or a schema itself where others wrap one."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
    }
    answer = await chat(rig, model, '"Vaduz" has 5696 people', format=schema, stream=False)
    assert answer.status == 200, answer.text
    assert json.loads(answer.json["message"]["content"]) == {"city": "Vaduz", "people": 5696}
    refused = await chat(rig, model, format="xml")
    assert refused.status == 400 and "format" in refused.json["error"]


async def test_pictures_are_bare_base64_here_and_data_urls_there(rig: Rig) -> None:
    """Trap 60: the type is told by how the picture begins."""
    messages = [{"role": "user", "content": "What is it?", "images": [PIXEL]}]
    answer = await chat(rig, "gpt-4o", messages=messages, stream=False)
    assert answer.json["message"]["content"] == "You said: What is it? [image/png, 70 bytes]"
    sent = rig.backend.seen[-1].json["messages"][0]["content"][1]["image_url"]["url"]
    assert sent == f"data:image/png;base64,{PIXEL}"
    native = await chat(rig, "llava:7b", messages=messages, stream=False)
    assert native.json["message"]["content"] == "You said: What is it? [70 bytes]"
    broken = [{"role": "user", "content": "?", "images": ["not base64!"]}]
    refused = await chat(rig, "gpt-4o", messages=broken)
    assert refused.status == 400 and "messages[0].images[0]" in refused.json["error"]
    blind = await chat(rig, "web", messages=messages)
    assert blind.status == 400 and "images" in blind.json["error"]


async def test_an_openai_client_is_answered_by_an_ollama_server(rig: Rig) -> None:
    """Text, reasoning, calls with JSON text, a result, JSON, a picture, a limit, counts."""
    answer = await rig.ask("Hello", "llama3.2")
    assert answer.json["choices"][0]["message"]["content"] == "You said: Hello"
    assert answer.json["usage"] == {
        "prompt_tokens": 26,
        "completion_tokens": 3,
        "total_tokens": 29,
        "prompt_tokens_details": {},
        "completion_tokens_details": {},
    }
    thought = await rig.ask("Why?", "qwen3:8b")
    message = thought.json["choices"][0]["message"]
    assert message["reasoning_content"] == "The user asks."
    assert message["content"] == "You said: Why?"
    called = await rig.ask('Weather in "Oslo" and "Rome"', "llama3.2", tools=[TOOL])
    [choice] = called.json["choices"]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert [json.loads(c["function"]["arguments"])["city"] for c in calls] == ["Oslo", "Rome"]
    history = [
        {"role": "user", "content": 'Weather in "Oslo" and "Rome"'},
        choice["message"],
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "fair"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": "rain"},
    ]
    told = await rig.ask(messages=history, model="llama3.2", tools=[TOOL])
    said = told.json["choices"][0]["message"]["content"]
    assert said == "I was told: weather=fair; weather=rain"
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    parts = [{"type": "text", "text": "What is it?"}, picture]
    seen = await rig.ask(messages=[{"role": "user", "content": parts}], model="llava:7b")
    assert seen.json["choices"][0]["message"]["content"] == "You said: What is it? [70 bytes]"
    short = await rig.ask("one two three", "llama3.2", max_tokens=2)
    assert short.json["choices"][0]["finish_reason"] == "length"
    two = await rig.ask("Hello", "llama3.2", n=2)
    assert [c["message"]["content"] for c in two.json["choices"]] == ["You said: Hello"] * 2


async def test_an_openai_stream_over_an_ollama_server(rig: Rig) -> None:
    """Chunks, usage where it is asked for, and the end."""
    answer = await rig.ask("Hi", "llama3.2", stream=True, stream_options={"include_usage": True})
    assert answer.status == 200 and answer.text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(e[6:]) for e in answer.text.split("\n\n")[:-2]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks[:-1])
    assert text == "You said: Hi"
    assert chunks[-1]["usage"]["completion_tokens"] == 3


# -- the relay lane ----------------------------------------------------------------------------


async def test_a_chat_goes_through_byte_for_byte(rig: Rig) -> None:
    """Between two of a kind nothing is changed but the name, where it is another one there."""
    body = b'{"stream" : false,  "model":"llama3.2:latest","messages":[{"role":"user",'
    body += b'"content":"Hello"}],"options":{"mirostat":2},"keep_alive":"5m","unknown":[1, 2]}'
    answer = await rig.fetch("/api/chat", method="POST", body=body)
    assert rig.backend.seen[-1].body == body
    assert answer.json["load_duration"] == 1_334_875  # the server's own, not ours
    assert "x-ignored-parameters" not in answer.headers


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_stream_in_odd_pieces_arrives_byte_for_byte(rig: Rig, size: int) -> None:
    """However the upstream cuts its bytes."""
    whole = b"".join(lines({"content": "häl"}, {"content": "lo 👋"}, {"thinking": '"done":true'}))
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    with playing(rig, Play(pieces=pieces, content_type="application/x-ndjson")):
        answer = await chat(rig, "llama3.2")
    assert answer.body == whole


async def test_generate_is_the_servers_own_where_it_has_it(rig: Rig) -> None:
    """A suffix, a raw prompt and a context mean something to a server of this kind only."""
    for more, said in (
        ({"suffix": "end"}, "between Hello and end"),
        ({"raw": True}, "raw Hello"),
        ({"context": [1, 2]}, "after [1, 2] Hello"),
    ):
        answer = await post(
            rig, "/api/generate", model="llama3.2", prompt="Hello", stream=False, **more
        )
        assert answer.json["response"] == said
    refused = await post(rig, "/api/generate", model="gpt-4o", prompt="Hello", suffix="end")
    assert refused.status == 400 and "'suffix'" in refused.json["error"]
    refused = await post(rig, "/api/generate", model="gpt-4o", prompt="Hello", context=[1, 2])
    assert refused.status == 400 and "'context'" in refused.json["error"]


@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_generate_answers_a_prompt(rig: Rig, model: str) -> None:
    """With a system text, whole and streamed."""
    body = {"model": model, "prompt": "Hello", "system": "Be brief."}
    found = read(await post(rig, "/api/generate", **body))
    assert "".join(line["response"] for line in found) == "You said: Hello"
    assert found[-1]["done"] is True and found[-1]["done_reason"] == "stop"
    whole = await post(rig, "/api/generate", **body, stream=False)
    assert whole.json["response"] == "You said: Hello"


async def test_generate_over_another_dialect_names_what_it_cannot_do(rig: Rig) -> None:
    """A template and a raw prompt are the model's own server's matter."""
    answer = await post(
        rig,
        "/api/generate",
        model="gpt-4o",
        prompt="What is it?",
        images=[PIXEL],
        template="{{ .Prompt }}",
        raw=True,
        stream=False,
    )
    assert answer.json["response"] == "You said: What is it? [image/png, 70 bytes]"
    assert answer.headers["x-ignored-parameters"] == "template, raw"


# -- parameters --------------------------------------------------------------------------------


async def test_options_go_where_they_have_a_meaning_and_are_named_elsewhere(rig: Rig) -> None:
    """Nothing is dropped in silence."""
    options = {
        "num_predict": 50,
        "num_ctx": 8192,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "stop": ["zzz"],
        "repeat_penalty": 1.1,
        "mirostat": 2,
    }
    answer = await chat(rig, "gpt-4o", options=options, keep_alive="5m", stream=False)
    assert answer.status == 200, answer.text
    sent = rig.backend.seen[-1].json
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"]) == (50, 0.5, 0.9)
    assert (sent["seed"], sent["stop"]) == (7, ["zzz"])
    ignored = set(answer.headers["x-ignored-parameters"].split(", "))
    assert ignored == {
        "options.top_k",
        "options.num_ctx",
        "options.repeat_penalty",
        "options.mirostat",
        "keep_alive",
    }


async def test_what_an_openai_client_says_that_ollama_has_no_word_for_is_named(rig: Rig) -> None:
    """Named as that client calls it."""
    answer = await rig.ask(
        "Hello",
        "llama3.2",
        logit_bias={"7": -100},
        user="u",
        reasoning_effort="high",
        tools=[TOOL],
        parallel_tool_calls=False,
    )
    assert answer.status == 200, answer.text
    ignored = set(answer.headers["x-ignored-parameters"].split(", "))
    assert ignored == {"logit_bias", "user", "reasoning_effort", "parallel_tool_calls"}
    assert "think" not in rig.backend.seen[-1].json
    none = await rig.ask('Weather in "Oslo"', "llama3.2", tools=[TOOL], tool_choice="none")
    assert none.json["choices"][0]["message"]["content"] == 'You said: Weather in "Oslo"'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_a_call_that_must_be_made_is_asked_for_in_words(
    rig: Rig, stream: bool, choice: Any
) -> None:
    """Its API has no word for that; the server is shown no tools, and the notice says why."""
    asked: dict[str, Any] = {"tools": [TOOL], "tool_choice": choice, "stream": stream}
    answer = await rig.ask("How is it in Oslo?", "llama3.2", **asked)
    assert answer.status == 200, answer.text
    assert answer.headers["x-emulated"] == "tools"
    assert "tools" not in rig.backend.seen[-1].json
    assert '"name": "weather"' in answer.text or '"name":"weather"' in answer.text
    assert "Oslo" in answer.text
    assert '"finish_reason":"tool_calls"' in answer.text
    missed = await rig.ask("Hello", "llama3.2", **{**asked, "stream": False})
    assert missed.json["error"]["code"] == "tool_call_missing"


async def test_emulation_of_ones_own_says_what_it_leaves_out(rig: Rig) -> None:
    """Without tools in it, that a call must be made is refused, in words that say what to set."""
    refused = await rig.ask("Hello", "bare", tools=[TOOL], tool_choice="required")
    assert (refused.status, refused.json["error"]["param"]) == (400, "tool_choice")
    assert "'emulate'" in refused.json["error"]["message"]


async def test_thinking_is_shown_apart_or_kept_back(rig: Rig) -> None:
    """Trap 60: ``thinking`` beside the content; a client that wants none gets none."""
    found = read(await chat(rig, "qwen3:8b", think=True))
    assert "".join(line["message"].get("thinking", "") for line in found) == "The user asks."
    assert text_of(found) == "You said: Hello"
    quiet = read(await chat(rig, "qwen3:8b", think=False))
    assert not any("thinking" in line["message"] for line in quiet)
    over = read(await chat(rig, "o4-mini", think="low"))
    assert "".join(line["message"].get("thinking", "") for line in over).startswith("The question")
    assert rig.backend.seen[-1].json["reasoning_effort"] == "low"
    kept_back = await chat(rig, "o4-mini", think=False, stream=False)
    assert kept_back.json["message"] == {"role": "assistant", "content": "You said: Hello"}


# -- embeddings --------------------------------------------------------------------------------


async def test_embeddings_of_either_dialect_over_either_server(rig: Rig) -> None:
    """``/api/embed``, the older path, and ``/v1/embeddings``, each over both kinds."""
    native = await post(rig, "/api/embed", model="nomic-embed-text", input=["a", "bcd"])
    assert native.json["embeddings"] == [[1.0, 0.25, -0.5, 1.0], [3.0, 0.25, -0.5, 1.0]]
    assert native.json["total_duration"] == 14_143_917
    older = await post(rig, "/api/embeddings", model="nomic-embed-text:latest", prompt="ab")
    assert older.json == {"embedding": [2.0, 0.25, -0.5, 1.0]}
    theirs = await post(rig, "/v1/embeddings", model="nomic-embed-text", input=["a", "bcd"])
    assert theirs.status == 200, theirs.text
    assert [d["embedding"][0] for d in theirs.json["data"]] == [1.0, 3.0]
    assert theirs.json["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    over = await post(rig, "/api/embed", model="gpt-4o-mini", input="Hello", truncate=True)
    assert over.status == 200, over.text
    assert len(over.json["embeddings"]) == 1 and len(over.json["embeddings"][0]) == 8
    assert over.json["prompt_eval_count"] > 0 and over.json["total_duration"] > 0
    assert over.headers["x-ignored-parameters"] == "truncate"
    old = await post(rig, "/api/embeddings", model="gpt-4o-mini", prompt="Hello")
    assert old.json["embedding"] == over.json["embeddings"][0]
    tokens = await post(rig, "/v1/embeddings", model="nomic-embed-text", input=[1, 2])
    assert tokens.status == 400 and tokens.json["error"]["param"] == "input"
    none = await post(rig, "/api/embed", model="llama3.2", input="")
    assert none.status == 400 and "input" in none.json["error"]


# -- failures ----------------------------------------------------------------------------------


def broken(model: str, last: bytes, *, end: Ending) -> tuple[Play, asyncio.Event]:
    """A stream whose beginning comes at once, and ``last`` with the event."""
    first: Sequence[bytes] = lines({"content": "You "}, {"content": "said"})[:1]
    kind = "application/x-ndjson"
    if model == "gpt-4o":
        first, kind = chat_chunks(["You "])[:2], "text/event-stream"
    event = asyncio.Event()
    pieces = [*first, last]
    gates = {len(first): event}
    return Play(pieces=pieces, content_type=kind, gates=gates, end=end), event


@pytest.mark.parametrize("end", ["cut", "error"])
@pytest.mark.parametrize("model", ["llama3.2", "gpt-4o"])
async def test_a_stream_that_is_cut_ends_in_an_error_and_nothing_more(
    rig: Rig, model: str, end: str
) -> None:
    """Traps 3, 4 and 5: the last line is the error, and no line says that all is done."""
    said = {"llama3.2": b'{"error":"it broke"}\n', "gpt-4o": b'data: {"error":"it broke"}\n\n'}
    last = said[model] if end == "error" else said[model][:9]
    play, go_on = broken(model, last, end="whole" if end == "error" else "close")
    with playing(rig, play):
        async with streaming(rig, model) as (reader, _):
            begun = await reader.readuntil(b"You ")
            go_on.set()
            rest = await reader.read()
    found = [json.loads(line) for line in LINE.findall(begun + rest)]
    assert list(found[-1]) == ["error"] and found[-1]["error"]
    assert not any(line.get("done") for line in found)
    assert text_of(found[:-1]) == "You "


@pytest.mark.parametrize("model", ["llama3.2", "gpt-4o"])
async def test_errors_have_the_dialects_shape(rig: Rig, model: str) -> None:
    """A text under ``error``, with the status that says what is wrong."""
    refused = await chat(rig, model, "answer with status 422")
    assert refused.status == 422 and list(refused.json) == ["error"]
    busy = await chat(rig, model, "answer with status 503")
    assert busy.status == 503 and isinstance(busy.json["error"], str)
    unknown = await chat(rig, "nobody-has-it")
    assert unknown.status == 404 and "nobody-has-it" in unknown.json["error"]
    broken = await rig.fetch("/api/chat", method="POST", body="{")
    assert broken.status == 400 and "JSON" in broken.json["error"]
    wrong = await rig.fetch("/api/chat")
    assert wrong.status == 405 and list(wrong.json) == ["error"]


async def test_what_the_server_says_of_a_missing_model_is_told_with_its_code(rig: Rig) -> None:
    """Its errors are words alone; clients of other dialects look for a code."""
    unable = await rig.ask("Weather", "llava:7b", tools=[TOOL])
    assert unable.status == 400 and "does not support tools" in unable.json["error"]["message"]


async def test_nothing_comes_for_a_while_but_lines_that_say_nothing(rig: Rig) -> None:
    """There are no comments: every line is JSON, and those of a pause add nothing."""
    gate = asyncio.Event()
    pieces = lines({"content": "Hello"}, {"content": " there"})
    play = Play(pieces=pieces, content_type="application/x-ndjson", gates={0: gate})
    with playing(rig, play):
        async with streaming(rig, "llama3.2") as (reader, _):
            begun = await reader.readuntil(b'"content":""')
            gate.set()
            rest = await reader.read()
    found = [json.loads(line) for line in LINE.findall(begun + rest)]
    assert text_of(found) == "Hello there" and found[-1]["done"] is True


# -- lists -------------------------------------------------------------------------------------


async def test_the_lists_say_what_editors_look_for(rig: Rig) -> None:
    """Trap 61: version, tags, and for each model its capabilities and context length."""
    version = (await rig.fetch("/api/version")).json["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)  # what editors demand
    tags = (await rig.fetch("/api/tags")).json["models"]
    names = {model["name"] for model in tags}
    assert {"llama3.2:latest", "qwen3:8b", "gpt-4o:latest", "web:latest"} <= names
    assert len(names) == len(tags)
    for model in tags:
        assert model["model"] == model["name"] and len(model["digest"]) == 64
        shown = await post(rig, "/api/show", model=model["name"])
        assert shown.status == 200, shown.text
        assert shown.json["capabilities"]
    [details] = [model["details"] for model in tags if model["name"] == "llama3.2:latest"]
    assert (details["family"], details["parameter_size"]) == ("llama", "3.2B")
    llama = (await post(rig, "/api/show", model="llama3.2")).json
    assert llama["capabilities"] == ["completion", "tools"]
    assert llama["model_info"]["llama.context_length"] == 131072
    gpt = (await post(rig, "/api/show", name="gpt-4o:latest")).json
    architecture = gpt["model_info"]["general.architecture"]
    assert gpt["model_info"][f"{architecture}.context_length"] == 128000
    assert {"completion", "tools", "vision"} <= set(gpt["capabilities"])
    embed = (await post(rig, "/api/show", model="nomic-embed-text")).json
    assert embed["capabilities"] == ["embedding"]
    web = (await post(rig, "/api/show", model="web")).json
    assert web["capabilities"] == ["completion", "tools"]  # tools in words; it sees nothing
    missing = await post(rig, "/api/show", model="nobody-has-it")
    assert missing.status == 404 and "nobody-has-it" in missing.json["error"]
    running = (await rig.fetch("/api/ps")).json["models"]
    assert {model["name"] for model in running} == names


async def test_the_first_page_answers_clients_of_ollama(rig: Rig) -> None:
    """Trap 61: they look for a 200 and a line, with GET or HEAD; people still see the page."""
    page = await rig.fetch("/")
    assert page.status == 200 and "Ollama is running" in page.text
    assert "ChatGPT-to-API" in page.text and "curl http://" in page.text
    head = await rig.fetch("/", method="HEAD")
    assert head.status == 200 and head.body == b""
    for path in ("/api/version", "/api/tags"):
        assert (await rig.fetch(path, method="HEAD")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:00"),
    ],
)
async def test_models_are_managed_elsewhere(rig: Rig, method: str, path: str) -> None:
    """A clear error in the dialect's shape."""
    answer = await rig.fetch(path, method=method, body='{"model": "llama3.2"}')
    assert answer.status == 403 and list(answer.json) == ["error"]
    assert "at the upstream" in answer.json["error"]


async def test_a_model_is_loaded_where_there_is_something_to_load(rig: Rig) -> None:
    """Clients load a model before its use, and unload it after."""
    for path in ("/api/chat", "/api/generate"):
        answer = await post(rig, path, model="gpt-4o")
        assert answer.json["done"] is True and answer.json["done_reason"] == "load"
        unloaded = await post(rig, path, model="gpt-4o", keep_alive=0)
        assert unloaded.json["done_reason"] == "unload"
        unknown = await post(rig, path, model="nobody-has-it")
        assert unknown.status == 404
    assert rig.backend.seen == []
    answer = await post(rig, "/api/chat", model="llama3.2", stream=False)
    assert answer.json["done_reason"] == "load"
    assert rig.backend.seen[-1].path == "/api/chat"


async def test_the_conversation_protocol_beside_it_is_untouched(rig: Rig) -> None:
    """They share ``/api/``: each answers at its own paths, in its own shape."""
    headers = {"Authorization": "Bearer somebody"}
    listed = await rig.fetch("/api/conversations", headers=headers)
    assert listed.status == 200 and listed.json["items"] == []
    models = await rig.fetch("/api/models", headers=headers)
    assert any(model["slug"] == "gpt-4o" for model in models.json["models"])
    missing = await rig.fetch("/api/conversation/none", headers=headers)
    assert "detail" in missing.json
