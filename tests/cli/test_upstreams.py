"""``upstreams``: of a configuration, of the folder's gateway, and of one by URL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.gateway_process import ADMIN_PASSWORD, gateway_process, run_command

SECRET = "sk-planted-key-000001"
CONFIG = f"""
[upstreams.near]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["llama-*", "qwen"]
api_keys = ["{SECRET}", "sk-planted-key-000002"]

[upstreams.talk]
kind = "conversation"
base_url = "http://127.0.0.1:9/backend-api/conversation"
"""
MORE = {"kind": "ollama", "base_url": "http://127.0.0.1:9", "models": ["phi"]}


def listed(*where: str, data_dir: Path) -> dict[str, dict[str, Any]]:
    done = run_command("upstreams", "--json", *where, data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    return {one.pop("name"): one for one in json.loads(done.stdout)["upstreams"]}


def test_those_of_the_configuration_are_listed_where_no_gateway_runs(empty: Path) -> None:
    """Kind, address, models and keys; tokens are not counted, for nobody opens the store."""
    empty.mkdir()
    (empty / "config.toml").write_text(CONFIG)
    assert listed(data_dir=empty) == {
        "near": {
            "kind": "openai",
            "address": "http://127.0.0.1:9/v1",
            "models": ["llama-*", "qwen"],
            "credentials": 2,
            "state": "not running",
            "pool": None,
        },
        "talk": {
            "kind": "conversation",
            "address": "http://127.0.0.1:9/backend-api/conversation",
            "models": None,
            "credentials": None,
            "state": "not running",
            "pool": None,
        },
    }
    shown = run_command("upstreams", data_dir=empty).stdout
    assert shown.startswith("2 upstreams (no gateway runs; as configured):")
    assert "llama-*, qwen" in shown and SECRET not in shown


def test_a_running_gateway_tells_the_state_and_what_it_was_given(empty: Path) -> None:
    """By the folder without a password, by URL with it; managed upstreams stand there too."""
    empty.mkdir()
    (empty / "config.toml").write_text(CONFIG)
    with gateway_process(empty) as gateway:
        assert gateway.admin("PUT", "/admin/upstreams/more", MORE).status in (200, 201)
        tokens = gateway.admin("PATCH", "/admin/tokens", ["tok-a", "tok-b", "tok-c"])
        assert tokens.status == 200
        [first, *_] = gateway.admin("GET", "/admin/tokens").json["tokens"]
        assert gateway.admin("POST", f"/admin/tokens/{first['id']}/disable").status == 200
        found = listed(data_dir=empty)
        assert list(found) == ["near", "talk", "more"]
        assert (found["near"]["credentials"], found["near"]["state"]) == (2, "2 ready of 2")
        assert found["talk"]["state"] == "2 ready of 3, 1 disabled"
        assert found["talk"]["pool"]["disabled"] == 1
        assert (found["more"]["kind"], found["more"]["models"]) == ("ollama", ["phi"])
        there = ("--url", gateway.url(""), "--password", ADMIN_PASSWORD)
        elsewhere = empty.parent / "elsewhere"
        assert listed(*there, data_dir=elsewhere) == found
        shown = run_command("upstreams", data_dir=empty).stdout
        assert "3 upstreams (of http://" in shown and "1 disabled" in shown
        refused = run_command("upstreams", *there[:3], "wrong", data_dir=elsewhere)
        assert refused.returncode != 0 and "401" in refused.stderr
