"""docs/continuing.md: its example runs and prints what the page says, its figures add up."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from chatgpt_to_api.config.load import load
from chatgpt_to_api.gateway.continuing import MOST
from chatgpt_to_api.gateway.hiding import TRIES
from support.gateway_process import clean_environment
from support.keeping_backend import KeepingBackend
from support.pages import blocks, page
from support.rig import rigging

NAME = "docs/continuing.md"


async def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    """The page's variable and the page's program, with the official SDK."""
    (export,) = blocks(NAME, "sh")
    name, _, value = export.strip().removeprefix("export ").partition("=")
    backend = KeepingBackend()
    async with rigging(tmp_path / "data")(backend, **{name: value}) as rig:
        (program,) = blocks(NAME, "python")
        program = program.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{rig.gateway.port}")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    printed = done.stdout.split()
    assert printed == ["new", "continued", "continued"], done.stderr
    assert "It prints " + ", ".join(f"`{word}`" for word in printed) in page(NAME)
    assert backend.sent() == ["Hello!", "What did I say first?", "And then?"]


def test_the_pages_bounds_are_the_codes(tmp_path: Path) -> None:
    """Numbers in prose, and the defaults that the configuration shows."""
    text = page(NAME)
    assert f"At most {MOST:,} answers" in text
    assert f"fails {('no', 'once', 'twice', 'three', 'four', 'five')[TRIES]} times" in text
    (config,) = blocks(NAME, "toml")
    (tmp_path / "c.toml").write_text(config)
    loaded = load(environ={"CHATGPT_TO_API_CONFIG": str(tmp_path / "c.toml")}, folder=tmp_path)
    plain = load(environ={"ENABLE_HISTORY": "true"}, folder=tmp_path).settings.conversation_default
    shown = loaded.settings.upstreams["conversation"]
    for field in ("continue_conversations", "continue_for", "hide_conversations"):
        assert getattr(shown, field) == getattr(plain, field)
    assert plain.continues and plain.continue_for == 24 * 3600


def test_the_factor_that_is_told_is_that_of_the_table() -> None:
    """Bytes saved, in words and in the table, in both languages."""
    for name in (NAME, "docs/continuing_CN.md"):
        sent = [float(number) for number in re.findall(r"\| ([\d.]+) kB \|", page(name))]
        assert len(sent) == 2
        assert str(round(sent[0] / sent[1])) in re.findall(r"(?:bytes \(|少 )(\d+)", page(name))
