from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import openai
import pytest

from chatgpt_to_api.config.settings import EmbeddedModelSettings
from chatgpt_to_api.local_model.supervisor import LocalModel, ModelState

SETTINGS = EmbeddedModelSettings(context=1024, parallel=2, threads=1)
WITHIN = 60.0


class Watched:
    """An embedded model, and the states it goes through as a queue."""

    def __init__(self, file: Path) -> None:
        self.states: asyncio.Queue[ModelState] = asyncio.Queue()
        self.model = LocalModel(file, SETTINGS, self.states.put_nowait)

    async def until(self, phase: str) -> ModelState:
        async with asyncio.timeout(WITHIN):
            while (state := await self.states.get()).phase != phase:
                pass
        return state

    def client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self.model.base_url, api_key=self.model.api_key.reveal(), max_retries=0
        )


@pytest.fixture
async def watched(model: Path) -> AsyncIterator[Watched]:
    """A running embedded model."""
    watched = Watched(model)
    watched.model.start()
    yield watched
    await watched.model.stop()


FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


async def test_the_real_model_answers_at_once_and_in_pieces(watched: Watched) -> None:
    """Loaded, it answers under its own name, whole and streamed, with true token counts."""
    assert await watched.model.ready(WITHIN)
    async with watched.client() as client:
        whole = await client.chat.completions.create(
            model="anything", messages=FRANCE, max_tokens=16, seed=1
        )  # type: ignore[call-overload]
        assert "Paris" in whole.choices[0].message.content
        assert whole.model == "smollm2-135m-instruct"
        assert whole.usage.completion_tokens > 0
        stream = await client.chat.completions.create(
            model="anything", messages=FRANCE, max_tokens=16, seed=1, stream=True
        )  # type: ignore[call-overload]
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "Paris" in "".join(pieces)
    assert len([piece for piece in pieces if piece]) > 1


async def test_nobody_without_the_key_is_answered(watched: Watched) -> None:
    """Another user of this machine can connect to the port but gets nothing from it."""
    assert await watched.model.ready(WITHIN)
    stranger = openai.AsyncOpenAI(base_url=watched.model.base_url, api_key="x", max_retries=0)
    async with stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


async def test_the_key_is_on_no_command_line(watched: Watched) -> None:
    """What every user of the machine can list does not tell the key."""
    state = await watched.until("ready")
    ps = await asyncio.create_subprocess_exec(
        "ps", "-ww", "-o", "args=", "-p", str(state.pid), stdout=asyncio.subprocess.PIPE
    )
    listed = (await ps.communicate())[0].decode()
    assert "chatgpt_to_api.local_model.child" in listed
    assert watched.model.api_key.reveal() not in listed
    assert watched.model.api_key.reveal() not in repr(vars(watched.model))


async def test_a_killed_child_is_started_again_at_the_same_address(watched: Watched) -> None:
    """After kill -9 it waits a moment, starts anew and answers where it did before."""
    first = await watched.until("ready")
    assert first.pid is not None
    address = watched.model.base_url
    os.kill(first.pid, signal.SIGKILL)
    waiting = await watched.until("waiting")
    assert waiting.reason == "killed by signal 9."
    assert not await watched.model.ready(0)
    second = await watched.until("ready")
    assert second.restarts == 1
    assert second.pid != first.pid
    assert watched.model.base_url == address
    async with watched.client() as client:
        assert (await client.models.list()).data[0].id == "smollm2-135m-instruct"


async def test_stopping_leaves_no_process_and_no_port(watched: Watched) -> None:
    """The child is gone when stop returns; stopping twice does no harm."""
    state = await watched.until("ready")
    assert state.pid is not None
    await watched.model.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(state.pid, 0)
    await asyncio.wait_for(refused(watched.model.base_url), WITHIN)
    assert watched.model.state.phase == "stopped"
    await watched.model.stop()


async def test_stopping_amid_the_load_leaves_no_process(model: Path) -> None:
    """A gateway that is stopped right after its start has no child left either."""
    watched = Watched(model)
    watched.model.start()
    await watched.until("starting")
    await asyncio.wait_for(watched.model.stop(), WITHIN)
    await asyncio.wait_for(refused(watched.model.base_url), WITHIN)


async def test_a_file_that_is_no_model_is_told_and_tried_again(tmp_path: Path) -> None:
    """The state says in the runtime's words what is wrong; the supervision goes on."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    watched = Watched(broken)
    watched.model.start()
    try:
        state = await watched.until("waiting")
        assert state.reason.startswith("ended with code 1. ")
        assert f"Loading {broken} failed: " in state.reason
        assert (await watched.until("starting")).restarts == 1
    finally:
        await watched.model.stop()


PARENT = """
import asyncio, sys
from pathlib import Path
from chatgpt_to_api.config.settings import EmbeddedModelSettings
from chatgpt_to_api.local_model.supervisor import LocalModel

async def main():
    model = LocalModel(Path(sys.argv[1]), EmbeddedModelSettings(context=1024))
    model.start()
    assert await model.ready(60)
    print(model.base_url, file=sys.stderr, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_no_orphan_after_kill_9_of_the_parent(model: Path) -> None:
    """A gateway killed without a chance to clean up takes the model's process with it."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, model,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert parent.stderr is not None
    async with asyncio.timeout(WITHIN):
        base_url = (await parent.stderr.readline()).decode().strip()
        place = urlsplit(base_url)
        await asyncio.open_connection(place.hostname, place.port)
        parent.kill()
        await parent.wait()
        await refused(base_url)


async def test_the_child_ends_with_its_standard_input(model: Path) -> None:
    """Where the system does not kill it with its parent, the closed pipe ends it all the same."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    order = {
        "model": str(model), "name": "m", "port": port, "reuse_port": False, "api_key": "k",
        "threads": 1, "parallel": 1, "context": 256,
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chatgpt_to_api.local_model.child",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin and child.stdout
    async with asyncio.timeout(WITHIN):
        child.stdin.write(msgspec.json.encode(order) + b"\n")
        assert msgspec.json.decode(await child.stdout.readline()) == {
            "address": f"http://127.0.0.1:{port}"
        }
        child.send_signal(signal.SIGINT)  # Ctrl-C in the terminal is the parent's business
        child.stdin.close()
        assert await child.wait() == 0


async def refused(base_url: str) -> None:
    """Wait until nobody listens there: a connection ends with the process at its other end."""
    place = urlsplit(base_url)
    while True:
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            await reader.read()
            writer.close()
        except ConnectionRefusedError:
            return
        except ConnectionError:
            continue
