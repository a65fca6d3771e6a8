"""What ``docs/gemini.md`` tells to paste, works, with the packages it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatgpt_to_api.config.load import load
from support.client_environments import node, node_modules, program_of, run_client
from support.gemini.serving import CLIENT_KEY, Served, serving
from support.pages import blocks

PAGE = "docs/gemini.md"
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("page") / "data") as standing:
        yield standing


def ours(block: str, served: Served) -> str:
    """A block with this gateway's address and key."""
    assert ADDRESS in block
    here = block.replace(ADDRESS, served.gateway.url(""))
    return here.replace('"anything"', f'"{CLIENT_KEY}"')


@pytest.mark.parametrize("block", blocks(PAGE, "python"))
def test_every_python_block_works(served: Served, tmp_path: Path, block: str) -> None:
    """It prints what the model said, without any variable set."""
    only = {k: v for k, v in served.environment().items() if "PROXY" in k}
    done = run_client(tmp_path / "home", program_of("google"), "-c", ours(block, served), **only)
    assert done.returncode == 0, done.stderr
    assert "Oslo" in done.stdout


def test_every_node_block_works(served: Served, tmp_path: Path) -> None:
    """It says what the model said."""
    node_modules(Path(__file__).parent / "node_google", tmp_path)
    written = blocks(PAGE, "js")
    assert len(written) == 2
    for place, block in enumerate(written):
        program = tmp_path / f"block{place}.mjs"
        program.write_text(ours(block, served))
        done = run_client(tmp_path / "home", node(), str(program))
        assert done.stdout == "You said: Hello from Oslo!", done.stderr


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """The upstream of the page is read as it stands."""
    (block,) = blocks(PAGE, "toml")
    (tmp_path / "config.toml").write_text(block)
    environ = {"CHATGPT_TO_API_DATA_DIR": str(tmp_path), "GEMINI_API_KEY": "AIza"}
    upstream = load(environ=environ).settings.upstreams["google"]
    assert upstream.kind == "gemini"
    assert [key.reveal() for key in upstream.api_keys] == ["AIza"]
