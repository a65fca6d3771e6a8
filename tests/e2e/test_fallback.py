"""Several candidates for one model: each gets its chance, but never after content."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from support.gateway_process import Answer, gateway_process
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    json_play,
    scripted_backend,
)

REPLY = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "vendor"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}

CONFIG = """
[upstreams.conversation]
base_url = "{backend}"
{more}
[upstreams.vendor]
kind = "openai"
base_url = "{vendor}"
models = ["only-by-route"]

[[routes]]
model = "both"
candidates = [{{ upstream = "conversation" }}, {{ upstream = "vendor" }}]
"""


def vendor(seen: Seen) -> Play:
    """An OpenAI-compatible server, streaming or not."""
    if seen.method == "GET":
        return json_play({"data": []})
    if seen.json.get("stream"):
        return Play(pieces=chat_chunks(["vendor"]))
    return json_play(REPLY)


async def _ask(
    tmp_path: Path, backend: str, vendor_url: str, more: str = "", **body: object
) -> Answer:
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(backend=backend, vendor=vendor_url, more=more))
    with gateway_process(
        tmp_path / "data", CHATGPT_TO_API_CONFIG=str(config), ACCESS_TOKENS="tok-a,tok-b"
    ) as gateway:
        await asyncio.to_thread(lambda: gateway.port)
        return await asyncio.to_thread(gateway.ask, model="both", **body)


async def test_a_first_candidate_that_is_down_leaves_a_try_to_the_second(tmp_path: Path) -> None:
    """Nobody listens at the first: the same request is answered by the second."""
    async with scripted_backend(vendor) as second:
        answer = await _ask(tmp_path, "http://127.0.0.1:9/conversation", second.url("/v1"))
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "vendor"


async def test_an_answer_that_cannot_be_continued_stays_short_and_alone(tmp_path: Path) -> None:
    """The pace leaves no room for the continuation: one answer, finished by length."""
    for stream in (False, True):
        async with (
            scripted_backend([conversation("cut ", finish="max_tokens")]) as first,
            scripted_backend(vendor) as second,
        ):
            answer = await _ask(
                tmp_path, first.url(), second.url("/v1"), 'rate_limits = ["1/1h"]', stream=stream
            )
            assert answer.status == 200
            assert "vendor" not in answer.text
            assert '"length"' in answer.text
            assert [seen for seen in second.seen if seen.method == "POST"] == []


async def test_choices_asked_one_by_one_stay_one_by_one_at_the_second(tmp_path: Path) -> None:
    """``n`` = 2 falls back as two choices of one reply, each asked with ``n`` = 1."""
    async with scripted_backend(vendor) as second:
        answer = await _ask(tmp_path, "http://127.0.0.1:9/conversation", second.url("/v1"), n=2)
        assert [c["index"] for c in answer.json["choices"]] == [0, 1]
        posted = [seen for seen in second.seen if seen.method == "POST"]
        assert len(posted) == 2
        assert all(seen.json.get("n", 1) == 1 for seen in posted)


async def test_a_route_to_nothing_in_force_is_a_503_and_no_crash(tmp_path: Path) -> None:
    """The embedded model is off: its route says what is missing, the rest works."""
    config = tmp_path / "c.toml"
    config.write_text('[[routes]]\nmodel = "mine"\ncandidates = [{ upstream = "local" }]\n')
    with gateway_process(tmp_path / "data", CHATGPT_TO_API_CONFIG=str(config)) as gateway:
        answer = await asyncio.to_thread(gateway.ask, model="mine")
        assert answer.status == 503
        assert (await asyncio.to_thread(gateway.fetch, "/v1/models")).json["data"] == []
        assert (await asyncio.to_thread(gateway.fetch, "/")).status == 200


async def test_with_nothing_configured_a_503_says_what_to_do(tmp_path: Path) -> None:
    """No upstream at all is the operator's matter, not an unknown model."""
    with gateway_process(tmp_path / "data") as gateway:
        answer = await asyncio.to_thread(gateway.ask)
        assert answer.status == 503
        assert "/admin/tokens" in answer.json["error"]["message"]


async def test_one_odd_model_list_does_not_end_the_listing(tmp_path: Path) -> None:
    """A list that is no UTF-8 is left out; the gateway goes on answering."""
    odd = Play(pieces=[b'{"data": [{"id": "\xff"}]}'], content_type="application/json")

    def script(seen: Seen) -> Play:
        return odd if seen.method == "GET" else json_play(REPLY)

    async with scripted_backend(script) as backend:
        with gateway_process(tmp_path / "data", OPENAI_BASE_URL=backend.url("/v1")) as gateway:
            assert (await asyncio.to_thread(gateway.ask, model="m")).status == 200
            await backend.until(lambda: any(seen.method == "GET" for seen in backend.seen))
            assert (await asyncio.to_thread(gateway.fetch, "/v1/models")).status == 200
            await asyncio.to_thread(gateway.stop)
            assert "never retrieved" not in gateway.text


async def test_a_name_of_a_megabyte_is_refused_and_not_kept(tmp_path: Path) -> None:
    """The model's name is bounded before it reaches logs, caches and records."""
    async with scripted_backend(vendor) as backend:
        with gateway_process(tmp_path / "data", OPENAI_BASE_URL=backend.url("/v1")) as gateway:
            answer = await asyncio.to_thread(gateway.ask, model="x" * 1_000_000)
            assert answer.status == 400
            assert answer.json["error"]["param"] == "model"
            assert len(json.dumps(answer.json)) < 1000
