"""``doctor``: what it finds, what it says to do; it shows no secret and changes nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from chatgpt_to_api.cli.doctor import ask
from chatgpt_to_api.cli.probe import Answered, Prober
from chatgpt_to_api.config.settings import OFFICIAL_CONVERSATION_URL
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.local_model.model_file import GGUF_SIZE, model_path
from support.access_tokens import jwt
from support.gateway_process import run_command
from support.gemini.server import KEY as GEMINI_KEY
from support.gemini.server import Gemini
from support.ollama_server import OllamaServer
from support.scripted_backend import Play, html_play, json_play
from support.stage import Stage, backend_thread, missing_token

KEY = "sk-planted0123456789planted0123456789"


def examined(data_dir: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run it; return its code and its findings by what they are about."""
    defaults = {"EMBEDDED_MODEL": "off"}
    done = run_command("doctor", "--json", data_dir=data_dir, **{**defaults, **environment})
    report = json.loads(done.stdout)
    assert report["healthy"] == (done.returncode == 0)
    assert done.stderr == ""
    return done.returncode, {
        # the first about a thing, where there are several
        finding["about"]: finding
        for finding in reversed(report["findings"])
    }


def test_broken_settings_are_findings(empty: Path) -> None:
    """All of them; nothing else can be looked at then."""
    done = run_command("doctor", data_dir=empty, SERVER_PORT="x", API_RATE_LIMIT="often")
    assert done.returncode == 1
    assert "PROBLEM  config: SERVER_PORT" in done.stdout
    assert "API_RATE_LIMIT" in done.stdout
    assert "2 problems" in done.stdout


def test_a_folder_that_is_not_there_is_no_problem_and_is_not_made(empty: Path) -> None:
    """But that nothing can answer is one."""
    code, found = examined(empty)
    assert code == 1
    assert found["data folder"]["level"] == "note"
    assert found["upstreams"]["level"] == "problem"
    assert not empty.exists()


def test_a_folder_that_cannot_be_made_is_a_problem(empty: Path) -> None:
    """Said once, at the folder, not at each file that would stand in it."""
    empty.write_text("a file in its way")
    code, found = examined(empty, CHATGPT_TO_API_DATA_DIR=str(empty / "data"))
    assert code == 1
    assert found["data folder"]["level"] == "problem"
    assert f"{empty} is not a folder" in found["data folder"]["says"]
    assert "CHATGPT_TO_API_DATA_DIR" in found["data folder"]["advice"]
    assert found["key"]["level"] == "note"
    assert "api_keys.txt" not in found and "access_tokens.json" not in found


def test_a_token_file_that_is_named_and_missing_is_told(empty: Path) -> None:
    """The default one may be absent; one that somebody named is a slip of the pen."""
    _, found = examined(empty, ACCESS_TOKENS_FILE=str(empty / "tokens.txt"))
    assert found["tokens.txt"]["level"] == "warning"
    assert "ACCESS_TOKENS_FILE" in found["tokens.txt"]["says"]
    _, found = examined(empty)
    assert "access_tokens.json" not in found


def test_a_running_set_up_is_well(shared: Stage) -> None:
    """The conversation backend says that the token is missing; the pace and gateway are told."""
    shared.script = missing_token
    shared.put_tokens("tok-a")
    done = shared.run("doctor", API_RATE_LIMIT="5/10s")
    assert done.returncode == 0, done.stdout
    assert "Missing accessToken" in done.stdout and "works" in done.stdout
    assert "5/10s" in done.stdout
    assert "chats do not go on in its conversations (ENABLE_HISTORY is off)" in done.stdout
    assert shared.gateway.url("") in done.stdout
    assert "1 access token, 1 usable" in done.stdout
    asked = shared.backend.seen[-1]
    assert (asked.method, asked.body, asked.token) == ("POST", b"{}", "")


def test_another_gateway_of_ours_is_a_conversation_backend(shared: Stage, empty: Path) -> None:
    """One gateway may stand behind another."""
    url = shared.gateway.url("/backend-api/conversation")
    code, found = examined(empty, API_REVERSE_PROXY=url, ACCESS_TOKENS="tok-a")
    assert code == 0, found
    assert "Missing accessToken" in found["upstream conversation"]["says"]


async def test_where_tokens_go_to_the_official_address_the_way_out_is_told() -> None:
    """Nobody wrote that URL, so "check the URL" would be no advice."""
    refused = Answered("problem", "challenge page", "Use another proxy.")

    class Asked:
        async def conversation(self, upstream: UpstreamSettings) -> Answered:
            return refused

    prober = cast("Prober", Asked())
    official = UpstreamSettings("conversation", base_url=OFFICIAL_CONVERSATION_URL)
    other = UpstreamSettings("conversation", base_url="http://127.0.0.1:9/conversation")
    assert "API_REVERSE_PROXY" in (await ask(prober, official)).advice
    assert await ask(prober, other) == refused


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (lambda: json_play({"detail": {"message": "token is missing"}}, 401), "ok", "works"),
        (lambda: json_play({"detail": [{"msg": "field required"}]}, 422), "ok", "wants no token"),
        (lambda: html_play(403), "problem", "challenge page: this address is refused"),
        (lambda: html_play(503), "problem", "challenge page"),
        (lambda: html_play(404, "<html>nothing</html>"), "problem", "path looks wrong"),
        (lambda: html_play(405, "<html>nothing</html>"), "problem", "path looks wrong"),
        (lambda: html_play(200, "<html>hello</html>"), "problem", "challenge page: a web page"),
        (lambda: Play(pieces=[b"hello"], content_type="text/plain"), "warning", "no conversation"),
        (lambda: html_play(302, ""), "problem", "redirect"),
        (lambda: json_play({"detail": "oops"}, 500), "problem", "oops"),
        (
            lambda: json_play({"error": {"message": "no key", "type": "invalid_request"}}, 401),
            "warning",
            "OpenAI-compatible",
        ),
    ],
)
def test_each_answer_of_a_backend_has_its_verdict(
    tmp_path: Path, answer: Callable[[], Play], level: str, words: str
) -> None:
    """From the real answer of a real server."""
    with backend_thread(lambda seen: answer()) as backend:
        _, found = examined(tmp_path / "data", API_REVERSE_PROXY=backend.url())
    assert found["upstream conversation"]["level"] == level, found
    assert words in found["upstream conversation"]["says"]


def test_an_openai_server_is_asked_for_its_models(empty: Path) -> None:
    """With its key, which shows nowhere; a refused key is a problem."""
    with backend_thread(
        lambda seen: (
            json_play({"data": [{"id": "m"}]})
            if seen.token == KEY
            else json_play({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)
        )
    ) as backend:
        environment = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": KEY}
        code, found = examined(empty, **environment)
        assert code == 0
        assert "works, 1 model" in found["upstream openai"]["says"]
        assert backend.seen[-1].path == "/v1/models"
        code, found = examined(empty, **{**environment, "OPENAI_API_KEY": KEY[::-1]})
        assert code == 1
        assert "key is refused" in found["upstream openai"]["says"]
        assert KEY not in json.dumps(found) and KEY[::-1] not in json.dumps(found)


def test_a_key_that_a_server_repeats_does_not_show(empty: Path) -> None:
    """Not every vendor's keys have a form of their own, and what is told here gets into reports."""
    opaque = "0123456789abcdef0123456789abcdef"
    with backend_thread(
        lambda seen: json_play({"error": {"message": f"Wrong key {seen.token}"}}, 401)
    ) as backend:
        _, found = examined(empty, OPENAI_BASE_URL=backend.url("/v1"), OPENAI_API_KEY=opaque)
        assert backend.seen[-1].token == opaque
    assert "Wrong key …" in found["upstream openai"]["says"]


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (lambda: html_play(200), "problem", "challenge page: a web page"),
        (lambda: html_play(403), "problem", "challenge page: this address"),
        (lambda: json_play({"hello": 1}), "warning", "no list of models"),
    ],
)
def test_each_answer_of_an_openai_server_has_its_verdict(
    empty: Path, answer: Callable[[], Play], level: str, words: str
) -> None:
    """A page is no answer, whatever its status: the gateway would take it for a challenge."""
    with backend_thread(lambda seen: answer()) as backend:
        _, found = examined(empty, OPENAI_BASE_URL=backend.url("/v1"))
    assert found["upstream openai"]["level"] == level, found
    assert words in found["upstream openai"]["says"]


def test_an_ollama_server_is_asked_for_its_models(empty: Path) -> None:
    """With no key at all; what is none is told as such."""
    empty.mkdir(exist_ok=True)
    config = '[upstreams.home]\nkind = "ollama"\nbase_url = "{}"\n'
    with backend_thread(OllamaServer()) as backend:
        (empty / "config.toml").write_text(config.format(backend.url("")))
        code, found = examined(empty)
        assert code == 0, found
        assert "speaks Ollama's API: works, 4 models" in found["upstream home"]["says"]
        assert backend.seen[-1].path == "/api/tags"
        (empty / "config.toml").write_text(config.format(backend.url("/deeper")))
        _, found = examined(empty)
    assert found["upstream home"]["level"] == "warning"
    assert "the server's address" in found["upstream home"]["advice"]


def test_a_refresh_token_is_neither_spent_nor_sent(empty: Path) -> None:
    """A look must change nothing; a key beside it is tried as ever."""
    empty.mkdir(exist_ok=True)
    config = (
        '[upstreams.v]\nkind = "openai-responses"\nbase_url = "{url}"\ntoken_url = "{url}/token"\n'
        "api_keys = [{keys}]\n"
    )
    with backend_thread(lambda seen: json_play({"data": [{"id": "m"}]})) as backend:
        url = backend.url("/v1")
        (empty / "config.toml").write_text(config.format(url=url, keys='"refresh:rt-secret"'))
        code, found = examined(empty)
        assert (code, backend.seen) == (0, [])
        assert "refresh token" in found["upstream v"]["says"]
        keys = f'"refresh:rt-secret", "{KEY}"'
        (empty / "config.toml").write_text(config.format(url=url, keys=keys))
        _, found = examined(empty)
        assert [seen.token for seen in backend.seen] == [KEY]
        assert "works, 1 model" in found["upstream v"]["says"]
        assert "rt-secret" not in json.dumps(found)


def test_a_gemini_server_is_asked_for_its_models(empty: Path) -> None:
    """With its key in a header; a key that it refuses is told as such."""
    empty.mkdir(exist_ok=True)
    config = '[upstreams.google]\nkind = "gemini"\nbase_url = "{}"\napi_keys = ["{}"]\n'
    with backend_thread(Gemini()) as backend:
        (empty / "config.toml").write_text(config.format(backend.url("/v1beta"), GEMINI_KEY))
        code, found = examined(empty)
        assert code == 0, found
        assert "speaks Google's Gemini API: works, 2 models" in found["upstream google"]["says"]
        (empty / "config.toml").write_text(config.format(backend.url("/v1beta"), "AIzaPlanted"))
        code, found = examined(empty)
    assert code == 1
    assert "the key is refused" in found["upstream google"]["says"]
    assert "Planted" not in str(found)


def test_what_cannot_be_reached_says_why(empty: Path) -> None:
    """Refused, no such name."""
    for url, why in (
        ("http://127.0.0.1:1/conversation", "refused"),
        ("http://nowhere.invalid/conversation", "not found"),
    ):
        code, found = examined(empty, API_REVERSE_PROXY=url)
        assert code == 1
        assert why in found["upstream conversation"]["says"]


def test_the_folders_own_troubles_are_told(empty: Path) -> None:
    """Rights, a lost key, a foreign schema, lines of files; each with what to do."""
    run_command("tokens", "add", "tok-a", data_dir=empty)
    environment = {"API_REVERSE_PROXY": "http://127.0.0.1:1/conversation"}
    empty.chmod(0o755)
    (empty / "secret.key").chmod(0o644)
    (empty / "api_keys.txt").write_text("a key with spaces and \x01\n")
    (empty / "proxies.txt").write_text("ftp://x\nhttp://127.0.0.1:1\n")
    (empty / "access_tokens.json").write_text('["tok-a", 5]')
    _, found = examined(empty, **environment)
    assert "chmod 700" in found["data folder"]["advice"]
    assert "chmod 600" in found["key"]["advice"]
    assert "line 1" in found["proxies.txt"]["says"]
    assert found["access_tokens.json"]["level"] == "warning"
    assert "[1]: expected a token" in found["access_tokens.json"]["says"]
    assert "1 usable" in found["credentials of conversation"]["says"]

    database = empty / "chatgpt-to-api.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    _, found = examined(empty, **environment)
    assert found["store"]["level"] == "problem" and "newer" in found["store"]["says"]

    (empty / "secret.key").unlink()
    _, found = examined(empty, **environment)
    assert found["key"]["level"] == "problem" and "missing" in found["key"]["says"]

    database.write_bytes(b"not a database at all" * 100)
    _, found = examined(empty, **environment)
    assert found["store"]["level"] == "problem"


def test_credentials_that_need_care_are_named_masked(empty: Path) -> None:
    """Expired ones by their own word, before any start."""
    token = jwt(time.time() - 60, "old@x.org")
    with backend_thread(missing_token) as backend:
        code, found = examined(empty, API_REVERSE_PROXY=backend.url(), ACCESS_TOKENS=token)
    assert code == 1
    assert "0 usable" in found["credentials of conversation"]["says"]
    assert any("expired" in finding["says"] for finding in found.values())
    assert token not in json.dumps(found)
    assert not empty.exists()


def test_the_embedded_model_is_looked_at(empty: Path) -> None:
    """Not fetched is a note; a damaged file is a problem."""
    _, found = examined(empty, EMBEDDED_MODEL="auto")
    assert found["embedded model"]["level"] in ("note", "problem")
    path = model_path(empty)
    path.parent.mkdir(parents=True, mode=0o700)
    with path.open("wb") as file:
        file.truncate(GGUF_SIZE)
    _, found = examined(empty, EMBEDDED_MODEL="auto")
    assert found["embedded model"]["level"] == "problem"
