"""What a page tells to paste, works: its shell and Python blocks, run one line after the other."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from chatgpt_to_api.config.load import load
from support.gateway_process import clean_environment
from support.pages import blocks
from support.rig import rigging
from support.scripted_backend import Play, Seen, conversation

PAGES: Final = (
    "README.md",
    "README_CN.md",
    "docs/guide.md",
    "docs/tokens.md",
    "docs/tools.md",
    "docs/docker.md",
    "docs/admin-api.md",
)
"""The Chinese pages in docs have the same blocks, which test_docs.py holds."""

NOT_RUN: Final[Mapping[str, str]] = {
    "git clone": "it needs the repository's address; the line after it is make's",
    "make run": "it installs into the checkout and then serves until it is stopped",
    "python -m venv": "the installation's steps are replayed from the Dockerfile",
    ".venv/bin/python -m pip": "the installation's steps are replayed from the Dockerfile",
    ".venv/bin/chatgpt-to-api serve": "a gateway runs already, that is what the lines are run on",
    ".venv/bin/chatgpt-to-api tokens add": "it asks at the terminal, where nothing shows",
    "docker": "there may be no Docker",
    "ADMIN_PASSWORD=TotallySecurePassword docker": "there may be no Docker",
}
"""Beginnings of lines that are not run, with the reason. ``export`` lines are loaded instead."""

INPUT: Final = {"chat": "Hello!\n"}
"""What a command is given that reads its standard input."""

DOCTOR_CODES: Final = (0, 1)  # 1: it found something; the scripted backend is a poor one


def lines(name: str) -> list[str]:
    """The commands of a page's shell blocks, in order."""
    return [line for block in blocks(name, "sh") for line in block.splitlines() if line.strip()]


def is_left_out(line: str) -> bool:
    return line.startswith(tuple(NOT_RUN))


def run(command: str, folder: Path, port: int, environment: Mapping[str, str]) -> str:
    """Run one line in a shell, against this gateway; return what it printed."""
    local = re.sub(r"http://127\.0\.0\.1:(8080|10080)", f"http://127.0.0.1:{port}", command)
    local = re.sub(r"^curl ", "curl -sS --fail-with-body --noproxy '*' ", local)
    ours = f"{shlex.quote(sys.executable)} -m chatgpt_to_api"
    local = local.replace(".venv/bin/chatgpt-to-api", ours)
    name = command.split()[1] if "chatgpt-to-api" in command.split()[0] else ""
    done = subprocess.run(
        ["/bin/sh", "-c", local],
        cwd=folder,
        env=dict(environment),
        input=INPUT.get(name, ""),
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = DOCTOR_CODES if name == "doctor" else (0,)
    assert done.returncode in expected, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def backend(seen: Seen) -> Play:
    """Answer as a model would that was asked for a call, for JSON, or for nothing of the kind."""
    if b"<tools>" in seen.body:
        call = {"name": "weather", "arguments": {"city": "Paris, far and wide"}}
        return conversation("<tool_call>", json.dumps(call), "</tool_call>")
    if b"JSON Schema" in seen.body:
        return conversation('```json\n{"name": "Jane of the wide world"}\n```')
    return conversation("The sea", " is wide.")


@pytest.mark.parametrize("name", PAGES)
async def test_every_line_to_paste_works(name: str, tmp_path: Path) -> None:
    """Against a gateway with a scripted backend, in the order in which the page has them."""
    (tmp_path / "access_tokens.json").write_text('["eyJhbAAA", {"token": "eyJhbBBB"}]')
    commands = [line for line in lines(name) if not is_left_out(line)]
    commands = [line for line in commands if not line.startswith("export ")]
    assert commands, "the page has nothing to run"
    async with rigging(tmp_path / "data")(backend) as rig:
        environment = clean_environment(
            CHATGPT_TO_API_DATA_DIR=str(tmp_path / "data"),
            API_REVERSE_PROXY=rig.backend.url(),
            EMBEDDED_MODEL="off",
        )
        port = rig.gateway.port
        for command in commands:
            said = await asyncio.to_thread(run, command, tmp_path, port, environment)
            if "/chat/completions" in command or command.endswith(" chat"):
                assert "wide" in said, f"{command}\n{said}"
            if "curl -i " in command:
                assert "x-ignored-parameters: temperature" in said, said
        for block in blocks(name, "python"):
            program = block.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{port}")
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", program],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.stdout.strip() == "The sea is wide.", done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_exports_is_taken(name: str, tmp_path: Path) -> None:
    """Each block of variables loads without a problem or a warning."""
    for block in blocks(name, "sh"):
        pairs = [line[7:].partition("=") for line in block.splitlines() if line[:7] == "export "]
        # "sk-…" stands for a key that the reader has.
        variables = {key: value.replace("…", "x") for key, _, value in pairs}
        loaded = load(environ=variables, folder=tmp_path)
        origins = set(loaded.origins.values())
        assert {f"environment {key}" for key in variables} <= origins
        assert loaded.warnings == ()


def test_what_is_not_run_is_still_there() -> None:
    """No exception outlives the line it was made for."""
    every = [line for name in PAGES for line in lines(name)]
    for beginning in NOT_RUN:
        assert any(line.startswith(beginning) for line in every), beginning


@pytest.mark.parametrize("name", PAGES)
def test_every_json_block_is_json(name: str) -> None:
    """What a reader copies can be decoded."""
    for block in blocks(name, "json"):
        json.loads(block)
