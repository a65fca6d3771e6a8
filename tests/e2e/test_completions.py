"""Legacy completions with the official SDK: relayed where a server has them, else through chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from support.gateway_process import gateway_process
from support.rig import Rig
from support.scripted_backend import Play, ScriptedBackend, Seen, chat_chunks, json_play
from support.shared_rig import OpenScript, fresh

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
[upstreams.old]
kind = "openai"
base_url = "{url}"
models = ["old"]
endpoints = ["completions"]

[upstreams.new]
kind = "openai"
base_url = "{url}"
models = ["new", "gpt-4o", "gpt-3.5-turbo-instruct"]

[upstreams.single]
kind = "openai"
base_url = "{url}"
models = ["single"]
emulate = ["n"]

[[routes]]
model = "old-first"
candidates = [{{ upstream = "old", model = "old" }}, {{ upstream = "single", model = "single" }}]

[[routes]]
model = "chat-first"
candidates = [{{ upstream = "new", model = "new" }}, {{ upstream = "single", model = "single" }}]

[[routes]]
model = "single-first"
candidates = [{{ upstream = "single", model = "single" }}, {{ upstream = "old", model = "old" }}]
"""
CHAT = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "new-1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": " world"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
TEXTS = {
    "id": "cmpl-up",
    "object": "text_completion",
    "created": 1,
    "model": "old-1",
    "choices": [
        {"text": "a", "index": 0, "logprobs": {"tokens": ["a"]}, "finish_reason": "stop"},
        {"text": "b", "index": 1, "logprobs": None, "finish_reason": "length"},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "vendor": {"kept": True},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        return json_play({"data": []}) if seen.method == "GET" else script(seen)

    data = tmp_path_factory.mktemp("completions") / "data"
    data.mkdir()
    async with ScriptedBackend(serve) as backend:
        (data / "config.toml").write_text(CONFIG.format(url=backend.url("/v1")))
        with gateway_process(data) as gateway:
            await asyncio.to_thread(lambda: gateway.port)
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


def sdk(rig: Rig) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=rig.gateway.url("/v1"), api_key="x", max_retries=0)


def asked(rig: Rig) -> list[Seen]:
    return [seen for seen in rig.backend.seen if seen.method == "POST"]


@pytest.mark.parametrize("prompt", ["hi", ["hi", "ho"], [1, 2], [[1], [2]]])
async def test_a_server_that_has_them_gets_everything(
    rig: Rig, script: OpenScript, prompt: object
) -> None:
    """Every kind of prompt, every parameter, and the reply's own bytes."""
    script.play(json_play(TEXTS))
    fields = {
        "model": "old",
        "prompt": prompt,
        "echo": True,
        "suffix": "end",
        "best_of": 3,
        "n": 2,
        "logprobs": 5,
        "vendor": 1,
    }
    answer = await rig.fetch("/v1/completions", method="POST", body=json.dumps(fields))
    assert (answer.status, answer.json) == (200, TEXTS)
    (seen,) = asked(rig)
    assert (seen.path, seen.json) == ("/v1/completions", fields)


async def test_a_relayed_stream_is_whole_events_to_its_end(rig: Rig, script: OpenScript) -> None:
    """Usage that was not asked for is seen by the gateway alone."""

    def chunk(choices: list[object], **more: object) -> bytes:
        data = {
            "id": "c",
            "object": "text_completion",
            "created": 1,
            "model": "old-1",
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    said = [chunk([{"text": text, "index": 0, "finish_reason": None}]) for text in ("He", "llo")]
    end = chunk([{"text": "", "index": 0, "finish_reason": "stop"}])
    script.play(Play(pieces=[*said, end, chunk([], usage=usage), b"data: [DONE]\n\n"]))
    async with sdk(rig) as client:
        stream = await client.completions.create(model="old", prompt="hi", stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert asked(rig)[0].json["stream_options"] == {"include_usage": True}


async def test_a_chat_answers_for_a_server_without_them(rig: Rig, script: OpenScript) -> None:
    """The prompt is one message, the length the API's own, and what is ignored is named."""
    script.play(json_play(CHAT))
    async with sdk(rig) as client:
        raw = await client.completions.with_raw_response.create(
            model="new", prompt=["Hello"], echo=True, logprobs=2, best_of=2, stop="x", seed=7
        )
    assert raw.headers["x-ignored-parameters"] == "best_of, logprobs"
    reply = raw.parse()
    assert (reply.object, reply.model) == ("text_completion", "new-1")
    assert reply.id.startswith("cmpl-")
    (choice,) = reply.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == ("Hello world", "stop", None)
    assert reply.usage is not None and reply.usage.total_tokens == 5
    (seen,) = asked(rig)
    assert seen.path == "/v1/chat/completions"
    assert seen.json == {
        "model": "new",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 16,
        "stop": ["x"],
        "seed": 7,
    }


async def test_a_chats_stream_becomes_one_of_texts(rig: Rig, script: OpenScript) -> None:
    """Echo first and once, usage last where it was asked for, then the end."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    *chunks, done = chat_chunks([" wor", "ld"], model="new-1")
    last = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "new-1",
        "choices": [],
        "usage": usage,
    }
    script.play(Play(pieces=[*chunks, b"data: " + json.dumps(last).encode() + b"\n\n", done]))
    async with sdk(rig) as client:
        stream = await client.completions.create(
            model="new",
            prompt="Hello",
            echo=True,
            stream=True,
            max_tokens=5,
            stream_options={"include_usage": True},
        )
        seen = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in seen if chunk.choices) == "Hello world"
    assert [chunk.usage.total_tokens for chunk in seen if chunk.usage] == [5]
    assert seen[-1].choices == [] and len({chunk.id for chunk in seen}) == 1
    assert asked(rig)[0].json["max_tokens"] == 5


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"suffix": "end"}, "suffix", "text before a given end"),
        ({"prompt": [1, 2]}, "prompt", "token ids"),
        ({"prompt": [[1], [2]]}, "prompt[0]", "token ids"),
        ({"prompt": ["a"] * 65, "n": 2}, "prompt", "65 prompts with 2 each"),
        ({"model": "gpt-4o", "prompt": [199_999]}, "prompt", "199999 is no token of text"),
        ({"model": "gpt-4o", "prompt": [-1]}, "prompt", "-1 is no token"),
        ({"model": "gpt-4o", "prompt": [[9906], [4103]]}, "prompt[1]", "within a character"),
        ({"model": "gpt-4o", "prompt": [[]]}, "prompt[0]", "empty"),
        ({"prompt": []}, "prompt", "empty array"),
        ({"prompt": ["a", 1]}, "prompt[1]", "same kind"),
        ({"prompt": {}}, "prompt", "got object"),
        ({"n": 3, "best_of": 2}, "best_of", "at least n"),
        ({"n": 0}, "n", "from 1 to 128"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
    ],
)
async def test_what_no_chat_can_is_refused(
    rig: Rig, fields: dict[str, object], param: str, words: str
) -> None:
    """What would change the answer's meaning is never dropped, and what is wrong is named."""
    body = json.dumps({"model": "new", "prompt": "x"} | fields)
    answer = await rig.fetch("/v1/completions", method="POST", body=body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert words in answer.json["error"]["message"]
    assert asked(rig) == []


async def test_a_server_without_chat_is_never_asked_for_one(rig: Rig) -> None:
    """The endpoint decides before the model's name does."""
    answer = await rig.ask(model="old")
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert asked(rig) == []


def said_back(seen: Seen) -> Play:
    """A chat that repeats its last message, each word a token."""
    said = seen.json["messages"][-1]["content"]
    words = len(said.split())
    usage = {"prompt_tokens": words, "completion_tokens": 1, "total_tokens": words + 1}
    message = {"role": "assistant", "content": f"<{said}>"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json_play(CHAT | {"choices": [choice], "usage": usage})


async def test_several_prompts_are_answered_each_on_its_own(rig: Rig, script: OpenScript) -> None:
    """A prompt's choices stand together, echoes are their own prompt's, a prompt costs once."""
    script.play(said_back)
    async with sdk(rig) as client:
        raw = await client.completions.with_raw_response.create(
            model="new", prompt=["one", "one two", "one two three"], n=2, echo=True
        )
    reply = raw.parse()
    texts = ["one", "one two", "one two three"]
    assert [(choice.index, choice.text) for choice in reply.choices] == [
        (2 * number + again, f"{text}<{text}>")
        for number, text in enumerate(texts)
        for again in range(2)
    ]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (6, 6)
    assert raw.headers["x-emulated"] == "n"
    calls = [seen.json for seen in asked(rig)]
    assert len(calls) == 6 and all("n" not in call for call in calls)


async def test_several_prompts_stream_side_by_side(rig: Rig, script: OpenScript) -> None:
    """Chunks carry the index of their choice; there is one end and one sum of usage."""
    script.play(
        lambda seen: Play(
            pieces=chat_chunks([seen.json["messages"][0]["content"], "!"], model="new-1")
        )
    )
    async with sdk(rig) as client:
        stream = await client.completions.create(
            model="new", prompt=["left", "right"], echo=True, stream=True
        )
        chunks = [chunk async for chunk in stream]
    texts = {0: "", 1: ""}
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == {0: "leftleft!", 1: "rightright!"}
    ends = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason]
    assert sorted(ends) == [0, 1]


@pytest.mark.parametrize(
    ("model", "ids"),
    [
        ("gpt-4o", [[13225, 11, 2375], [4103, 100, 239]]),
        ("gpt-3.5-turbo-instruct", [[9906, 11, 1917], [9468, 100, 239]]),
    ],
)
async def test_token_ids_are_read_with_their_models_table(
    rig: Rig, script: OpenScript, model: str, ids: list[list[int]]
) -> None:
    """One prompt of ids, or several, in the encoding that the vendor has for the model."""
    script.play(said_back)
    async with sdk(rig) as client:
        several = await client.completions.create(model=model, prompt=ids, echo=True)
        one = await client.completions.create(model=model, prompt=ids[0])
    texts = [choice.text for choice in several.choices]
    assert texts == ["Hello, world<Hello, world>", "🧑<🧑>"]
    assert one.choices[0].text == "<Hello, world>"


@pytest.mark.parametrize("prompt", ["hi", ["hi", "ho"], [[1], [2]]])
async def test_a_server_that_has_them_answers_whole_whoever_stands_behind_it(
    rig: Rig, script: OpenScript, prompt: object
) -> None:
    """A later candidate that answers with one choice does not take away the relay lane."""
    script.play(json_play(TEXTS))
    fields = {"model": "old-first", "prompt": prompt, "n": 2, "logprobs": 5}
    answer = await rig.fetch("/v1/completions", method="POST", body=json.dumps(fields))
    assert (answer.status, answer.json) == (200, TEXTS)
    (seen,) = asked(rig)
    assert (seen.path, seen.json) == ("/v1/completions", fields | {"model": "old"})


async def test_a_later_candidate_answers_in_parts(rig: Rig, script: OpenScript) -> None:
    """Where the server that has them fails, a chat is asked for one choice after the other."""

    def serve(seen: Seen) -> Play:
        if seen.path == "/v1/completions":
            return json_play({"error": {"message": "no quota"}}, status=403)
        return said_back(seen)

    script.play(serve)
    async with sdk(rig) as client:
        raw = await client.completions.with_raw_response.create(
            model="old-first", prompt=["a", "b"], n=2
        )
    assert [choice.text for choice in raw.parse().choices] == ["<a>", "<a>", "<b>", "<b>"]
    assert raw.headers["x-upstream"] == "single"
    assert [seen.path for seen in asked(rig)] == ["/v1/completions", *["/v1/chat/completions"] * 4]


async def test_parts_are_asked_only_of_chats(rig: Rig, script: OpenScript) -> None:
    """A server of completions alone is no candidate for a part."""
    script.play(said_back)
    async with sdk(rig) as client:
        reply = await client.completions.create(model="single-first", prompt="a", n=2)
    assert [choice.text for choice in reply.choices] == ["<a>", "<a>"]
    assert {seen.path for seen in asked(rig)} == {"/v1/chat/completions"}


async def test_a_chat_that_gives_several_choices_is_relayed_whole_too(
    rig: Rig, script: OpenScript
) -> None:
    """It is the first candidate; the one that gives one choice stands in for it in parts."""
    script.play(json_play(CHAT))
    await rig.ask(model="chat-first", n=2)
    assert [seen.json["n"] for seen in asked(rig)] == [2]
    rig.backend.seen.clear()
    script.play(
        lambda seen: (
            json_play({"error": {"message": "no quota"}}, status=403)
            if seen.json["model"] == "new"
            else said_back(seen)
        )
    )
    answer = await rig.ask(model="chat-first", n=2)
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1]
    assert [seen.json.get("n") for seen in asked(rig)] == [2, None, None]
