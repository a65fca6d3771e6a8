"""Clients of the Gemini API: Google's own for Python and Node, and Vercel's AI SDK.

Each over a Gemini server, where its bytes are relayed, and over chat completions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.client_environments import node, node_modules, program_of, told_by
from support.gemini.serving import Served, serving

HERE: Final = Path(__file__).parent
MODELS: Final = ("gemini-3-flash", "gpt-4o")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("google") / "data") as served:
        yield served


@pytest.fixture
def served(standing: Served) -> Iterator[Served]:
    """Nothing asked yet; nobody may ask another host."""
    standing.forget()
    yield standing
    assert [f"{seen.method} {seen.path}" for seen in standing.outside.seen] == []


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_modules(HERE / "node_google", tmp_path_factory.mktemp("npm"))


def expect(told: dict[str, Any]) -> None:
    """What a session with every kind of request tells."""
    assert told["whole"] == ["You said: Hello", "STOP", True]
    assert told["streamed"] == ["You said: Say 潮😀", True, "STOP"]
    assert "Oslo" in told["automatic"][1]
    assert told["automatic"][0].startswith("I was told: ")
    assert told["called"]
    assert {name for name, _ in told["called"]} == {"get_weather"}
    assert told["results"].startswith("I was told: ")
    for number in range(len(told["called"])):
        assert f"fair {number}" in told["results"]
    assert told["shaped"] == ["city"]
    assert told["chat"] == "You said: Two"
    assert told["unknown"][1] == 404
    assert told["refused"][1] == 400


@pytest.mark.parametrize("model", MODELS)
def test_googles_python_client_works(served: Served, tmp_path: Path, model: str) -> None:
    """Whole, streamed, functions called by itself and by hand, schemas, chats, models, errors."""
    driver = str(HERE / "drive_genai.py")
    told = told_by(tmp_path / "home", program_of("google"), driver, model, **served.environment())
    expect(told)
    assert told["async"] == "You said: Say 潮😀"
    assert told["history"] == ["user", "model"] * 2
    assert told["streamedChat"] == "You said: Three"
    assert "models/nick" in told["models"]
    assert told["counted"] >= 3
    assert told["embedded"] == [2, True]
    assert told["limited"] == "MAX_TOKENS"
    assert told["unknown"] == ["ClientError", 404, "NOT_FOUND"]
    assert told["refused"] == ["ClientError", 400, "INVALID_ARGUMENT"]
    assert told["limits"] == ["ClientError", 429, "RESOURCE_EXHAUSTED"]
    assert told["cut"][1:] == [502, "UNAVAILABLE"]
    assert told["stranger"] == ["ClientError", 401, "UNAUTHENTICATED"]


@pytest.mark.parametrize("model", MODELS)
def test_googles_node_client_works(
    served: Served, modules: Path, tmp_path: Path, model: str
) -> None:
    """The same from Node."""
    driver = str(HERE / "drive_genai.mjs")
    home = tmp_path / "home"
    told = told_by(home, node(), driver, str(modules), model, **served.environment())
    expect(told)


@pytest.mark.parametrize("model", MODELS)
def test_the_ai_sdk_works_with_its_google_provider(
    served: Served, modules: Path, tmp_path: Path, model: str
) -> None:
    """Text, a stream, a tool loop with signatures, an object, errors."""
    driver = str(HERE / "drive_ai_sdk_google.mjs")
    home = tmp_path / "home"
    told = told_by(home, node(), driver, str(modules), model, **served.environment())
    assert told["plain"] == ["You said: Hello", "stop"]
    assert told["streamed"] == ["You said: Say 潮😀", True]
    assert told["looped"][0].startswith("I was told: ")
    assert told["looped"][1] == 2
    assert told["filled"] == {"city": "Vaduz"}
    assert told["unknown"] == [True, 404]
