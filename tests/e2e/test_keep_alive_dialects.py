"""Long silence in every dialect: what keeps a stream open, and what a client's leaving gives back.

Every door stands before a server of its own dialect (bytes go through), before one of another (they
are translated), and before a conversation backend. Each upstream has one credential that serves one
request at a time, so a lease that is lost shows in the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import pytest
import pytest_asyncio

from support.gateway_process import GatewayProcess, gateway_process
from support.scripted_backend import Play, ScriptedBackend, Seen, json_play, scripted_backend
from support.shared_rig import OpenScript
from support.speakers.anthropic import ANTHROPIC
from support.speakers.chat import CHAT
from support.speakers.gemini import GEMINI
from support.speakers.ollama import OLLAMA
from support.speakers.responses import RESPONSES
from support.speakers.scene import Said, Scene, Speaker, Turn
from support.speakers.web import WEB

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOORS: Final[tuple[Speaker, ...]] = (CHAT, RESPONSES, ANTHROPIC, GEMINI, OLLAMA, WEB)
WHOLE: Final = DOORS[:-1]
"""Doors that answer whole too: the conversation protocol knows only streams."""
PATHS: Final = {"conversation": "/backend-api/conversation", "ollama": "", "gemini": "/v1beta"}
SCENE: Final = Scene("text", (Turn("user", "Hello?"),), Said("Hello there."), stream=True)
KEEP_ALIVE: Final = 0.1
"""Seconds of silence after which a stream gets a sign of life."""

Phase = Literal["head", "content", "middle"]
"""What the upstream is slow with: its reply's head, the first content, or what follows that."""


def pairs(doors: Sequence[Speaker] = DOORS) -> list[object]:
    """Each door over its own dialect, another, and a conversation backend."""
    found = []
    for door in doors:
        other = ANTHROPIC if door is CHAT else CHAT
        for upstream in dict.fromkeys((door.name, other.name, WEB.name)):
            [speaker] = [s for s in DOORS if s.name == upstream]
            found.append(pytest.param(door, speaker, id=f"{door.name}-{upstream}"))
    return found


class Stage:
    """A gateway before one server of each dialect."""

    def __init__(
        self, gateway: GatewayProcess, backends: dict[str, tuple[ScriptedBackend, OpenScript]]
    ) -> None:
        self.gateway = gateway
        self._backends = backends

    def play(self, upstream: Speaker, phase: Phase | None) -> tuple[ScriptedBackend, asyncio.Event]:
        """Have a server answer, slow with a part of it until the event; None: with nothing."""
        backend, script = self._backends[upstream.name]
        go_on = asyncio.Event()

        def slow(seen: Seen) -> Play:
            if seen.method == "GET":
                return json_play({}, 404)
            scene = replace(SCENE, stream=seen.json.get("stream", True) is not False)
            play = upstream.play(scene, seen)
            match phase:
                case "head":
                    return replace(play, gate=go_on)
                case "content":
                    return replace(play, gates={0: go_on})
                case "middle":
                    begun = upstream.play(replace(scene, ending="hang"), seen).pieces
                    return replace(play, gates={len(begun): go_on})
            return play

        script.play(slow)
        backend.seen.clear()
        return backend, go_on

    async def forget(self, upstream: Speaker) -> None:
        path = f"/admin/tokens/reset?upstream={upstream.name}"
        reset = await asyncio.to_thread(self.gateway.admin, "POST", path)
        assert reset.status == 200, reset.text

    @contextlib.asynccontextmanager
    async def asking(
        self, door: Speaker, upstream: Speaker, *, scene: Scene = SCENE
    ) -> AsyncIterator[Listener]:
        """Ask, and hang up at the end of the block."""
        asking = door.asking(scene, f"to-{upstream.name}")
        body = json.dumps(asking.body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        lines = [f"POST {asking.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in asking.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        try:
            yield Listener(reader)
        finally:
            writer.close()

    async def answers(self, door: Speaker, upstream: Speaker) -> None:
        """The one credential is free: the next request is answered."""
        self.play(upstream, None)
        async with self.asking(door, upstream) as client:
            heard = door.hear(b"".join(await client.rest()), stream=True)
        assert heard.whole and heard.text == SCENE.says.text


class Listener:
    """A client that takes a streamed reply chunk by chunk: each is one write of the gateway."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._begun = False
        self.chunks: list[bytes] = []

    async def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    async def chunk(self) -> bytes:
        """The next chunk of the body, b"" at its end."""
        async with asyncio.timeout(30):
            if not self._begun:
                head = await self._reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                self._begun = True
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = (await self._reader.readexactly(size + 2))[:-2]
            self.chunks.append(data)
            return data

    async def until(self, text: bytes) -> None:
        """Read until a text has come."""
        while text not in b"".join(self.chunks):
            assert await self.chunk(), f"it ended: {self.chunks}"

    async def rest(self) -> list[bytes]:
        """Every chunk there was, to the end."""
        while await self.chunk():
            pass
        return self.chunks


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("silence")
    async with contextlib.AsyncExitStack() as stack:
        backends: dict[str, tuple[ScriptedBackend, OpenScript]] = {}
        tables = []
        for speaker in DOORS:
            script = OpenScript()
            script.play(json_play({}, 404))
            backend = await stack.enter_async_context(scripted_backend(script))
            backends[speaker.name] = backend, script
            path = PATHS.get(speaker.kind, "" if speaker is ANTHROPIC else "/v1")
            key = "" if speaker is WEB else 'api_keys = ["sk-0123456789abcdef"]\n'
            tables.append(
                f'[upstreams.{speaker.name}]\nkind = "{speaker.kind}"\n{key}'
                f'base_url = "{backend.url(path)}"\nmodels = ["to-{speaker.name}"]\n'
                "max_concurrency = 1\n"
            )
        config = folder / "config.toml"
        config.write_text("\n".join(tables))
        gateway = stack.enter_context(
            gateway_process(
                folder / "data",
                CHATGPT_TO_API_CONFIG=str(config),
                ACCESS_TOKENS="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln",
                CHATGPT_TO_API_MAX_ATTEMPTS="1",
                CHATGPT_TO_API_HOLD="0.05",
                CHATGPT_TO_API_KEEP_ALIVE=str(KEEP_ALIVE),
                CHATGPT_TO_API_QUEUE_WAIT="20",
            )
        )
        await asyncio.to_thread(lambda: gateway.port)
        yield Stage(gateway, backends)


@pytest.mark.parametrize(("door", "upstream"), pairs())
async def test_nothing_is_sent_before_the_upstream_answers(
    stage: Stage, door: Speaker, upstream: Speaker
) -> None:
    """Trap 11: what comes then may be an error, and that has a status of its own."""
    await stage.forget(upstream)
    backend, go_on = stage.play(upstream, "head")
    async with stage.asking(door, upstream) as client:
        await backend.until(lambda: backend.running == 1)
        assert await client.silent(3 * KEEP_ALIVE)
        go_on.set()
        heard = door.hear(b"".join(await client.rest()), stream=True)
    assert heard.whole and heard.text == SCENE.says.text


@pytest.mark.parametrize("phase", ["content", "middle"])
@pytest.mark.parametrize(("door", "upstream"), pairs())
async def test_a_silent_stream_is_kept_open_in_the_dialects_way(
    stage: Stage, door: Speaker, upstream: Speaker, phase: Phase
) -> None:
    """Trap 11: signs of life, each whole by itself; the answer is as if there had been none."""
    await stage.forget(upstream)
    _, go_on = stage.play(upstream, phase)
    async with stage.asking(door, upstream) as client:
        if phase == "middle":
            await client.until(b"Hello")
        before = len(client.chunks)
        for _ in range(3):
            assert await client.chunk()
        signs = client.chunks[before:]
        go_on.set()
        chunks = await client.rest()
    assert all(chunk.endswith(b"\n") for chunk in chunks if chunk), chunks
    assert len({len(sign) for sign in signs}) == 1  # they say the same: nothing
    assert not any(b"Hello" in sign or b"there" in sign for sign in signs)
    heard = door.hear(b"".join(chunks), stream=True)
    assert heard.whole and not heard.error
    assert heard.text == SCENE.says.text


@pytest.mark.parametrize("phase", ["head", "content", "middle"])
@pytest.mark.parametrize(("door", "upstream"), pairs())
async def test_a_client_that_leaves_in_any_phase_gives_the_lease_back(
    stage: Stage, door: Speaker, upstream: Speaker, phase: Phase
) -> None:
    """Before the upstream's head, before its first content, and in the middle of the answer."""
    await stage.forget(upstream)
    backend, _ = stage.play(upstream, phase)
    gone = backend.hung_up
    async with stage.asking(door, upstream) as client:
        await backend.until(lambda: backend.running == 1)
        if phase == "content":
            await client.chunk()  # a sign of life
        if phase == "middle":
            await client.until(b"Hello")
    await backend.until(lambda: backend.hung_up > gone and backend.running == 0)
    await stage.answers(door, upstream)


@pytest.mark.parametrize(("door", "upstream"), pairs(WHOLE))
async def test_a_client_that_waits_for_a_whole_answer_gives_the_lease_back(
    stage: Stage, door: Speaker, upstream: Speaker
) -> None:
    """Not streamed: its leaving is seen all the same."""
    await stage.forget(upstream)
    backend, _ = stage.play(upstream, "content")
    gone = backend.hung_up
    async with stage.asking(door, upstream, scene=replace(SCENE, stream=False)):
        await backend.until(lambda: backend.running == 1)
    await backend.until(lambda: backend.hung_up > gone and backend.running == 0)
    await stage.answers(door, upstream)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_a_client_that_leaves_the_queue_leaves_no_gap(stage: Stage, door: Speaker) -> None:
    """While another holds the one credential: the next in line gets it, not the one who left."""
    await stage.forget(CHAT)
    backend, go_on = stage.play(CHAT, "middle")
    async with stage.asking(door, CHAT) as first:
        await first.until(b"Hello")
        async with stage.asking(door, CHAT) as second:
            assert await second.silent(2 * KEEP_ALIVE)  # a 429 would have to be a 429
        async with stage.asking(door, CHAT) as third:
            go_on.set()
            await first.rest()
            heard = door.hear(b"".join(await third.rest()), stream=True)
    assert heard.whole and heard.text == SCENE.says.text
    assert len([seen for seen in backend.seen if seen.method == "POST"]) == 2


@pytest.mark.parametrize(("door", "upstream"), pairs())
async def test_nothing_follows_an_error(stage: Stage, door: Speaker, upstream: Speaker) -> None:
    """Traps 4 and 6: in the middle of an answer, after a long silence; then the reply ends."""
    await stage.forget(upstream)
    backend, go_on = stage.play(upstream, "middle")

    def broken(seen: Seen) -> Play:
        scene = replace(SCENE, ending="error after", heard=go_on)
        return json_play({}, 404) if seen.method == "GET" else upstream.play(scene, seen)

    stage._backends[upstream.name][1].play(broken)
    async with stage.asking(door, upstream) as client:
        await client.until(b"Hello")
        await client.chunk()  # a sign of life, and then the error
        go_on.set()
        try:
            chunks = await client.rest()
        except asyncio.IncompleteReadError:
            chunks = client.chunks  # cut, which is an end that nobody takes for a good one
        else:
            assert door.hear(b"".join(chunks), stream=True).error
    assert not door.hear(b"".join(chunks), stream=True).whole
    await backend.until(lambda: backend.running == 0)
    await stage.forget(upstream)
    await stage.answers(door, upstream)
