"""One gateway behind another: our own conversation backend, used by ourselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.gateway_process import gateway_process
from support.scripted_backend import Play, Seen, chat_chunks, json_play, scripted_backend


def _vendor(seen: Seen) -> Play:
    """An OpenAI-compatible server that repeats the last message."""
    if seen.method == "GET":
        return json_play({"object": "list", "data": [{"id": "m1"}]})
    last = seen.json["messages"][-1]["content"]
    text = last if isinstance(last, str) else last[0]["text"]
    return Play(pieces=chat_chunks(["you said: ", text], model="m1"))


async def test_a_gateway_stands_behind_a_gateway(tmp_path: Path) -> None:
    """Client → A (chat door, conversation upstream) → B (conversation door, vendor upstream)."""
    async with scripted_backend(_vendor) as vendor:
        with (
            gateway_process(tmp_path / "b", OPENAI_BASE_URL=vendor.url("/v1")) as b,
            gateway_process(
                tmp_path / "a",
                API_REVERSE_PROXY=b.url("/backend-api/conversation"),
                ACCESS_TOKENS="anything-1,anything-2",
            ) as a,
        ):
            whole = await asyncio.to_thread(a.ask, "你好 👋🏽", model="m1-through-both")
            assert whole.status == 404  # A routes only names it knows
            whole = await asyncio.to_thread(a.ask, "你好 👋🏽", model="gpt-4")
            assert whole.json["choices"][0]["message"]["content"] == "you said: 你好 👋🏽"
            assert whole.json["choices"][0]["finish_reason"] == "stop"
            streamed = await asyncio.to_thread(a.ask, "again", model="gpt-4", stream=True)
            assert "you said: " in streamed.text
            assert streamed.text.endswith("data: [DONE]\n\n")
            listed = await asyncio.to_thread(
                b.fetch,
                "/backend-api/conversations?offset=0&limit=5",
                headers={"Authorization": "Bearer anything-1"},
            )
            assert listed.json["items"] == []  # A asks for no history: nothing is kept


async def test_kept_conversations_belong_to_their_bearer_and_survive_a_kill(tmp_path: Path) -> None:
    """With history on, B keeps what A asked, for A's token only, over ``kill -9``."""
    async with scripted_backend(_vendor) as vendor:
        with gateway_process(tmp_path / "b", OPENAI_BASE_URL=vendor.url("/v1")) as b:
            with gateway_process(
                tmp_path / "a",
                API_REVERSE_PROXY=b.url("/backend-api/conversation"),
                ACCESS_TOKENS="anything-1",
                ENABLE_HISTORY="true",
            ) as a:
                assert (await asyncio.to_thread(a.ask, "remember me", model="gpt-4")).status == 200
            b.kill()
        with gateway_process(tmp_path / "b", OPENAI_BASE_URL=vendor.url("/v1")) as again:

            def listed(bearer: str) -> list[object]:
                answer = again.fetch(
                    "/api/conversations", headers={"Authorization": f"Bearer {bearer}"}
                )
                items: list[object] = answer.json["items"]
                return items

            assert len(await asyncio.to_thread(listed, "anything-1")) == 1
            assert await asyncio.to_thread(listed, "somebody-else") == []
