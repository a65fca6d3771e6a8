"""Recorded replies of conversation backends, served on a socket in odd pieces.

What each file means stands beside it; here it has to come out of ``/v1/chat/completions``, streamed
and not.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.rig import Rig, rigging
from support.scripted_backend import Play, conversation, conversation_events
from support.shared_rig import OpenScript, events_of, fresh, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = Path(__file__).parents[1] / "fixtures" / "conversation"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))
EXPECTED: dict[str, dict[str, Any]] = {
    name: json.loads((FOLDER / f"{name}.json").read_bytes()) for name in NAMES
}
GOOD = [name for name in NAMES if EXPECTED[name]["error"] is None]
BROKEN = [
    name for name in NAMES if (EXPECTED[name]["error"] or {}).get("kind") in ("stream", "truncated")
]
REFUSED = [name for name in NAMES if name not in GOOD and name not in BROKEN]
STATUSES = {
    "http-200-json-error": 502,
    "http-401-detail-object": 503,
    "http-403-html-challenge": 503,
    "http-422-detail-array": 422,
    "http-429-detail-string": 429,
    "http-429-model-cap": 429,
}
"""What the client of a gateway with one token gets for each refusal."""
TAILS = {"v0-rewritten-prefix": ", as the page says.", "v1-rare-ops": " 🙂 ok"}
"""What a stream ends with where the backend rewrote what it had said: that cannot be unsaid."""


class Cutting:
    """A way to cut a reply's bytes into pieces that leave one by one."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size

    def __call__(self, body: bytes) -> list[bytes]:
        size = self.size or len(body)
        return [body[i : i + size] for i in range(0, len(body), size)]


CUTTINGS = [Cutting("whole", 0), Cutting("bytewise", 1), Cutting("odd", 37)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, stage: OpenScript) -> AsyncIterator[Rig]:
    rig = rigging(tmp_path_factory.mktemp("odd") / "data")
    async with rig(
        stage,
        CHATGPT_TO_API_MAX_ATTEMPTS="2",
        CHATGPT_TO_API_MAX_CONTINUATIONS="0",
        CHATGPT_TO_API_QUEUE_WAIT="1",
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


def recorded(name: str, cutting: Cutting = CUTTINGS[0]) -> Play:
    """A recorded reply with its status and type; one that was cut off ends without its end."""
    expected = EXPECTED[name]
    http = expected.get("http", {"status": 200, "content_type": "text/event-stream"})
    cut_off = (expected["error"] or {}).get("kind") == "truncated"
    return Play(
        status=http["status"],
        content_type=http["content_type"],
        pieces=cutting((FOLDER / f"{name}.sse").read_bytes()),
        end="close" if cut_off else "whole",
    )


async def test_every_recording_is_tried() -> None:
    """A file that is added is tested by being there."""
    assert len(GOOD) >= 14
    assert len(BROKEN) >= 3
    assert sorted(STATUSES) == REFUSED


@pytest.mark.parametrize("cutting", CUTTINGS, ids=lambda cutting: cutting.name)
@pytest.mark.parametrize("name", GOOD)
async def test_a_recorded_answer_comes_out_whole(
    rig: Rig, stage: OpenScript, name: str, cutting: Cutting
) -> None:
    """Text, finish reason and model as written beside the bytes, however those are cut."""
    expected = EXPECTED[name]
    stage.play(recorded(name, cutting))
    answer = await rig.ask()
    assert answer.status == 200, answer.text
    [choice] = answer.json["choices"]
    assert choice["message"]["content"] == expected["text"]
    assert choice["finish_reason"] == expected["finish_reason"]
    assert answer.json["model"] == expected["model"]
    assert answer.json["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("cutting", CUTTINGS, ids=lambda cutting: cutting.name)
@pytest.mark.parametrize("name", GOOD)
async def test_a_recorded_answer_streams(
    rig: Rig, stage: OpenScript, name: str, cutting: Cutting
) -> None:
    """The pieces joined are the text; one finish reason; one ``[DONE]``, last."""
    expected = EXPECTED[name]
    stage.play(recorded(name, cutting))
    answer = await rig.ask(stream=True)
    assert answer.status == 200
    *chunks, done = events_of(answer)
    assert done == "[DONE]"
    if name in TAILS:
        assert text_of(chunks).endswith(TAILS[name])
    else:
        assert text_of(chunks) == expected["text"]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == [expected["finish_reason"]]
    assert {chunk["model"] for chunk in chunks} == {expected["model"]}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


@pytest.mark.parametrize("cutting", CUTTINGS, ids=lambda cutting: cutting.name)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_recorded_break_is_never_a_quiet_end(
    rig: Rig, stage: OpenScript, name: str, cutting: Cutting
) -> None:
    """What was said arrives, then an error and no ``[DONE]``; without a stream it is a 502."""
    expected = EXPECTED[name]
    stage.play(recorded(name, cutting))
    whole = await rig.ask()
    assert whole.status == 502
    words = expected["error"]["message"] or ""
    assert words in whole.json["error"]["message"]
    await fresh(rig)
    streamed = await rig.ask(stream=True)
    assert streamed.status == 200
    *chunks, failed = events_of(streamed)
    assert text_of(chunks) == expected["text"]
    assert words in failed["error"]["message"]
    assert set(failed["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in streamed.text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_recorded_refusal_is_an_error_with_the_backends_words(
    rig: Rig, stage: OpenScript, name: str, stream: bool
) -> None:
    """A status that says what happened, also where a stream was asked for; the words are kept."""
    expected = EXPECTED[name]
    stage.play(recorded(name))
    answer = await rig.ask(stream=stream)
    assert answer.status == STATUSES[name]
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (expected["error"]["message"] or "challenge") in error["message"]
    if answer.status == 429:
        assert int(answer.headers["retry-after"]) > 10
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "play",
    [
        Play(pieces=[b"".join(conversation_events(["All ", "at once"]))]),
        Play(
            pieces=[b"".join(conversation_events(["All ", "at once"]))], content_type="text/plain"
        ),
        Play(pieces=conversation_events(["All ", "at once"])[:-1]),
        Play(pieces=conversation_events(["All ", "at once"])[:-1], end="close"),
        Play(pieces=[*conversation_events(["All ", "at once"]), b"data: [DONE]\n\n"]),
        Play(pieces=[b"\xef\xbb\xbf: hello\r\n\r\n", *conversation_events(["All at once"])]),
        Play(pieces=[b"event: ping\ndata: 2023-10-11\n\n", *conversation_events(["All at once"])]),
        Play(pieces=conversation_events(["All ", "at once"]), end="hang"),
    ],
    ids=[
        "one-piece",
        "text-plain",
        "no-done",
        "no-done-and-cut-after-the-finish",
        "done-twice",
        "bom-and-crlf-comment",
        "ping",
        "open-after-done",
    ],
)
async def test_ways_to_end_and_to_frame_do_not_matter(
    rig: Rig, stage: OpenScript, play: Play, stream: bool
) -> None:
    """The answer is finished when the backend said so, however the bytes around it look."""
    stage.play(play)
    answer = await rig.ask(stream=stream)
    assert answer.status == 200, answer.text
    if stream:
        assert text_of(events_of(answer)) == "All at once"
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json["choices"][0]["message"]["content"] == "All at once"
    assert await rig.states() == {"ready": 1}


async def test_the_text_may_hold_the_framings_own_words(rig: Rig, stage: OpenScript) -> None:
    """``data:``, ``[DONE]``, blank lines and lone surrogates inside the text are text."""
    said = 'data: [DONE]\n\nevent: x\r\n{"error": 1}\u2028\u0085 end'
    stage.play(conversation(said[:9], said[9:]))
    assert (await rig.ask()).json["choices"][0]["message"]["content"] == said
    assert text_of(events_of(await rig.ask(stream=True))) == said


async def test_what_the_model_map_says_is_asked_for(rig: Rig, stage: OpenScript) -> None:
    """``gpt-3.5-turbo`` and its dated names are the backend's text-davinci-002-render-sha."""
    stage.play(conversation("ok"))
    for asked in ("gpt-3.5-turbo", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-16k", "gpt-4"):
        await rig.ask(model=asked)
    models = [seen.json["model"] for seen in rig.backend.seen]
    assert models[:3] == ["text-davinci-002-render-sha"] * 3
    assert models[3] == "gpt-4"
