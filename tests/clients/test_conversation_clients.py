"""Public clients of the conversation protocol, as installed packages, against our backend.

Each lives in an environment of its own, made by ``make test`` from a locked list.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from chatgpt_to_api.chat.request import ChatRequest
from support.client_environments import node, node_modules, program_of, told_by
from support.conversation_server import ConversationServer, conversation_server
from support.scripted_engine import Step, says

HERE = Path(__file__).parent

# What loses events or letters in clients that undo escapes by hand, cut in awkward places.
HARD = ["He said: 'so' ", '"and', '" \\ \\n', "\n潮汐", " café 😀", "👩‍🚀 end"]


def script(request: ChatRequest) -> Sequence[Step]:
    """Answers that tell what was asked."""
    *_, last = request.messages
    text = "".join(getattr(part, "text", "") for part in last.parts)
    if "潮" in text or text.startswith("Say"):
        return says(*HARD)
    if text == "cut":
        return says("one, tw", finish="length")
    if text.startswith("Your last answer was cut off."):
        return says("o, three")
    return says(f"{len(request.messages)} messages")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ConversationServer]:
    async with conversation_server(tmp_path / "data") as running:
        running.engine.script = script
        yield running


async def test_revchatgpt_works_whole(server: ConversationServer, tmp_path: Path) -> None:
    """Sync and async: stream, follow-up, titles, list, continue, history, delete, errors."""
    base = f"{server.url}/backend-api/"
    told = await asyncio.to_thread(
        told_by,
        tmp_path / "home",
        program_of("revchatgpt"),
        str(HERE / "drive_revchatgpt.py"),
        base,
        "alice",
        OPENAI_MODELS_URL=f"{base}models",  # where its constructor looks for a cookie
    )
    whole = "".join(HARD)
    sync = told["sync"]
    assert sync["first"] == [*("".join(HARD[: i + 1]) for i in range(len(HARD))), whole]
    assert sync["first_end"] == ["stop", True, "real-model"]
    assert sync["second"] == "3 messages"
    assert sync["same"] is True
    assert sync["title"] == """Say 'it' "so" \\ 潮😀"""
    assert sync["title_again"] == "Error generating title"
    assert sync["listed"] == ['Renamed "潮"']
    assert sync["current"] is True
    assert sync["continued"] == "one, two, three"
    assert sync["by_id"] == "5 messages"
    assert sync["by_map"] == "7 messages"
    assert sync["hidden_goes_on"] == "3 messages"
    assert (sync["count"], sync["count_after_delete"], sync["count_after_clear"]) == (2, 1, 0)
    assert sync["error"] == [
        "Error",
        404,
        {"detail": {"message": "Conversation not found", "code": "conversation_not_found"}},
    ]
    asynchronous = told["async"]
    assert asynchronous["texts"][-1] == whole
    assert asynchronous["again"] == "3 messages"
    assert asynchronous["listed"] == ["Async"]
    assert "not valid JSON" in asynchronous["bad_json"][1]
    assert asynchronous["count_after_clear"] == 0


async def test_pandora_works_whole(server: ConversationServer, tmp_path: Path) -> None:
    """Its client class and its command line: talk, regenerate, continue, reload, manage."""
    told = await asyncio.to_thread(
        told_by,
        tmp_path / "home",
        program_of("pandora"),
        str(HERE / "drive_pandora.py"),
        server.url,
        "fk-" + "a" * 40,
    )
    whole = "".join(HARD)
    client = told["client"]
    assert client["status"] == 200
    assert client["texts"][-1] == whole
    assert client["title"] == "潮😀 'a' \"b\" \\"
    assert "already has title" in client["title_again"]
    assert client["variant"] == whole
    assert client["cut"] == {"type": "max_tokens"}
    assert client["goon"] == "o, three"
    assert client["renamed"] is True
    assert client["listed"] == [1, ["Renamed"]]
    # The root, a question with two answers, one with an answer and its continuation.
    assert client["nodes"] == 1 + 3 + 3
    assert client["unknown"] == [
        404,
        [{"detail": {"message": "Conversation not found", "code": "conversation_not_found"}}],
    ]
    assert client["deleted"] is True
    assert client["cleared"] is True
    assert client["left"] == 0
    line = told["command_line"]
    assert line["title"] == "Hello"
    # The root; two turns; a second answer to the second; what continued it; a third turn.
    assert line["nodes"] == 1 + 2 + 2 + 1 + 1 + 2


@pytest.fixture(scope="session")
def npm_chatgpt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The entry file of npm's ``chatgpt`` 5.2.5, installed in a folder of its own."""
    modules = node_modules(HERE / "chatgpt-5.2.5", tmp_path_factory.mktemp("npm"))
    return str(modules / "chatgpt" / "build" / "index.js")


async def test_npm_chatgpt_works(
    server: ConversationServer, npm_chatgpt: str, tmp_path: Path
) -> None:
    """Stream, follow-up by ids, and an error it can show."""
    told = await asyncio.to_thread(
        told_by,
        tmp_path / "home",
        node(),
        str(HERE / "drive_chatgpt.mjs"),
        npm_chatgpt,
        f"{server.url}/chatgpt/backend-api/conversation",
        "alice",
    )
    whole = "".join(HARD)
    assert told["first"] == whole
    assert told["partial"][-1] == whole
    assert told["partial"][0] == HARD[0]
    assert told["second"] == "3 messages"
    assert told["same"] is True
    assert told["refused"]["status"] == 404
    assert "conversation_not_found" in told["refused"]["message"]
