"""A gateway whose credentials are refresh tokens, over restarts and kill -9."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.gateway_process import Answer, gateway_process, wait_until
from support.responses_replies import message, response
from support.rig import Rig
from support.scripted_backend import Play, ScriptedBackend, Seen, json_play, scripted_backend
from support.token_server import TokenServer

CONFIG: Final = """
[upstreams.vendor]
kind = "openai-responses"
base_url = "{base}"
api_keys = ["refresh:rt-0"]
models = ["m"]
token_url = "{token}"
client_id = "client"
"""
LATE: Final = {"error": {"message": "Expired.", "code": "token_expired"}}


class Vendor:
    """A Responses server that takes the access tokens of ``tokens``, but for ``refused`` ones."""

    def __init__(self, tokens: TokenServer) -> None:
        self.tokens = tokens
        self.refused: set[str] = set()
        self.gate: asyncio.Event | None = None

    def __call__(self, seen: Seen) -> Play:
        if seen.path == "/oauth/token":
            play = self.tokens(seen)
            play.gate = self.gate
            return play
        if seen.method == "GET":
            return json_play({"object": "list", "data": [{"id": "m"}]})
        if not seen.token.startswith("at-") or seen.token in self.refused:
            return json_play(LATE, 401)
        return json_play(response([message(f"Hi with {seen.token}.")]))


@contextlib.asynccontextmanager
async def vendor(data: Path, tokens: TokenServer) -> AsyncIterator[tuple[Vendor, ScriptedBackend]]:
    played = Vendor(tokens)
    async with scripted_backend(played) as backend:
        data.mkdir()
        config = CONFIG.format(base=backend.url("/v1"), token=backend.url("/oauth/token"))
        (data / "config.toml").write_text(config)
        yield played, backend


def said(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    text: str = answer.json["choices"][0]["message"]["content"]
    return text


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_a_refused_token_is_renewed_and_the_request_answered(data: Path) -> None:
    """The client never hears of it; no secret stands in what is shown and logged."""
    tokens = TokenServer()
    async with vendor(data, tokens) as (played, backend):
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            assert said(await rig.ask(model="m")) == "Hi with at-1."
            played.refused.add("at-1")
            assert said(await rig.ask(model="m")) == "Hi with at-2."
            shown = await rig.admin("GET", "/admin/credentials")
            [one] = shown.json["credentials"]
            assert one["state"] == "ready"
            assert tokens.shown_twice == []
            for secret in ("rt-0", "rt-1", "rt-2", "at-1", "at-2"):
                assert secret not in shown.text
                assert secret not in gateway.text
        assert gateway.process.returncode == 0
        # A restart goes on with what is stored.
        with gateway_process(data) as gateway:
            assert said(await Rig(gateway, backend).ask(model="m")) == "Hi with at-2."
    assert tokens.asked == ["rt-0", "rt-1"]


async def test_many_at_once_make_one_renewal(data: Path) -> None:
    """Over a real server, all of them refused together."""
    tokens = TokenServer()
    async with vendor(data, tokens) as (played, backend):
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            await rig.ask(model="m")
            played.refused.add("at-1")
            answers = await asyncio.gather(*(rig.ask(model="m") for _ in range(20)))
            assert {said(answer) for answer in answers} == {"Hi with at-2."}
    assert tokens.asked == ["rt-0", "rt-1"]


async def test_a_kill_spends_no_refresh_token_twice(data: Path) -> None:
    """kill -9 while the token server is asked: the next start has it told, and asks nobody."""
    tokens = TokenServer()
    async with vendor(data, tokens) as (played, backend):
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            played.gate = asyncio.Event()
            running = asyncio.create_task(rig.ask(model="m"))
            await backend.until(lambda: len(tokens.asked) == 1)
            gateway.kill()
            with contextlib.suppress(Exception):
                await running
            played.gate = None
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            for _ in range(2):
                answer = await rig.ask(model="m")
                assert answer.status == 503
            [one] = (await rig.admin("GET", "/admin/credentials")).json["credentials"]
            assert one["state"] == "invalid"
            assert "cut off" in one["reason"]
    assert tokens.asked == ["rt-0"]


async def test_a_kill_after_a_renewal_loses_nothing(data: Path) -> None:
    """The answer is there, so the new refresh token is on the disk."""
    tokens = TokenServer()
    async with vendor(data, tokens) as (played, backend):
        for number in (1, 2, 3):
            with gateway_process(data) as gateway:
                rig = Rig(gateway, backend)
                played.refused.add(f"at-{number - 1}")
                assert said(await rig.ask(model="m")) == f"Hi with at-{number}."
                gateway.kill()
    assert tokens.asked == ["rt-0", "rt-1", "rt-2"]


async def test_refresh_tokens_can_be_given_at_run_time(data: Path) -> None:
    """By name, and only to an upstream that has a token server; they renew like the others."""
    tokens = TokenServer()
    tokens.good.add("rt-mine")
    async with vendor(data, tokens) as (_, backend):
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            body: dict[str, Any] = {"upstream": "vendor", "refresh_token": "rt-mine", "label": "me"}
            added = await rig.admin("POST", "/admin/credentials", body)
            assert added.status == 200, added.text
            assert "rt-mine" not in added.text
            again = await rig.admin("POST", "/admin/credentials", body)
            assert again.status == 409
            both = await rig.admin("POST", "/admin/credentials", {**body, "api_key": "sk-1"})
            assert both.status == 400
            plain = {"name": "plain", "kind": "openai", "base_url": backend.url("/v1")}
            assert (await rig.admin("POST", "/admin/upstreams", plain)).status == 200
            refused = await rig.admin("POST", "/admin/credentials", {**body, "upstream": "plain"})
            assert refused.status == 400
            assert "token_url" in refused.json["error"]["message"]
            answers = {said(await rig.ask(model="m")) for _ in range(4)}
            assert answers == {"Hi with at-1.", "Hi with at-2."}
    assert sorted(tokens.asked) == ["rt-0", "rt-mine"]


async def test_a_token_server_that_is_gone_is_no_rate_limit(data: Path) -> None:
    """A 503 that names the setting, at once and while the credential rests."""
    async with vendor(data, TokenServer()) as (_, backend):
        config = CONFIG.format(base=backend.url("/v1"), token="http://127.0.0.1:9/oauth/token")
        (data / "config.toml").write_text(config)
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            for _ in range(2):
                answer = await rig.ask(model="m")
                assert answer.status == 503, answer.text
                assert "token_url" in answer.json["error"]["message"]
                assert "cannot be reached" in answer.json["error"]["message"]
                assert int(answer.headers["retry-after"]) > 0


def test_refresh_tokens_take_a_token_url(data: Path) -> None:
    """Without one nothing could be got with them: the start says so, and not the token."""
    data.mkdir()
    (data / "config.toml").write_text(
        '[upstreams.x]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
        'api_keys = ["sk-1", "refresh:rt-secret"]\n'
    )
    with gateway_process(data) as gateway:
        wait_until(lambda: gateway.process.poll() is not None)
        assert gateway.process.returncode != 0
        wait_until(lambda: "upstreams.x.api_keys" in gateway.text)
        assert "token_url" in gateway.text
        assert "rt-secret" not in gateway.text
