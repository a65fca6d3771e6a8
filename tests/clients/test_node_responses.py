"""Clients from Node over Responses: ``openai`` and Vercel's ``@ai-sdk/openai``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support.client_environments import node, node_modules, told_by
from support.vendor.serving import Served

HERE: Final = Path(__file__).parent


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_modules(HERE / "node", tmp_path_factory.mktemp("npm"))


def test_openai_and_the_ai_sdk_work(served: Served, modules: Path, tmp_path: Path) -> None:
    """Whole, streamed, tool loops (items by reference too), parsed output, thoughts, errors."""
    driver = str(HERE / "drive_responses.mjs")
    told = told_by(tmp_path / "home", node(), driver, str(modules), **served.environment())
    assert told["whole"] == told["kept"] == "You said: Hello"
    assert told["kinds"] == ["response.created", "response.completed"]
    assert told["streamed"] == "You said: Say 潮😀"
    assert told["told"] == "I was told: Oslo: fair; Rome: fair"
    assert told["parsed"] == {"city": "Vaduz"}
    assert told["unknown"] == ["NotFoundError", 404, "model_not_found"]
    assert told["plain"] == ["You said: Hello", "stop", 5, 3]
    assert told["looped"] == ["I was told: Oslo: fair; Rome: fair", 2, 2]
    assert told["unkept"] == "I was told: Oslo: fair"
    text, kinds = told["loop"]
    assert text == "I was told: Oslo: fair"
    assert {"tool-call", "tool-result", "tool-input-start", "tool-input-end"} <= set(kinds)
    assert told["filled"] == {"city": "Vaduz"}
    assert told["thought"] == ["The question has 1 words.", "You said: Why?"]
    assert told["refused"] == [True, 422]
