"""Upstreams, credentials and routes that change while the gateway answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import gateway_process, wait_until
from support.rig import Rig
from support.scripted_backend import Play, ScriptedBackend, Seen, chat_chunks, json_play
from support.shared_rig import events_of, text_of

KEY = "sk-planted-managed-key-0123456789"
HEADER = "planted-managed-header-0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


def says(text: str) -> Play:
    return Play(pieces=chat_chunks([text]))


def serving(play: Play) -> Any:
    """A script: an empty model list, and this for every question."""
    models = json_play({"object": "list", "data": []})
    return lambda seen: models if seen.method == "GET" else play


@asynccontextmanager
async def backends(*plays: Any) -> AsyncIterator[list[ScriptedBackend]]:
    made = [ScriptedBackend(play if callable(play) else serving(play)) for play in plays]
    for backend in made:
        await backend.__aenter__()
    try:
        yield made
    finally:
        for backend in made:
            await backend.__aexit__(None, None, None)


def bearer(backend: ScriptedBackend) -> list[str]:
    """The keys of the questions a backend has seen."""
    return [seen.token for seen in backend.seen if seen.method == "POST"]


async def make(rig: Rig, name: str, url: str, key: str = "") -> None:
    body = {"name": name, "kind": "openai", "base_url": url, "models": [f"{name}-*"]}
    made = await rig.admin("POST", "/admin/upstreams", body)
    assert made.status == 200, made.text
    if key:
        added = await rig.admin("POST", "/admin/credentials", {"upstream": name, "api_key": key})
        assert added.status == 200, added.text


async def said(rig: Rig, model: str) -> str:
    answer = await rig.ask(model=model, stream=True)
    assert answer.status == 200, answer.text
    return text_of(events_of(answer))


async def test_what_is_added_at_run_time_answers_and_outlives_a_kill(folder: Path) -> None:
    """Upstream, key and route; kill -9 right after the 200; no secret is anywhere in the clear."""
    async with backends(says("hi")) as [backend]:
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, backend)
            assert (await rig.ask(model="nice-name")).status in (404, 503)
            await make(rig, "vendor", backend.url("/v1"), KEY)
            talk = {
                "kind": "conversation",
                "base_url": "http://127.0.0.1:9/conversation",
                "headers": {"x-key": HEADER},
            }
            assert (await rig.admin("PUT", "/admin/upstreams/talk", talk)).status == 200
            route = {"model": "nice-*", "candidates": [{"upstream": "vendor", "model": "real"}]}
            assert (await rig.admin("POST", "/admin/routes", route)).status == 200
            await asyncio.to_thread(gateway.kill)
            printed = gateway.text
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, backend)
            assert await said(rig, "nice-name") == "hi"
            assert bearer(backend) == [KEY]
            assert backend.seen[-1].json["model"] == "real"
            listed = await rig.admin("GET", "/admin/routes")
            assert [one["model"] for one in listed.json["routes"]] == ["nice-*"]
            shown = [listed.text, (await rig.admin("GET", "/admin/config")).text]
            for path in ("upstreams", "credentials", "status", "tokens?upstream=talk"):
                shown.append((await rig.admin("GET", f"/admin/{path}")).text)
            await asyncio.to_thread(gateway.stop)
            shown += [printed, gateway.text]
    kept = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    for secret in (KEY, HEADER):
        assert secret not in "".join(shown)
        assert secret.encode() not in kept


async def test_what_is_removed_is_gone_after_a_kill(folder: Path) -> None:
    """A deleted upstream takes its key along: one of that name made later has none."""
    async with backends(says("hi")) as [backend]:
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, backend)
            await make(rig, "vendor", backend.url("/v1"), KEY)
            assert (await rig.admin("DELETE", "/admin/upstreams/vendor")).status == 200
            await asyncio.to_thread(gateway.kill)
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, backend)
            assert (await rig.admin("GET", "/admin/upstreams/vendor")).status == 404
            await make(rig, "vendor", backend.url("/v1"))
            assert await said(rig, "vendor-1") == "hi"
            assert bearer(backend) == [""]


async def test_two_hundred_streams_lose_nothing_while_everything_changes(folder: Path) -> None:
    """Routes replaced, upstreams made, moved and removed, the file rewritten, under full load."""
    gate = asyncio.Event()
    pieces = chat_chunks([f"{n} " for n in range(20)])
    whole = "".join(f"{n} " for n in range(20))

    def play(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"object": "list", "data": []})
        return Play(pieces=pieces, gates={5: gate})

    async with backends(play, play) as [first, second]:
        (folder / "config.toml").write_text("[limits]\nqueue_wait = 20\n")
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, first)
            asyncio.get_running_loop().set_default_executor(_threads(240))
            # Sixty at a time, so that most of the requests wait in line for the old upstream.
            body = {
                "name": "vendor",
                "kind": "openai",
                "base_url": first.url("/v1"),
                "max_concurrency": 60,
            }
            assert (await rig.admin("POST", "/admin/upstreams", body)).status == 200
            key = {"upstream": "vendor", "api_key": "sk-first"}
            assert (await rig.admin("POST", "/admin/credentials", key)).status == 200
            route = {"model": "m", "candidates": [{"upstream": "vendor"}]}
            assert (await rig.admin("PUT", "/admin/routes", [route])).status == 200
            asked = [asyncio.create_task(said(rig, "m")) for _ in range(200)]
            await first.until(lambda: len(bearer(first)) >= 60)
            # The upstream moves to another address and gets another key, then goes altogether.
            moved = {"base_url": second.url("/v1"), "max_concurrency": None}
            assert (await rig.admin("PATCH", "/admin/upstreams/vendor", moved)).status == 200
            key = {"upstream": "vendor", "api_key": "sk-second"}
            assert (await rig.admin("POST", "/admin/credentials", key)).status == 200
            (folder / "config.toml").write_text("[limits]\nqueue_wait = 25\n")
            more = [asyncio.create_task(said(rig, "m")) for _ in range(20)]
            await second.until(lambda: len(bearer(second)) >= 20)
            assert (await rig.admin("PUT", "/admin/routes", [])).status == 200
            assert (await rig.admin("DELETE", "/admin/upstreams/vendor")).status == 200
            gate.set()
            for task in asyncio.as_completed([*asked, *more]):
                assert await task == whole
            # Who waited for the old address got the old key, and nobody else's.
            assert set(bearer(first)) == {"sk-first"}
            assert len(bearer(first)) + len(bearer(second)) == 220
            assert (await rig.ask(model="m")).status in (404, 503)
            status = (await rig.admin("GET", "/admin/status")).json
            assert [one["in_flight"] for one in status["upstreams"]] == [0] * len(
                status["upstreams"]
            )


def _threads(count: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count)


def config(url: str, *, port: int = 0, queue: int = 30, models: str = "m") -> str:
    return (
        f"[limits]\nqueue_wait = {queue}\n[server]\nport = {port}\n"
        f'[upstreams.filed]\nkind = "openai"\nbase_url = "{url}"\nmodels = ["{models}"]\n'
        'api_keys = ["env:FILED_KEY"]\n'
    )


async def state(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = (await rig.admin("GET", "/admin/config")).json
    return found


async def test_the_file_is_read_again_when_it_changes(folder: Path) -> None:
    """Applied whole with its time, or rejected with every reason; the old one stays meanwhile."""
    file = folder / "config.toml"
    async with backends(says("one"), says("two")) as [one, two]:
        file.write_text(config(one.url("/v1")))
        variables = {"FILED_KEY": KEY, "SERVER_PORT": ""}
        with gateway_process(folder, **variables) as gateway:
            rig = Rig(gateway, one)
            begun = await state(rig)
            assert (begun["file"], begun["rejected"]) == (str(file), None)
            assert await said(rig, "m") == "one"
            # Good: another address, another limit; what needs a restart says so.
            file.write_text(config(two.url("/v1"), port=1, queue=7))
            await until(rig, lambda now: now["applied_at"] > begun["applied_at"])
            assert await said(rig, "m") == "two"
            applied = await state(rig)
            assert applied["needs_restart"] == ["server.port"]
            values = {row["key"]: row for row in applied["settings"]}
            assert values["limits.queue_wait"]["value"] == "7"
            assert values["limits.queue_wait"]["origin"] == str(file)
            assert values["upstreams.filed.base_url"]["value"] == two.url("/v1")
            assert values["server.port"]["value"] == "0"  # what runs, not what stands there
            assert values["upstreams.filed.api_keys"]["value"] == "sk-p…6789"
            # Bad: nothing of it, however good the rest is.
            bad = config(one.url("/v1")) + "colour = 1\nrate_limits = 5\n"
            file.write_text(bad)
            await until(rig, lambda now: now["rejected"] is not None)
            rejected = await state(rig)
            because = "\n".join(rejected["rejected"]["because"])
            assert "upstreams.filed.colour" in because and "upstreams.filed.rate_limits" in because
            assert rejected["rejected"]["at"] >= applied["applied_at"] == rejected["applied_at"]
            assert await said(rig, "m") == "two"
            warned = (await rig.admin("GET", "/admin/status")).json["warnings"]
            assert any("colour" in line for line in warned)
            # Mended, and read at once.
            file.write_text(config(one.url("/v1")))
            reloaded = await rig.admin("POST", "/admin/config/reload")
            assert reloaded.status == 200 and reloaded.json["rejected"] is None
            assert await said(rig, "m") == "one"
            assert KEY not in gateway.text + json.dumps(await state(rig))


async def until(rig: Rig, condition: Any) -> None:
    """Ask for the state again and again: a watched file has no event to await."""
    async with asyncio.timeout(20):
        while not condition(await state(rig)):
            pass


async def test_a_reload_is_refused_in_words_and_by_status(folder: Path) -> None:
    """409 with the reasons: bad TOML; an upstream that a managed route needs; tokens' new home."""
    file = folder / "config.toml"
    async with backends(says("one")) as [one]:
        file.write_text(config(one.url("/v1")))
        with gateway_process(folder, FILED_KEY=KEY) as gateway:
            rig = Rig(gateway, one)
            route = {"model": "mine", "candidates": [{"upstream": "filed"}]}
            assert (await rig.admin("POST", "/admin/routes", route)).status == 200
            other = '[upstreams.talk]\nkind = "conversation"\nbase_url = "http://127.0.0.1:9/c"\n'
            for text, reason in (
                ("[limits", "not valid TOML"),
                ("", "routes[0].candidates[0].upstream"),
                (config(one.url("/v1")) + other, "needs a restart"),
            ):
                file.write_text(text)
                answer = await rig.admin("POST", "/admin/config/reload")
                assert answer.status == 409, answer.text
                assert answer.json["error"]["code"] == "configuration_rejected"
                assert reason in answer.text
                assert await said(rig, "mine") == "one"
            # A name that is managed already belongs to one of them only.
            await make(rig, "extra", one.url("/v1"))
            file.write_text(config(one.url("/v1")).replace("filed", "extra"))
            answer = await rig.admin("POST", "/admin/config/reload")
            assert answer.status == 409 and "upstreams.extra" in answer.text
        # At a start the file goes first, and what does not fit any more is told.
        with gateway_process(folder, FILED_KEY=KEY) as gateway:
            rig = Rig(gateway, one)
            warnings = "\n".join((await state(rig))["warnings"])
            assert "upstreams.extra" in warnings and "routes[0].candidates[0].upstream" in warnings
            assert (await rig.admin("GET", "/admin/routes")).json["routes"] == []
            assert await said(rig, "m") == "one"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
async def test_sighup_reads_the_configuration_again(folder: Path) -> None:
    """Also what no watched file tells of: a secret in a file of its own."""
    file = folder / "config.toml"
    (folder / "key").write_text("sk-old")
    async with backends(says("one")) as [one]:
        file.write_text(config(one.url("/v1")).replace("env:FILED_KEY", "file:key"))
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, one)
            assert await said(rig, "m") == "one"
            (folder / "key").write_text("sk-new")
            os.kill(gateway.process.pid, signal.SIGHUP)
            begun = (await state(rig))["applied_at"]
            wait_until(lambda: "configuration applied" in gateway.text)
            assert await said(rig, "m") == "one"
            assert bearer(one) == ["sk-old", "sk-new"], begun
            assert gateway.process.poll() is None


async def test_a_managed_conversation_backend_answers(folder: Path) -> None:
    """With a token of its own, beside the tokens' home; its PUID goes along."""
    from support.scripted_backend import conversation

    async with backends(lambda _: conversation("hello")) as [backend]:
        with gateway_process(folder) as gateway:
            rig = Rig(gateway, backend)
            talk = {"kind": "conversation", "base_url": backend.url(), "models": ["talk-*"]}
            assert (await rig.admin("PUT", "/admin/upstreams/talk", talk)).status == 200
            key = {"upstream": "talk", "token": "eyJ-token", "label": "mine"}
            assert (await rig.admin("POST", "/admin/credentials", key)).status == 200
            puid = await rig.admin("PATCH", "/admin/puid?upstream=talk", {"puid": "user-p"})
            assert puid.status == 200
            assert await said(rig, "talk-1") == "hello"
            assert backend.tokens == ["eyJ-token"]
            assert "_puid=user-p" in backend.seen[-1].headers["cookie"]
            home = await rig.admin("PATCH", "/admin/tokens", ["eyJ-home"])
            assert home.json["upstream"] == "conversation"
            names = [
                u["name"] for u in (await rig.admin("GET", "/admin/upstreams")).json["upstreams"]
            ]
            assert set(names) == {"conversation", "talk"}


def test_two_starts_say_what_is_managed(folder: Path) -> None:
    """The start's lines name a managed upstream like any other."""
    with gateway_process(folder) as gateway:
        body = {"name": "vendor", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
        assert gateway.admin("POST", "/admin/upstreams", body).status == 200
    with gateway_process(folder) as gateway:
        assert gateway.port
        assert "upstream vendor (openai)" in gateway.text
