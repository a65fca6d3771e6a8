"""The command itself: help, version, completion, and errors nobody foresaw."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from chatgpt_to_api import __version__
from support.gateway_process import clean_environment, command, run_command

COMMANDS = [
    "serve",
    "chat",
    "tokens",
    "tokens list",
    "tokens add",
    "tokens import",
    "tokens remove",
    "tokens check",
    "doctor",
    "models",
    "model",
    "model fetch",
    "config",
    "config show",
    "config check",
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_tells_the_exit_codes(name: str) -> None:
    """A first sentence, no truncated line, and the codes at the end."""
    done = run(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  [A-Z][^.]*\.", done.stdout, re.MULTILINE)
    assert "..." not in done.stdout.replace("[ARGS]...", "").replace("[ID]...", "")
    assert "Exit codes: 0 well" in done.stdout


def test_the_first_help_names_every_command() -> None:
    """What stands there is the whole command line, one line each."""
    done = run("--help")
    for name in COMMANDS:
        if " " not in name:
            assert re.search(rf"^  {name} +[A-Z].*\.$", done.stdout, re.MULTILINE), name


def test_the_version_is_printed() -> None:
    """As a command and as an option."""
    for argument in ("version", "--version"):
        assert run(argument).stdout == f"chatgpt-to-api {__version__}\n"


def test_a_mistyped_command_is_told_what_may_be_meant() -> None:
    """Also for commands that were never imported."""
    done = run("docter")
    assert done.returncode == 2
    assert "Did you mean 'doctor'" in done.stderr


def test_an_unknown_option_is_wrong_usage() -> None:
    """It is named."""
    done = run("serve", "--nope")
    assert done.returncode == 2
    assert "--nope" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [("chatgpt-to-api tok", "tokens"), ("chatgpt-to-api tokens im", "import")],
)
def test_the_shell_completes_commands(words: str, expected: str) -> None:
    """Of the first and of the second level."""
    done = subprocess.run(
        [str(Path(command()[0]).with_name("chatgpt-to-api"))],
        env=clean_environment(
            _CHATGPT_TO_API_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [expected]


def test_the_completion_script_can_be_shown() -> None:
    """For a shell's own start-up file; which shell that is, is told by who started the command."""
    line = f"{shlex.join(command('--show-completion'))}; true"  # bash stays its parent
    done = subprocess.run(
        ["bash", "-c", line], env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert "COMPREPLY" in done.stdout


def test_an_unforeseen_error_is_one_clear_line(tmp_path: Path) -> None:
    """No trace, no secret, a code of its own; -v shows the trace."""
    (tmp_path / "platformdirs.py").write_text("raise RuntimeError('odd sk-aaaaaaaaaaaaaaaaaaaa')")
    done = run("config", "check", PYTHONPATH=str(tmp_path))
    assert done.returncode == 70
    assert "failed unexpectedly: RuntimeError: odd …" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk-aaa" not in done.stderr
    assert "Traceback" in run("config", "check", "-v", PYTHONPATH=str(tmp_path)).stderr


def test_serve_imports_nothing_it_does_not_need(empty: Path) -> None:
    """No other command, and none of the libraries that only some of them need."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [command()[0], "-X", "importtime", *command("serve")[1:]],
            env=clean_environment(
                CHATGPT_TO_API_DATA_DIR=str(empty),
                EMBEDDED_MODEL="off",
                SERVER_PORT=str(taken.getsockname()[1]),
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 4
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "chatgpt_to_api.assembly" in imported
    heavy = {"rich.console", "pydantic", "alembic", "python_socks", "bpe_openai", "urllib.request"}
    assert not imported & heavy
    assert {name for name in imported if name.startswith("chatgpt_to_api.cli.")} <= {
        f"chatgpt_to_api.cli.{name}" for name in ("main", "lazy", "exits", "options", "serve")
    }


def test_each_problem_of_the_settings_is_listed(empty: Path) -> None:
    """All at once, by the names the person wrote; nothing is started."""
    done = run_command("serve", data_dir=empty, SERVER_PORT="x", API_RATE_LIMIT="often")
    assert done.returncode == 3
    assert "SERVER_PORT" in done.stderr and "API_RATE_LIMIT" in done.stderr
    assert not empty.exists()
