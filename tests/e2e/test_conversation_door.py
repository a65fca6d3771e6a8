"""Our own conversation backend, by the installed command: kills, hang-ups, two in a row."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.gateway_process import Answer, GatewayProcess, fetch, gateway_process
from support.rig import Rigging
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    conversation_events,
    json_play,
    scripted_backend,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rigged(shared_rigs: Rigging) -> Rigging:
    """One gateway for all tests here that set nothing of their own."""
    return shared_rigs


OWN_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln"


def question(text: str, after: Any = None, **more: Any) -> str:
    content = {"content_type": "text", "parts": [text]}
    body = {
        "action": "next",
        "messages": [{"id": str(uuid4()), "author": {"role": "user"}, "content": content}],
        "parent_message_id": str(uuid4()) if after is None else after["message"]["id"],
        "model": "gpt-4o",
        **({} if after is None else {"conversation_id": after["conversation_id"]}),
    }
    return json.dumps(body | more)


def talk(gateway: GatewayProcess, body: str, token: str = "alice", **more: str) -> Answer:
    headers = {"authorization": f"Bearer {token}", **more}
    return gateway.fetch("/backend-api/conversation", method="POST", body=body, headers=headers)


def events(data: str) -> list[Any]:
    found = []
    for event in data.split("\n\n"):
        if event.startswith("data: "):
            found.append("[DONE]" if event == "data: [DONE]" else json.loads(event[6:]))
    return found


def last(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    *_, final, done = events(answer.text)
    assert done == "[DONE]"
    return final


def counting(seen: Seen) -> Play:
    """A chat-completions server that says how many messages it was sent, and the last one."""
    messages = seen.json["messages"]
    return Play(pieces=chat_chunks([f"{len(messages)}: ", messages[-1]["content"]]))


def text_of(event: Any) -> str:
    text: str = event["message"]["content"]["parts"][0]
    return text


async def test_a_chat_goes_on_after_kill_9(tmp_path: Path) -> None:
    """Whoever saw the end of an answer can follow it up, whatever happens to the process."""
    async with scripted_backend(counting) as backend:
        environment = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": "sk-up"}
        data = tmp_path / "data"
        with gateway_process(data, **environment) as gateway:
            first = last(await asyncio.to_thread(talk, gateway, question("one 潮")))
            assert text_of(first) == "1: one 潮"
            gateway.kill()
        with gateway_process(data, **environment) as gateway:
            second = last(await asyncio.to_thread(talk, gateway, question("two", first)))
            assert text_of(second) == "3: two"
            assert [m["content"] for m in backend.seen[-1].json["messages"]] == [
                "one 潮",
                "1: one 潮",
                "two",
            ]
            stranger = await asyncio.to_thread(talk, gateway, question("two", first), "bob")
            assert stranger.status == 404
            assert stranger.json["detail"]["code"] == "conversation_not_found"
        words = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
        assert "one 潮".encode() not in words


async def test_a_gateway_stands_behind_another(tmp_path: Path) -> None:
    """A's API_REVERSE_PROXY is B: text, model and usage come through, streamed and not."""
    async with scripted_backend(counting) as backend:
        up = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": "sk-up"}
        with gateway_process(tmp_path / "b", **up) as b:
            port = await asyncio.to_thread(lambda: b.port)
            url = f"http://127.0.0.1:{port}/backend-api/conversation"
            down = {"API_REVERSE_PROXY": url, "ACCESS_TOKENS": "tok-a"}
            with gateway_process(tmp_path / "a", **down) as a:
                whole = await asyncio.to_thread(a.ask, "你好 😀")
                assert whole.status == 200, whole.text
                assert whole.json["choices"][0]["message"]["content"] == "1: 你好 😀"
                assert whole.json["choices"][0]["finish_reason"] == "stop"
                assert whole.json["model"] == "gpt-x"
                assert whole.json["usage"]["completion_tokens"] > 0
                streamed = await asyncio.to_thread(a.ask, "你好 😀", stream=True)
                pieces = [
                    event["choices"][0]["delta"].get("content", "")
                    for event in events(streamed.text)[:-1]
                ]
                assert "".join(pieces) == "1: 你好 😀"
                # What went through for somebody else is not kept: history is off in between.
                listed = await asyncio.to_thread(
                    b.fetch,
                    "/backend-api/conversations",
                    headers={"authorization": "Bearer tok-a"},
                )
                assert listed.json["total"] == 0


async def test_a_backends_refusal_comes_through_two_gateways(tmp_path: Path) -> None:
    """What is wrong behind B reaches A's client with its words, and no secret."""
    refusal = json_play({"error": {"message": "This model is out of tea."}}, status=400)
    async with scripted_backend([refusal]) as backend:
        up = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": "sk-up-secret"}
        with gateway_process(tmp_path / "b", **up) as b:
            direct = await asyncio.to_thread(talk, b, question("x"))
            assert direct.status == 400
            assert "out of tea" in direct.json["detail"]
            port = await asyncio.to_thread(lambda: b.port)
            url = f"http://127.0.0.1:{port}/backend-api/conversation"
            down = {"API_REVERSE_PROXY": url, "ACCESS_TOKENS": "tok-a"}
            with gateway_process(tmp_path / "a", **down) as a:
                refused = await asyncio.to_thread(a.ask, "x")
                assert refused.status == 400
                assert "out of tea" in refused.json["error"]["message"]
                assert "sk-up-secret" not in refused.text + direct.text


async def test_a_callers_token_goes_to_a_conversation_backend_only(
    rigged: Rigging, tmp_path: Path
) -> None:
    """Its own token is used there instead of the pool's, and reaches no other kind of upstream."""
    async with rigged([conversation("hi")]) as rig:
        last(await asyncio.to_thread(talk, rig.gateway, question("x"), OWN_TOKEN))
        last(await asyncio.to_thread(talk, rig.gateway, question("x"), "alice"))
        assert rig.backend.tokens == [OWN_TOKEN, "tok-a"]
    async with scripted_backend(counting) as backend:
        up = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": "sk-up"}
        with gateway_process(tmp_path / "other", **up) as gateway:
            last(await asyncio.to_thread(talk, gateway, question("x"), OWN_TOKEN))
        assert backend.tokens == ["sk-up"]
        assert all(OWN_TOKEN not in str(seen.headers) for seen in backend.seen)


async def test_an_answer_that_was_hung_up_on_can_be_followed_up(rigged: Rigging) -> None:
    """The half that was seen is kept; asking on at once needs no patience."""
    half = Play(pieces=conversation_events(["Half a"])[:1], end="hang")
    async with rigged([half, conversation("whole")]) as rig:
        port = await asyncio.to_thread(lambda: rig.gateway.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = question("one").encode()
        head = (
            "POST /api/conversation HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer alice\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await reader.readuntil(b"data: ")
        seen = json.loads(await reader.readline())
        assert text_of(seen) == "Half a"
        writer.close()
        follow = last(await asyncio.to_thread(talk, rig.gateway, question("two", seen)))
        assert text_of(follow) == "whole"
        tree = await rig.fetch(
            f"/api/conversation/{seen['conversation_id']}",
            headers={"authorization": "Bearer alice"},
        )
        cut = tree.json["mapping"][seen["message"]["id"]]["message"]
        assert cut["status"] == "finished_partial_completion"
        assert cut["content"]["parts"] == ["Half a"]


async def test_an_upstream_that_dies_in_the_middle_is_told_and_not_done(rigged: Rigging) -> None:
    """An error event ends the stream, without [DONE]."""
    cut = Play(pieces=conversation_events(["Half a"])[:1], end="reset")
    async with rigged([cut]) as rig:
        answer = await asyncio.to_thread(talk, rig.gateway, question("one"))
        *running, failed = events(answer.text)
        assert text_of(running[-1]) == "Half a"
        assert failed["message"] is None
        assert failed["error"]
        assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/backend-api/conversation",
        "/api/conversation",
        "/chatgpt/backend-api/conversation",
        "/chatgpt/conversation",
    ],
)
async def test_the_backend_is_probed_as_people_do(rigged: Rigging, path: str) -> None:
    """A plain POST without a token is told so, on every base; keys make the bearer matter."""
    async with rigged([conversation("hi")], API_KEYS="client-key") as rig:
        bare = await rig.fetch(path, method="POST", body='{"model": "gpt-4o"}')
        assert (bare.status, bare.body) == (401, b'{"errorMessage":"Missing accessToken."}')
        wrong = await rig.fetch(
            path, method="POST", body=question("x"), headers={"authorization": "Bearer nobody"}
        )
        assert (wrong.status, wrong.json["detail"]["code"]) == (401, "invalid_api_key")
        right = await rig.fetch(
            path, method="POST", body=question("x"), headers={"x-authorization": "client-key"}
        )
        assert text_of(last(right)) == "hi"


async def test_what_is_kept_keeps_to_its_settings(tmp_path: Path) -> None:
    """The bounds are the operator's."""
    async with scripted_backend(counting) as backend:
        environment = {
            "OPENAI_BASE_URL": backend.url("/v1"),
            "CHATGPT_TO_API_MAX_CONVERSATIONS": "2",
            "CHATGPT_TO_API_MAX_CONVERSATION_MESSAGES": "4",
        }
        with gateway_process(tmp_path / "data", **environment) as gateway:
            for i in range(3):
                final = last(await asyncio.to_thread(talk, gateway, question(f"q{i}")))
            listed = await asyncio.to_thread(
                fetch,
                gateway.url("/api/conversations"),
                headers={"authorization": "Bearer alice"},
            )
            assert listed.json["total"] == 2
            final = last(await asyncio.to_thread(talk, gateway, question("more", final)))
            full = await asyncio.to_thread(talk, gateway, question("and more", final))
            assert full.status == 413
            assert full.json["detail"]["code"] == "conversation_too_large"


async def test_anonymous_use_is_a_setting(rigged: Rigging) -> None:
    """With it a plain POST is answered; the conversation is in nobody's list."""
    async with rigged([conversation("hi")], ALLOW_ANONYMOUS_CONVERSATION="true") as rig:
        answer = await rig.fetch("/api/conversation", method="POST", body=question("x"))
        assert text_of(last(answer)) == "hi"
        listed = await rig.fetch("/api/conversations")
        assert listed.json["total"] == 0
