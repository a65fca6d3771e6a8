"""One token, one question at a time; and nothing is lost when clients hang up, in any phase."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from support.rig import Rig, Rigging
from support.scripted_backend import Play, Seen, conversation, conversation_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rigged(shared_rigs: Rigging) -> Rigging:
    """One gateway for all tests here that set nothing of their own."""
    return shared_rigs


ABORTS = int(os.environ.get("CHATGPT_TO_API_TEST_ABORTS", "10000"))
"""How many streams are aborted in all; the figure the documentation speaks of."""


async def test_one_token_answers_one_question_at_a_time(rigged: Rigging) -> None:
    """Eight questions at once over one token: the backend never sees two together."""
    async with rigged([conversation("ok")]) as rig:
        answers = await asyncio.gather(*(rig.ask(f"question {i}") for i in range(8)))
        assert [answer.status for answer in answers] == [200] * 8
        assert rig.backend.most_running == 1


async def test_ten_tokens_answer_ten_questions_at_once(rigged: Rigging) -> None:
    """Ten questions run side by side, each on a token of its own."""
    gate = asyncio.Event()

    def script(_: Seen) -> Play:
        return Play(pieces=conversation_events(["ok"]), gate=gate)

    tokens = [f"token-{i}" for i in range(10)]
    async with rigged(script, tokens=tokens) as rig:
        asking = [asyncio.create_task(rig.ask(f"question {i}")) for i in range(10)]
        await rig.backend.until(lambda: rig.backend.running == 10)
        gate.set()
        answers = await asyncio.gather(*asking)
        assert [answer.status for answer in answers] == [200] * 10
        assert sorted(rig.backend.tokens) == sorted(tokens)


async def test_who_waits_too_long_gets_a_429_that_says_when(rigged: Rigging) -> None:
    """The queue has a deadline; the error says what is busy, and when to come back."""
    gate = asyncio.Event()
    slow = Play(pieces=conversation_events(["ok"]), gate=gate)
    async with rigged([slow], CHATGPT_TO_API_QUEUE_WAIT="0.2") as rig:
        first = asyncio.create_task(rig.ask())
        await rig.backend.until(lambda: rig.backend.running == 1)
        second = await rig.ask()
        assert second.status == 429
        assert int(second.headers["retry-after"]) >= 1
        assert "busy" in second.json["error"]["message"]
        gate.set()
        assert (await first).status == 200


async def test_n_choices_are_asked_with_a_lease_each(rigged: Rigging) -> None:
    """``n`` = 3 over two tokens: three choices, and never two questions on one token."""
    async with rigged([conversation("ok")], tokens=["token-1", "token-2"]) as rig:
        answer = await rig.ask(n=3)
        assert [c["message"]["content"] for c in answer.json["choices"]] == ["ok"] * 3
        assert [c["index"] for c in answer.json["choices"]] == [0, 1, 2]
        assert max(rig.backend.most_per_token.values()) == 1
        streamed = await rig.ask(n=2, stream=True)
        indexes = {
            choice["index"]
            for line in streamed.text.splitlines()
            if line.startswith("data: {")
            for choice in json.loads(line[6:])["choices"]
        }
        assert indexes == {0, 1}
        assert streamed.text.endswith("data: [DONE]\n\n")


async def test_a_pace_is_waited_for(rigged: Rigging) -> None:
    """``API_RATE_LIMIT`` = 2/1s: five questions all succeed, and no second holds three."""
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []

    def script(_: Seen) -> Play:
        arrivals.append(loop.time())
        return conversation("ok")

    tokens = [f"token-{i}" for i in range(5)]
    async with rigged(script, tokens=tokens, API_RATE_LIMIT="2/1s") as rig:
        begun = loop.time()
        answers = await asyncio.gather(*(rig.ask(f"question {i}") for i in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
    # What arrives late says nothing of the pace; what arrives early breaks it.
    for arrived, soonest in zip(sorted(arrivals), (0, 0, 1, 1, 2), strict=True):
        assert arrived - begun > soonest - 0.01


async def _open(rig: Rig, *, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps(
        {
            "model": "gpt-3.5-turbo",
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}],
        }
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return reader, writer


PHASES = ["queued", "before the head", "before the content", "amid the answer"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("phase", PHASES)
async def test_aborted_requests_leave_nothing_behind(
    rigged: Rigging, phase: str, stream: bool
) -> None:
    """Clients that hang up in this phase cost no lease, no upstream call and no connection."""
    never = asyncio.Event()
    first = conversation_events(["a word", " more"])
    play = {
        "queued": Play(gate=never),
        "before the head": Play(gate=never),
        "before the content": Play(pieces=[b": thinking\n\n"], end="hang"),
        "amid the answer": Play(pieces=first[:1], end="hang"),
    }[phase]
    tokens = [f"token-{i}" for i in range(1 if phase == "queued" else 50)]
    at_once = 50
    async with rigged(
        lambda _: play, tokens=tokens, CHATGPT_TO_API_HOLD="0.05", CHATGPT_TO_API_KEEP_ALIVE="0.2"
    ) as rig:
        expected = 1 if phase == "queued" else at_once
        for _ in range(ABORTS // len(PHASES) // 2 // at_once):
            rounds = len(rig.backend.seen)
            opened = [await _open(rig, stream=stream) for _ in range(at_once)]
            await rig.backend.until(lambda n=rounds: len(rig.backend.seen) - n >= expected)  # type: ignore[misc]
            if phase == "amid the answer" and stream:
                for reader, _ in opened:
                    await reader.readuntil(b"a word")
            for _, writer in opened:
                writer.close()
            await rig.backend.until(lambda: rig.backend.running == 0)
        assert all(c["in_flight"] == 0 for c in await rig.credentials())
        play.gate = None
        play.pieces = conversation_events(["alive"])
        play.end = "whole"
        assert (await rig.ask()).json["choices"][0]["message"]["content"] == "alive"
