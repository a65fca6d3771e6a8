"""PUID and official key, set while the gateway runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chatgpt_to_api.pool.pool import LeaseAsk
from chatgpt_to_api.wire.secret import Secret
from support.admin_rig import Rig, open_rig


async def puid_sent(rig: Rig) -> str | None:
    """The PUID that goes with the next request."""
    now = asyncio.get_running_loop().time()
    ask = LeaseAsk(upstream="conversation", model="m", deadline=now + 5)
    async with rig.pool.lease(ask) as lease:
        puid = lease.credential.access.puid
        return puid.reveal() if puid else None


async def test_a_puid_takes_effect_at_once_and_lasts(data_dir: Path) -> None:
    """It goes with tokens that bring none, over restarts, until the configured one changes."""
    async with open_rig(data_dir, puid="user-configured") as rig:
        await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
        assert await puid_sent(rig) == "user-configured"
        answer = await rig.ask("PATCH", "/admin/puid", {"puid": "user-set"})
        assert (answer.status, answer.json["message"]) == (200, "puid updated")
        assert await puid_sent(rig) == "user-set"
    async with open_rig(data_dir, puid="user-configured") as rig:
        assert await puid_sent(rig) == "user-set"
        await rig.ask("PATCH", "/admin/puid", {"puid": ""})
        assert await puid_sent(rig) is None
    async with open_rig(data_dir) as rig:
        assert await puid_sent(rig) is None
        await rig.ask("PATCH", "/admin/puid", {"puid": "user-again"})
    async with open_rig(data_dir, puid="user-configured") as rig:
        assert await puid_sent(rig) == "user-again"
    async with open_rig(data_dir, puid="user-new") as rig:
        assert await puid_sent(rig) == "user-new"
    async with open_rig(data_dir) as rig:
        assert await puid_sent(rig) is None


async def test_a_tokens_own_puid_stays(rig: Rig) -> None:
    """The default is for tokens that bring none."""
    await rig.ask("PATCH", "/admin/tokens", [{"token": "eyJhbAAA", "puid": "user-own"}])
    await rig.ask("PATCH", "/admin/puid", {"puid": "user-default"})
    assert await puid_sent(rig) == "user-own"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "puid not provided"),
        ({"puid": 5}, "expected a string"),
        ({"puid": "a\r\nb"}, "no header may hold"),
        ({"puid": "a;b"}, "no cookie may hold"),
        ({"puid": "user-…abcd"}, "masked"),
        ({"puid": "x" * 5000}, "longer than"),
        (b"puid=x", "Expected a JSON object"),
        (None, "Expected a JSON object"),
    ],
)
async def test_a_puid_that_will_not_do_is_refused(rig: Rig, body: object, words: str) -> None:
    """400 with the reason; nothing is set."""
    answer = await rig.ask("PATCH", "/admin/puid", body)
    assert answer.status == 400 and words in answer.json["error"]["message"]
    assert rig.tokens.puid is None


async def test_the_official_key_is_kept_and_handed_over(data_dir: Path) -> None:
    """It is in force with the 200, sealed on the disk, and taken away by null."""
    async with open_rig(data_dir) as rig:
        answer = await rig.ask("PATCH", "/admin/openai", {"official_api_key": "sk-planted-key"})
        assert (answer.status, answer.json["message"]) == (200, "OpenAI credentials updated")
        assert rig.official_keys == [Secret("sk-planted-key")]
    for file in data_dir.iterdir():
        assert b"sk-planted-key" not in file.read_bytes()
    async with open_rig(data_dir) as rig:
        assert rig.official_key.value == Secret("sk-planted-key")
        await rig.ask("PATCH", "/admin/openai", {"official_api_key": None})
        assert rig.official_keys == [None]
    async with open_rig(data_dir, official_key="sk-configured") as rig:
        assert rig.official_key.value == Secret("sk-configured")


@pytest.mark.parametrize("name", ["openai_email", "openai_password"])
async def test_an_account_is_refused_because_nobody_logs_in(rig: Rig, name: str) -> None:
    """E-mail and password: 400 that says what to send instead; a key beside them is not taken."""
    answer = await rig.ask(
        "PATCH", "/admin/openai", {name: "planted-account", "official_api_key": "sk-abc"}
    )
    assert answer.status == 400
    assert answer.json["error"]["param"] == name
    assert "does not log in" in answer.text and "planted-account" not in answer.text
    assert rig.official_keys == []


@pytest.mark.parametrize(
    "body", [{}, {"official_api_key": 5}, {"official_api_key": "a b"}, {"official_api_key": "s…k"}]
)
async def test_a_key_that_will_not_do_is_refused(rig: Rig, body: object) -> None:
    """400; nothing is handed over."""
    assert (await rig.ask("PATCH", "/admin/openai", body)).status == 400
    assert rig.official_keys == []
