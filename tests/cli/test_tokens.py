"""``tokens``: on a data folder nobody holds, on the folder's gateway, and on one by URL."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.access_tokens import jwt
from support.gateway_process import (
    ADMIN_PASSWORD,
    clean_environment,
    command,
    gateway_process,
    run_command,
)
from support.scripted_backend import Play, Seen, html_play, json_play
from support.stage import Stage, backend_thread

if os.name == "posix":
    import pty


def listed(*where: str, data_dir: Path, **environment: str) -> list[dict[str, Any]]:
    done = run_command("tokens", "list", "--json", *where, data_dir=data_dir, **environment)
    assert done.returncode == 0, done.stderr
    tokens: list[dict[str, Any]] = json.loads(done.stdout)["tokens"]
    return tokens


# -- a folder nobody holds -------------------------------------------------------------------------


def test_a_token_is_added_listed_and_removed(empty: Path) -> None:
    """Masked throughout; the folder is made private; an id's beginning is enough."""
    token = jwt(time.time() + 86400 * 9, "ann@example.org")
    done = run_command("tokens", "add", "-", data_dir=empty, input=token)
    assert done.returncode == 0, done.stderr
    assert "Added 1 token" in done.stdout
    shown = run_command("tokens", "list", data_dir=empty).stdout
    assert "ann@example.org" in shown and "ready" in shown
    assert token not in shown
    [one] = listed(data_dir=empty)
    assert one["token"] == f"{token[:4]}…{token[-4:]}"
    again = run_command("tokens", "add", token, "--label", "mine", data_dir=empty)
    assert "1 there already; 1 now" in again.stdout
    done = run_command("tokens", "remove", one["id"][:6], "--yes", data_dir=empty)
    assert "Removed 1 token" in done.stdout
    assert listed(data_dir=empty) == []


def test_a_file_is_imported_with_a_summary(empty: Path, tmp_path: Path) -> None:
    """What is new, known, double and not taken, each named by its place; the code says so."""
    file = tmp_path / "tokens.txt"
    secret = "sk-abcdefghijklmnopqrstuvwxyz"
    file.write_text(f"tok-a\ntok-b # two\ntok-a\n{secret}\nann@example.org:password1\n")
    run_command("tokens", "add", "tok-b", data_dir=empty)
    done = run_command("tokens", "import", str(file), data_dir=empty)
    assert done.returncode == 1
    assert "Imported 1 new token" in done.stdout
    for part in ("1 there already", "1 twice in the file", "2 not taken", "2 tokens now"):
        assert part in done.stdout
    assert "line 4: it is an API key" in done.stderr
    assert "line 5: it looks like an e-mail address and password" in done.stderr
    assert secret not in done.stderr and "password1" not in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        '["tok-a", {"token": "tok-b", "puid": "user-x"}]',
        '{"ann@example.org": {"token": "tok-a"}, "bob": "tok-b"}',
        '{"access_tokens": {"ann@example.org": "tok-a", "bob": "tok-b"}}',
        '[{token:"tok-a"}, {token:"tok-b"}]',
        "tok-a,tok-b",
        "# mine\r\nBearer tok-a\r\n\r\ntok-b,0b6b54a5-4f5a-4c4e-9a34-111111111111\r\n",
    ],
)
def test_every_form_of_file_is_taken(empty: Path, content: str) -> None:
    """The forms people have, from standard input here."""
    done = run_command("tokens", "import", "-", "--json", data_dir=empty, input=content)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"] == 2


def test_replace_makes_them_the_whole_set(empty: Path) -> None:
    """Also the empty set, said explicitly; a file without a token changes nothing."""
    run_command("tokens", "import", "-", data_dir=empty, input="tok-a\ntok-b\n")
    done = run_command("tokens", "import", "-", "--replace", data_dir=empty, input='["tok-c"]')
    assert "Imported 1 new token" in done.stdout
    assert "2 removed; 1 token now" in done.stdout
    done = run_command("tokens", "import", "-", "--replace", data_dir=empty, input="sk-" + "a" * 30)
    assert done.returncode == 1 and "nothing was changed" in done.stderr
    assert len(listed(data_dir=empty)) == 1
    done = run_command("tokens", "import", "-", "--replace", data_dir=empty, input="[]")
    assert done.returncode == 0, done.stderr
    assert listed(data_dir=empty) == []


def test_what_the_files_hold_is_there_too(empty: Path) -> None:
    """``access_tokens.json`` and ACCESS_TOKENS are taken up as a start would."""
    empty.mkdir(mode=0o700)
    (empty / "access_tokens.json").write_text('["tok-a"]')
    assert len(listed(data_dir=empty, ACCESS_TOKENS="tok-b,tok-c")) == 3


def test_bad_words_on_the_command_line_are_told(empty: Path, tmp_path: Path) -> None:
    """Each with the right code, and nothing changed."""
    for arguments, code, words in (
        (("remove",), 2, "--all"),
        (("remove", "x", "--all"), 2, "not both"),
        (("remove", "nobody", "--yes"), 1, "'nobody'"),
        (("add", "sk-aaaaaaaaaaaaaaaaaaaaaaa"), 1, "it is an API key"),
        (("import", str(tmp_path / "nope")), 4, "cannot be read"),
        (("list", "--upstream", "nope"), 2, "there is: conversation"),
    ):
        done = run_command("tokens", *arguments, data_dir=empty)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_removing_asks_first(empty: Path) -> None:
    """Where nobody can be asked it refuses; a person may say no."""
    run_command("tokens", "add", "tok-a", "--label", "mine", data_dir=empty)
    done = run_command("tokens", "remove", "--all", data_dir=empty, input="")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert len(listed(data_dir=empty)) == 1


def test_many_tokens_are_imported_in_batches(empty: Path) -> None:
    """More than one batch; none is lost, and what fails is told in short."""
    lines = "\n".join([*(f"tok-{n}" for n in range(4500)), *["sk-" + "a" * 20] * 30])
    done = run_command("tokens", "import", "-", data_dir=empty, input=lines)
    assert done.returncode == 1
    assert "Imported 4500 new tokens" in done.stdout
    assert "and 10 more that were not taken" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="terminals of another kind")
def test_a_long_import_shows_a_bar_on_a_terminal(empty: Path, tmp_path: Path) -> None:
    """And only there."""
    file = tmp_path / "tokens.txt"
    file.write_text("\n".join(f"tok-{n}" for n in range(4500)))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("tokens", "import", str(file)),
        env=clean_environment(CHATGPT_TO_API_DATA_DIR=str(empty), TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:
        pass
    finally:
        os.close(master)
    assert process.wait(60) == 0
    assert b"Importing" in shown and "━".encode() in shown
    assert b"Imported 4500 new tokens" in shown


# -- check -----------------------------------------------------------------------------------------


def test_check_tells_expired_soon_and_opaque(empty: Path) -> None:
    """A hint from the token itself; the code says whether any cannot be used."""
    now = time.time()
    run_command("tokens", "add", jwt(now + 3600, "soon@x.org"), data_dir=empty)
    run_command("tokens", "add", "opaque-token", data_dir=empty)
    done = run_command("tokens", "check", "--json", data_dir=empty)
    assert done.returncode == 0, done.stderr
    assert {t["label"] or "opaque": t["verdict"] for t in json.loads(done.stdout)["tokens"]} == {
        "soon@x.org": "soon",
        "opaque": "good",
    }
    run_command("tokens", "add", jwt(now - 3600, "old@x.org"), data_dir=empty)
    done = run_command("tokens", "check", data_dir=empty)
    assert done.returncode == 1
    assert "bad" in done.stdout and "expired" in done.stdout


def test_a_live_check_asks_for_the_model_list_only(empty: Path) -> None:
    """Accepted, refused, and a backend that has no such list; never a question."""

    def script(seen: Seen) -> Play:
        assert (seen.method, seen.path) == ("GET", "/backend-api/models")
        if seen.token == "tok-good":
            return json_play({"models": []})
        if seen.token == "tok-bad":
            detail = {"message": "Your token has expired.", "code": "token_expired"}
            return json_play({"detail": detail}, 401)
        return html_play(404, "<html>not here</html>")

    with backend_thread(script) as backend:
        environment = {"API_REVERSE_PROXY": backend.url(), "ACCESS_TOKENS": "tok-good,tok-odd"}
        done = run_command("tokens", "check", "--live", data_dir=empty, **environment)
        assert done.returncode == 0, done.stderr
        assert "the backend accepts it" in done.stdout
        assert "has no model list" in done.stdout
        environment["ACCESS_TOKENS"] = "tok-good,tok-bad"
        done = run_command("tokens", "check", "--live", data_dir=empty, **environment)
        assert done.returncode == 1
        assert "the backend refuses it: Your token has expired." in done.stdout


def test_a_live_check_of_an_absent_backend_blames_no_token(empty: Path) -> None:
    """What could not be asked is unknown, and not well either."""
    done = run_command(
        "tokens",
        "check",
        "--live",
        data_dir=empty,
        API_REVERSE_PROXY="http://127.0.0.1:1/backend-api/conversation",
        ACCESS_TOKENS="tok-a",
    )
    assert done.returncode == 1
    assert "unknown" in done.stdout and "not reachable" in done.stdout


# -- a running gateway -----------------------------------------------------------------------------


def test_a_held_folder_is_changed_through_its_gateway(shared: Stage) -> None:
    """No password is needed on the folder itself; the change is in force at once."""
    shared.put_tokens("tok-a")
    assert shared.gateway.url("") in shared.run("tokens", "list").stdout
    assert "Added 1 token" in shared.run("tokens", "add", "tok-b", "--label", "bob").stdout
    done = shared.run("tokens", "import", "-", input='["tok-b", "tok-c", 5]')
    assert done.returncode == 1 and "[2]" in done.stderr
    views = shared.gateway.admin("GET", "/admin/tokens").json["tokens"]
    assert len(views) == 3
    assert "good" in shared.run("tokens", "check").stdout
    assert shared.run("tokens", "remove", "tok-nope", "-y").returncode == 1
    assert "1 token from" in shared.run("tokens", "remove", views[0]["id"], "-y").stdout
    assert "2 tokens from" in shared.run("tokens", "remove", "--all", "-y").stdout
    assert shared.gateway.admin("GET", "/admin/tokens").json["tokens"] == []


def test_what_comes_of_new_tokens_unasked_is_told(tmp_path: Path) -> None:
    """The gateway says where it will send questions now; the command hands that on."""
    folder = tmp_path / "data"
    address = "https://chatgpt.com/backend-api/conversation"
    with gateway_process(folder, EMBEDDED_MODEL="off") as gateway:
        assert gateway.port
        done = run_command("tokens", "add", "tok-a", data_dir=folder)
        assert done.returncode == 0 and "Added 1 token" in done.stdout
        assert done.stderr.startswith("Note: ") and address in done.stderr
        done = run_command("tokens", "import", "-", data_dir=folder, input='["tok-b"]')
        assert "Imported 1 new token" in done.stdout and f"{address}" in done.stderr
        done = run_command("tokens", "import", "-", "--json", data_dir=folder, input='["tok-b"]')
        assert address in json.loads(done.stdout)["note"]
        assert not done.stderr


def test_a_live_check_leaves_a_running_gateways_tokens_alone(shared: Stage) -> None:
    """It says what to do instead."""
    shared.put_tokens("tok-a")
    done = shared.run("tokens", "check", "--live")
    assert done.returncode == 4
    assert "running gateway" in done.stderr


def test_a_gateway_by_url_wants_its_password(shared: Stage, empty: Path) -> None:
    """From the option or ADMIN_PASSWORD; a wrong one is a refusal; the run key stays at home."""
    shared.put_tokens("tok-a", "tok-b")
    url = shared.gateway.url("")
    assert len(listed("--url", url, "--password", ADMIN_PASSWORD, data_dir=empty)) == 2
    assert len(listed("--url", url, data_dir=empty, ADMIN_PASSWORD=ADMIN_PASSWORD)) == 2
    done = run_command("tokens", "list", "--url", url, data_dir=empty)
    assert done.returncode == 2 and "ADMIN_PASSWORD" in done.stderr
    done = shared.run("tokens", "list", "--url", url, "--password", "wrong")
    assert done.returncode == 5 and "password" in done.stderr
    done = run_command(
        "tokens", "list", "--url", "http://127.0.0.1:1", "--password", "x", data_dir=empty
    )
    assert done.returncode == 4 and "nothing listens" in done.stderr
    assert not empty.exists()
