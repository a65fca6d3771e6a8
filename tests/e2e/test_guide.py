"""The guide's own examples, as users type them: curl, the installed command, nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import ADMIN_PASSWORD, GatewayProcess, gateway_process
from support.rig import Rigging, rigging
from support.scripted_backend import (
    Play,
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


QUESTION = (
    '{"model": "text-davinci-002-render-sha", '
    '"messages": [{"role": "user", "content": "你是什么模型,是GPT3.5吗"}]}'
)


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run curl as a person does."""
    binary = shutil.which("curl")
    assert binary is not None, "curl is one of the few things the guide asks for"
    return subprocess.run(
        [binary, "-sS", "--noproxy", "*", *arguments], capture_output=True, text=True, timeout=60
    )


async def test_the_guides_curl_gets_a_chat_completion(rigged: Rigging) -> None:
    """No Content-Type, no Authorization, Chinese text: a true chat.completion object comes back."""
    async with rigged([conversation("我是", "一个模型")]) as rig:
        url = rig.gateway.url("/v1/chat/completions")
        ids = set()
        for _ in range(2):
            done = await asyncio.to_thread(curl, url, "-d", QUESTION)
            answer = json.loads(done.stdout)
            assert answer["object"] == "chat.completion"
            assert answer["model"] == "text-davinci-002-render-sha"
            assert answer["created"] > 1_700_000_000
            [choice] = answer["choices"]
            assert choice["message"] == {"role": "assistant", "content": "我是一个模型"} | {
                k: v for k, v in choice["message"].items() if k not in ("role", "content")
            }
            assert choice["finish_reason"] == "stop"
            usage = answer["usage"]
            assert usage["completion_tokens"] > 0 and usage["prompt_tokens"] > 0
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
            ids.add(answer["id"])
        assert len(ids) == 2
        sent = rig.backend.seen[0].json
        assert sent["model"] == "text-davinci-002-render-sha"
        assert sent["messages"][0]["content"]["parts"] == ["你是什么模型,是GPT3.5吗"]
        assert sent["history_and_training_disabled"] is True


def _admin(gateway: GatewayProcess, *arguments: str) -> tuple[int, str]:
    done = curl(*arguments, "-w", "\n%{http_code}", gateway.url("/admin/tokens"))
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


async def test_patching_tokens_replaces_them_and_survives_a_kill(tmp_path: Path) -> None:
    """The guide's PATCH, from a file and inline; it holds after ``kill -9`` behind the 200."""
    file = tmp_path / "access_tokens.json"
    file.write_text('["eyJhbXXX", {"token": "eyJhbYYY", "puid": "user-1"}]')
    password = f"Authorization: {ADMIN_PASSWORD}"
    async with rigging(tmp_path / "data")([conversation("ok")], tokens=[]) as rig:
        status, body = await asyncio.to_thread(
            _admin, rig.gateway, "-X", "PATCH", "-H", password, "-d", f"@{file}"
        )
        assert status == 200, body
        rig.gateway.kill()
        with gateway_process(
            rig.gateway.data_dir, API_REVERSE_PROXY=rig.backend.url()
        ) as restarted:
            listed = await asyncio.to_thread(restarted.admin, "GET", "/admin/tokens")
            assert len(listed.json["tokens"]) == 2
            assert "eyJhbXXX" not in listed.text
            status, body = await asyncio.to_thread(
                _admin,
                restarted,
                "-X",
                "PATCH",
                "-H",
                f"Authorization: Bearer {ADMIN_PASSWORD}",
                "-d",
                '["eyJhbZZZ"]',
            )
            assert status == 200, body
            assert (await asyncio.to_thread(restarted.ask)).status == 200
            assert rig.backend.tokens == ["eyJhbZZZ"]


async def test_one_bad_token_rejects_the_whole_set(rigged: Rigging) -> None:
    """The position is named and nothing changes."""
    async with rigged([conversation("ok")], tokens=["eyJhbAAA"]) as rig:
        refused = await rig.admin("PATCH", "/admin/tokens", ["eyJhbBBB", 5, "eyJhbCCC"])
        assert refused.status == 400
        assert "[1]" in refused.text
        assert (await rig.ask()).status == 200
        assert rig.backend.tokens == ["eyJhbAAA"]


async def test_a_wrong_password_is_a_401(rigged: Rigging) -> None:
    """Neither the password nor anything about the tokens shows."""
    async with rigged([conversation("ok")]) as rig:
        answer = await rig.fetch("/admin/tokens", headers={"Authorization": "wrong"})
        assert answer.status == 401
        assert ADMIN_PASSWORD not in answer.text


async def test_the_puid_cookie_goes_with_its_token(rigged: Rigging) -> None:
    """A token's own PUID is sent as the cookie; the default goes with tokens that have none."""
    async with rigged([conversation("ok")], tokens=[], PUID="user-default") as rig:
        await rig.admin("PATCH", "/admin/tokens", [{"token": "eyJhbAAA", "puid": "user-own"}])
        await rig.ask()
        await rig.admin("PATCH", "/admin/tokens", ["eyJhbBBB"])
        await rig.ask()
        cookies = [seen.headers["cookie"] for seen in rig.backend.seen]
        assert "_puid=user-own" in cookies[0]
        assert "_puid=user-default" in cookies[1]


async def test_a_callers_own_token_is_used_instead_of_the_pool(rigged: Rigging) -> None:
    """``Authorization: Bearer eyJ…`` of the caller goes to the backend, the pool's does not."""
    own = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2ln"
    async with rigged([conversation("ok")]) as rig:
        answer = await rig.ask(headers={"Authorization": f"Bearer {own}"})
        assert answer.status == 200
        assert rig.backend.tokens == [own]


async def test_with_client_keys_a_lookalike_token_does_not_walk_past(tmp_path: Path) -> None:
    """``api_keys.txt`` decides; a string that looks like a token is no key."""
    own = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2ln"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api_keys.txt").write_text("sk-mine \r\n\n# a comment\n")
    async with rigging(tmp_path / "data")([conversation("ok")]) as rig:
        assert (await rig.ask()).status == 401
        assert (await rig.ask(headers={"Authorization": f"Bearer {own}"})).status == 401
        assert (await rig.ask(headers={"Authorization": "Bearer sk-mine"})).status == 200
        assert rig.backend.tokens == ["tok-a"]


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ("{broken", 400, None, "JSON"),
        ("", 400, None, "JSON"),
        ("[1]", 400, None, "object"),
        ('{"messages": [{"role": "user", "content": "x"}]}', 400, "model", "model"),
        ('{"model": "gpt-4"}', 400, "messages", "messages"),
        ('{"model": "gpt-4", "messages": []}', 400, "messages", "messages"),
        (
            '{"model": "gpt-4", "messages": [{"role": "user", "content": 5}]}',
            400,
            "messages[0].content",
            "content",
        ),
        (
            '{"model": "gpt-4", "temperature": "hot", '
            '"messages": [{"role": "user", "content": "x"}]}',
            400,
            "temperature",
            "temperature",
        ),
        (
            '{"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]}',
            404,
            "model",
            "no-such-model",
        ),
    ],
)
async def test_bad_input_is_named(
    rigged: Rigging, body: str, status: int, param: str | None, words: str
) -> None:
    """Every bad request gets OpenAI's error shape, the field at fault, and words that help."""
    async with rigged([conversation("never")]) as rig:
        answer = await rig.fetch("/v1/chat/completions", method="POST", body=body)
        assert answer.status == status
        error = answer.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["param"] == param
        assert words in error["message"]
        assert answer.headers["x-request-id"]
        assert rig.backend.seen == []


async def test_an_image_is_refused_and_odd_parameters_are_listed(rigged: Rigging) -> None:
    """What would change the answer is a 400; what cannot be honoured stands in a header."""
    async with rigged([conversation("ok")]) as rig:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        refused = await rig.ask(messages=[{"role": "user", "content": [picture]}])
        assert refused.status == 400
        assert "image" in refused.json["error"]["message"]
        answered = await rig.ask(logit_bias={"1": 1}, seed=7)
        assert answered.status == 200
        ignored = answered.headers["x-ignored-parameters"]
        assert "logit_bias" in ignored and "seed" in ignored


async def test_stop_and_max_tokens_hold_over_a_backend_that_knows_neither(rigged: Rigging) -> None:
    """Stop strings are found across chunk borders; a length limit ends the answer as ``length``."""
    async with rigged([conversation("one tw", "o three four five six seven eight")]) as rig:
        stopped = (await rig.ask(stop=["two"])).json["choices"][0]
        assert stopped["message"]["content"] == "one "
        assert stopped["finish_reason"] == "stop"
        short = (await rig.ask(max_tokens=3)).json
        assert short["choices"][0]["finish_reason"] == "length"
        assert short["usage"]["completion_tokens"] <= 3


async def test_a_cut_answer_is_continued_on_the_same_account(rigged: Rigging) -> None:
    """``max_tokens`` of the backend: ``action: continue`` brings the rest, in one answer."""
    plays = [
        conversation("one, two, ", finish="max_tokens"),
        conversation("three.", message_id="b94f2c07-31d8-4be5-8c6f-0e57d9b3a218"),
    ]
    for stream in (False, True):
        async with rigged(list(plays), tokens=["tok-a", "tok-b"]) as rig:
            answer = await rig.ask(stream=stream)
            text = (
                "".join(
                    choice["delta"].get("content") or ""
                    for line in answer.text.splitlines()
                    if line.startswith("data: {")
                    for choice in json.loads(line[6:])["choices"]
                )
                if stream
                else answer.json["choices"][0]["message"]["content"]
            )
            assert text == "one, two, three."
            first, second = rig.backend.seen
            assert first.token == second.token
            assert second.json["action"] == "continue"
            assert "messages" not in second.json
            assert second.json["conversation_id"] == "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"


async def test_an_openai_upstream_is_relayed_untouched(tmp_path: Path) -> None:
    """Unknown request and reply fields arrive as they were sent."""
    reply: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "vendor_field": [1, {"a": None}]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "x_new": {"deep": True},
    }
    async with scripted_backend([json_play(reply)]) as backend:
        with gateway_process(
            tmp_path / "data", OPENAI_BASE_URL=backend.url("/v1"), OPENAI_API_KEY="sk-upstream-key"
        ) as gateway:
            answer = await asyncio.to_thread(
                gateway.ask, model="m1", x_unknown={"keep": [1, 2]}, logit_bias={"5": 1}
            )
            assert answer.json == reply
            [seen] = [seen for seen in backend.seen if seen.method == "POST"]
            assert seen.path == "/v1/chat/completions"
            assert seen.token == "sk-upstream-key"
            assert seen.json["x_unknown"] == {"keep": [1, 2]}
            assert seen.json["logit_bias"] == {"5": 1}


async def test_a_relayed_stream_keeps_every_field(tmp_path: Path) -> None:
    """Streaming too; usage is asked for upstream, and only shown to a client that asked."""
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "model": "m1"}
    chunks = chat_chunks(["a", "b"], model="m1", x_vendor={"k": 1})
    chunks.insert(-1, b"data: " + json.dumps(usage).encode() + b"\n\n")
    async with scripted_backend([Play(pieces=chunks)]) as backend:
        with gateway_process(tmp_path / "data", OPENAI_BASE_URL=backend.url("/v1")) as gateway:
            plain = await asyncio.to_thread(gateway.ask, model="m1", stream=True)
            assert plain.body == b"".join(c for c in chunks if b'"choices": []' not in c)
            posted = next(seen for seen in backend.seen if seen.method == "POST")
            assert posted.json["stream_options"] == {"include_usage": True}
            asked = await asyncio.to_thread(
                gateway.ask, model="m1", stream=True, stream_options={"include_usage": True}
            )
            assert asked.body == b"".join(chunks)


async def test_pages_of_strangers_cannot_spend_tokens(rigged: Rigging) -> None:
    """Foreign Origin, rebound Host and forwarded requests are refused while no keys are set."""
    async with rigged([conversation("ok")]) as rig:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Host": "evil.example"},
            {"X-Forwarded-For": "203.0.113.9"},
        ):
            answer = await rig.ask(headers=headers)
            assert answer.status in (401, 403), headers
            assert answer.json["error"]["message"]
        assert rig.backend.seen == []


async def test_tokens_never_show(tmp_path: Path) -> None:
    """No secret in the output, errors or headers, whatever the upstream echoes."""
    token = "eyJsecretsecretsecretsecret.abcdefghijklmnop.qrstuvwxyz"
    echo = json_play({"detail": f"bad token {token}"}, 401)
    async with rigging(tmp_path / "data")([echo], tokens=[token]) as rig:
        answer = await rig.ask()
        assert token not in answer.text
        listed = await rig.admin("GET", "/admin/tokens")
        assert token not in listed.text
        rig.gateway.stop()
        assert token not in rig.gateway.text
        assert ADMIN_PASSWORD not in rig.gateway.text


async def test_a_rewritten_answer_is_given_whole_and_within_bounds(rigged: Rigging) -> None:
    """Not streamed: each choice gets the last wording, and stop strings hold for it too."""
    first, second = conversation_events(["See [1] for 42."]), conversation_events(["See 7 for 42."])
    rewritten = Play(pieces=[first[0], *second[1:]])
    async with rigged([rewritten], tokens=["tok-a", "tok-b"]) as rig:
        whole = await rig.ask(n=2)
        texts = [choice["message"]["content"] for choice in whole.json["choices"]]
        assert texts == ["See 7 for 42."] * 2
        stopped = await rig.ask(stop=[" 42"])
        assert stopped.json["choices"][0]["message"]["content"].endswith(" for")
