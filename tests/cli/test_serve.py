"""``serve``: what it prints, how it ends, what keeps it from starting."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from support.gateway_process import gateway_process, run_command
from support.stage import Stage


def test_the_start_is_told_in_a_dozen_lines_and_without_warnings(shared: Stage) -> None:
    """What listens, which upstream, and a curl to paste; nothing of the libraries underneath."""
    text = shared.gateway.text
    assert f"listens on http://127.0.0.1:{shared.gateway.port}" in text
    assert "upstream conversation" in text
    assert "curl http://127.0.0.1" in text
    assert len(text.splitlines()) <= 12
    for word in ("WARNING", "Warning", "factory", "never awaited"):
        assert word not in text


def test_of_many_upstreams_those_that_cannot_answer_are_told(empty: Path) -> None:
    """There is room for four."""
    empty.mkdir()
    server = 'kind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    tables = [f"[upstreams.server{number}]\n{server}" for number in range(5)]
    tables.append('[upstreams.conversation]\nbase_url = "http://127.0.0.1:9/conversation"\n')
    (empty / "config.toml").write_text("\n".join(tables))
    with gateway_process(empty) as gateway:
        assert gateway.port
        assert "upstream conversation (conversation): no access token" in gateway.text
        assert "and 2 more upstreams" in gateway.text


def test_without_any_upstream_what_to_do_is_told(empty: Path) -> None:
    """On the first screen, at ``GET /`` and in the error of whoever asks all the same."""
    with gateway_process(empty, EMBEDDED_MODEL="off") as gateway:
        base = f"http://127.0.0.1:{gateway.port}"
        question = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
        asked = run_curl(f"{base}/v1/chat/completions", "-d", question)
        for told in (gateway.text, run_curl(base), asked):
            assert "PATCH /admin/tokens" in told
            assert "EMBEDDED_MODEL" in told
        assert "Then try it:" in gateway.text


def run_curl(*words: str) -> str:
    done = subprocess.run(["curl", "-s", *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_is_no_token_in_the_variable_is_told(empty: Path) -> None:
    """It is left out, like a line of a file; in silence it would be missed for long."""
    tokens = {"ACCESS_TOKENS": "tok-a,sk-1234567890abcdefghij"}
    proxy = {"API_REVERSE_PROXY": "http://127.0.0.1:9/conversation"}
    with gateway_process(empty, **tokens, **proxy) as gateway:
        assert gateway.port
        assert "warning: ACCESS_TOKENS: line 2: it is an API key" in gateway.text
        assert "1234567890" not in gateway.text


def test_a_second_gateway_on_the_folder_is_refused(shared: Stage) -> None:
    """It names the process that holds it, and ends with the code for what is not there."""
    done = shared.run("serve", SERVER_PORT="0")
    assert done.returncode == 4
    assert f"process {shared.gateway.process.pid}" in done.stderr
    assert shared.gateway.url("") in done.stderr


def test_a_port_in_use_is_named(shared: Stage, empty: Path) -> None:
    """And the way out."""
    done = run_command(
        "serve", data_dir=empty, SERVER_PORT=str(shared.gateway.port), EMBEDDED_MODEL="off"
    )
    assert done.returncode == 4
    assert f"port {shared.gateway.port} is in use" in done.stderr


def test_ctrl_c_ends_it_quietly(empty: Path) -> None:
    """No trace, nothing but the lines of the start."""
    with gateway_process(empty, API_REVERSE_PROXY="http://127.0.0.1:9/conversation") as gateway:
        assert gateway.port
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(30) == 0
        gateway._reader.join(10)
        assert "Traceback" not in gateway.text
        assert "Error" not in gateway.text


def test_a_wrong_log_format_is_named_by_its_option(empty: Path) -> None:
    """With what it may be."""
    done = run_command("serve", "--log-format", "xml", data_dir=empty)
    assert done.returncode == 3
    assert "--log-format: expected json or text" in done.stderr


def test_log_lines_are_json_where_asked(empty: Path) -> None:
    """Each request is an object of its own at -v; the lines of the start stay for people."""
    address = "http://127.0.0.1:9/conversation"
    with gateway_process(empty, "-v", "--log-format", "json", API_REVERSE_PROXY=address) as gateway:
        assert gateway.ask().status == 503
        gateway.stop()
    lines = [json.loads(line) for line in gateway.output if line.startswith("{")]
    assert any(line["event"] == "request failed" and line["status"] == 503 for line in lines)
