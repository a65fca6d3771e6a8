"""What ``docs/clients.md`` tells to paste, works, with the packages it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.client_environments import node, node_modules, program_of, run_client
from support.pages import blocks
from support.vendor.serving import CLIENT_KEY, Served

PAGE = "docs/clients.md"


def ours(block: str, served: Served) -> str:
    """A block with this gateway's address and key."""
    assert "http://127.0.0.1:8080/v1" in block
    return block.replace("http://127.0.0.1:8080/v1", served.base_url).replace(
        '"anything"', f'"{CLIENT_KEY}"'
    )


@pytest.mark.parametrize("block", blocks(PAGE, "python"), ids=lambda block: block.split()[1])
def test_every_python_block_works(served: Served, tmp_path: Path, block: str) -> None:
    """It prints what the model said, without any variable set."""
    only = {k: v for k, v in served.environment().items() if "PROXY" in k}
    python = program_of("openai")
    done = run_client(tmp_path / "home", python, "-c", ours(block, served), **only)
    assert done.returncode == 0, done.stderr
    assert "Oslo" in done.stdout
    assert served.vendor.seen


def test_every_node_block_works(served: Served, tmp_path: Path) -> None:
    node_modules(Path(__file__).parent / "node", tmp_path)
    written = blocks(PAGE, "js")
    assert len(written) == 2
    for place, block in enumerate(written):
        program = tmp_path / f"block{place}.mjs"
        program.write_text(ours(block, served))
        done = run_client(tmp_path / "home", node(), str(program))
        assert done.stdout == "You said: Hello from Oslo!", done.stderr
