"""Clients from Node: ``openai`` and Vercel's AI SDK. Without Node they are reported as skipped."""

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


def test_the_openai_package_works(served: Served, modules: Path, tmp_path: Path) -> None:
    """Whole, streamed, tool runners, parsed output, models, typed errors, a cut stream."""
    driver = str(HERE / "drive_openai.mjs")
    told = told_by(
        tmp_path / "home", node(), driver, str(modules / "openai"), **served.environment()
    )
    assert told["whole"] == "You said: Hello"
    assert told["requestId"] is True
    assert told["streamed"] == ["You said: Say 潮😀", True]
    assert told["runner"] == "I was told: Oslo: fair; Rome: fair"
    assert told["calls"] == 2
    assert told["streamedRunner"] == told["runner"]
    assert told["parsed"] == '{"city": "Vaduz"}'
    assert {"gpt-4o", "o4-mini"} <= set(told["models"])
    assert told["cut"] == "APIError"
    assert told["unknown"] == ["NotFoundError", 404, "model_not_found"]
    assert told["refused"] == ["UnprocessableEntityError", 422, "unprocessable"]
    assert told["limited"] == ["RateLimitError", 429, "rate_limit_exceeded"]


def test_the_ai_sdk_works(served: Served, modules: Path, tmp_path: Path) -> None:
    """Text, streams, a tool loop in both ways, objects, reasoning, an image, errors."""
    driver = str(HERE / "drive_ai_sdk.mjs")
    told = told_by(tmp_path / "home", node(), driver, str(modules), **served.environment())
    assert told["plain"] == ["You said: Hello", "stop", 5, 3]
    assert told["streamed"] == ["You said: Say 潮😀", True, 10]
    assert told["looped"] == ["I was told: Oslo: fair; Rome: fair", 2, 2]
    text, kinds = told["loop"]
    assert text == "I was told: Oslo: fair"
    assert kinds == [
        "tool-call",
        "tool-input-delta",
        "tool-input-end",
        "tool-input-start",
        "tool-result",
    ]
    assert told["filled"] == {"city": "Vaduz", "people": 5696}
    assert told["thought"] == ["The question has 1 words.", "You said: Why?"]
    assert told["shown"] == "You said: What is it? [image/png, 19 bytes]"
    assert told["unknown"] == [True, 404, False]
    assert told["refused"] == [True, 400, False]
    assert told["limited"] == [True, 429, True]
