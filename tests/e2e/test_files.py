"""The files of the data folder: read at the start, and again when they change.

The gateway looks at them twice a second, so what is expected is polled for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import Answer, gateway_process
from support.proxies import HttpProxy, Socks5Proxy
from support.rig import Rig, Rigging
from support.scripted_backend import conversation, scripted_backend

PATIENCE = 20.0
"""Longest wait for a change to be taken up, seconds; it takes one or two without load."""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, each time over the socket, until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, "the change was not taken up"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder, before the gateway's first start."""
    made = tmp_path / "data"
    made.mkdir()
    return made


def write_tokens(folder: Path, tokens: list[Any]) -> str:
    text = json.dumps(tokens)
    (folder / "access_tokens.json").write_text(text)
    return text


async def asked_with(rig: Rig) -> str:
    """The token that the next question goes out with."""
    assert (await rig.ask()).status == 200
    return rig.backend.tokens[-1]


async def test_access_tokens_json_is_imported_when_it_differs_from_the_last_import(
    rigged: Rigging, folder: Path
) -> None:
    """At the start, on a change, and over restarts; a PATCH neither writes it nor is undone."""
    write_tokens(folder, ["file-token-1", {"token": "file-token-2", "puid": "user-2"}])
    async with rigged([conversation("ok")], tokens=[]) as rig:
        assert {await asked_with(rig), await asked_with(rig)} == {"file-token-1", "file-token-2"}

        async def now(count: int) -> bool:
            return len(await rig.credentials()) == count

        text = write_tokens(folder, ["file-token-3"])
        await until(lambda: now(1))
        assert await asked_with(rig) == "file-token-3"
        # Broken content changes nothing, and the admin reads why.
        (folder / "access_tokens.json").write_text('["file-token-4", ')

        async def warned() -> bool:
            shown = await rig.admin("GET", "/admin/status")
            return any("access_tokens.json" in line for line in shown.json["warnings"])

        await until(warned)
        assert await asked_with(rig) == "file-token-3"
        (folder / "access_tokens.json").write_text(text)

        async def well() -> bool:
            return (await rig.admin("GET", "/admin/status")).json["warnings"] == []

        await until(well)
        assert (await rig.admin("PATCH", "/admin/tokens", ["patched-1", "patched-2"])).status == 200
        assert (folder / "access_tokens.json").read_text() == text
        assert await asked_with(rig) in ("patched-1", "patched-2")
        rig.gateway.stop()
        environment = {"API_REVERSE_PROXY": rig.backend.url()}
        with gateway_process(folder, **environment) as again:
            rig.gateway = again
            assert await asked_with(rig) in ("patched-1", "patched-2")
            assert (folder / "access_tokens.json").read_text() == text
        write_tokens(folder, ["file-token-5"])
        with gateway_process(folder, **environment) as again:
            rig.gateway = again
            assert await asked_with(rig) == "file-token-5"


async def test_api_keys_txt_opens_and_shuts_while_running(rigged: Rigging, folder: Path) -> None:
    """A new line counts, a removed one does not, and what cannot be read lets nobody in."""
    keys = folder / "api_keys.txt"

    async def status(key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return int((await rig.ask(headers=headers)).status)

    async with rigged([conversation("ok")]) as rig:
        assert await status(None) == 200
        keys.write_text("\ufeffkey-one\r\n  key-two  \n# key-three\n", encoding="utf-8")

        async def shut() -> bool:
            return await status(None) == 401

        await until(shut)
        assert [await status(k) for k in ("key-one", "key-two", "key-three")] == [200, 200, 401]
        with_header = await rig.ask(headers={"x-api-key": "key-two"})
        assert with_header.status == 200
        keys.write_text("key-four\n")

        async def changed() -> bool:
            return await status("key-four") == 200

        await until(changed)
        assert await status("key-one") == 401
        # Damaged: not one key can be read any more. That must not open the doors.
        keys.write_bytes(b"\xff\xfe\x00\xd8\xff\xff")

        async def warned() -> bool:
            shown = await rig.admin("GET", "/admin/status")
            return any("api_keys.txt" in line for line in shown.json["warnings"])

        await until(warned)
        assert await status(None) == 401
        assert await status("key-four") == 200
        rig.gateway.stop()
        with gateway_process(folder, API_REVERSE_PROXY=rig.backend.url()) as again:
            rig.gateway = again
            assert await status(None) == 401
            assert await status("key-four") == 401
            assert "api_keys.txt" in again.text
            keys.unlink()

            async def open_again() -> bool:
                return await status(None) == 200

            await until(open_again)


async def test_a_key_file_that_is_a_folder_lets_nobody_in(rigged: Rigging, folder: Path) -> None:
    """A bind mount of a missing file makes one; it is told, and is not taken for "no keys"."""
    (folder / "api_keys.txt").mkdir()
    async with rigged([conversation("ok")]) as rig:
        answer = await rig.ask()
        assert answer.status == 401
        assert "folder" in rig.gateway.text
        assert rig.backend.seen == []


async def test_proxies_are_used_in_rotation_and_each_credential_keeps_its_own(
    rigged: Rigging, folder: Path
) -> None:
    """Three forms of lines; the backend is a name that only the proxies know."""
    async with (
        HttpProxy() as plain,
        HttpProxy(credentials="user:pass") as locked,
        Socks5Proxy() as socks,
        scripted_backend([conversation("ok")]) as backend,
    ):
        lines = [
            f"http://127.0.0.1:{plain.port}",
            f"127.0.0.1:{locked.port}:user:pass",
            f"socks5://127.0.0.1:{socks.port}",
        ]
        (folder / "proxies.txt").write_text("# mine\n" + "\n".join(lines) + "\n")
        url = f"http://backend.test:{backend.port}/backend-api/conversation"
        tokens = ["token-1", "token-2", "token-3"]
        async with rigged([conversation("never")], tokens=tokens, API_REVERSE_PROXY=url) as rig:
            for _ in range(9):
                answer = await rig.ask()
                assert answer.status == 200, answer.text
            assert sorted(backend.tokens) == sorted(tokens * 3)
            shown = {c["proxy"] for c in await rig.credentials()}
            assert len(shown) == 3
            assert "pass" not in str(shown)
            # A kept connection needs no second greeting; each proxy was greeted for one token.
            assert len(socks.asked) >= 1
            assert set(socks.asked) == {"backend.test"}
            assert len(plain.asked) >= 1
            assert len(locked.asked) >= 1
            assert all(header is not None for _, header in locked.asked)
            # The proxies change: those that stay keep their credentials.
            before = {c["id"]: c["proxy"] for c in await rig.credentials()}
            (folder / "proxies.txt").write_text(lines[0] + "\n")

            async def moved() -> bool:
                await rig.ask()
                return {c["proxy"] for c in await rig.credentials() if c["proxy"]} == {
                    f"http://127.0.0.1:{plain.port}"
                }

            await until(moved)
            assert f"http://127.0.0.1:{plain.port}" in before.values()


async def test_a_dead_proxy_is_left_for_another(rigged: Rigging, folder: Path) -> None:
    """A proxy that refuses is no fault of the token: the next one carries the same request."""
    async with (
        HttpProxy(refusal=b"502 Bad Gateway") as dead,
        HttpProxy() as alive,
        scripted_backend([conversation("ok")]) as backend,
    ):
        (folder / "proxies.txt").write_text(
            f"socks5://127.0.0.1:9\n127.0.0.1:{alive.port}\n127.0.0.1:{dead.port}\n"
        )
        url = f"http://backend.test:{backend.port}/backend-api/conversation"
        async with rigged([conversation("never")], API_REVERSE_PROXY=url) as rig:
            for _ in range(3):
                answer = await rig.ask()
                assert answer.status == 200, answer.text
            [credential] = await rig.credentials()
            assert credential["proxy"] == f"http://127.0.0.1:{alive.port}"
            assert credential["state"] == "ready"
            assert len(alive.asked) >= 1


async def test_lists_that_cannot_be_read_are_told(rigged: Rigging, folder: Path) -> None:
    """The line is named; what it holds is not repeated, for it may be a password."""
    (folder / "proxies.txt").write_text("ftp://user:hunter2@host:1\n127.0.0.1:notaport\n")
    (folder / "access_tokens.json").write_text('["good-token", 5, "bad token"]')
    async with rigged([conversation("ok")], tokens=[]) as rig:
        assert await asked_with(rig) == "good-token"
        shown: Answer = await rig.admin("GET", "/admin/status")
        warnings = "\n".join(shown.json["warnings"])
        assert "proxies.txt: line 1" in warnings
        assert "proxies.txt: line 2" in warnings
        assert "access_tokens.json" in warnings
        await asyncio.to_thread(rig.gateway.stop)
        for text in (warnings, rig.gateway.text):
            assert "hunter2" not in text
            assert "bad token" not in text
