"""Stops, kills and starts: what outlives the process, and how a start can be refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from support.gateway_process import (
    ADMIN_PASSWORD,
    GatewayProcess,
    gateway_process,
    run_command,
    wait_until,
)
from support.rig import Rig, Rigging
from support.scripted_backend import (
    Play,
    Seen,
    conversation,
    conversation_events,
    json_play,
    scripted_backend,
)
from support.shared_rig import events_of, text_of

EXPIRED = json_play({"detail": {"message": "Token expired.", "code": "token_expired"}}, 401)
CAPPED = json_play(
    {"detail": {"message": "Too many.", "code": "model_cap_exceeded", "clears_in": 500}}, 429
)
DENIED = json_play({"detail": "This account has no access."}, 403)

# -- kill -9 --------------------------------------------------------------------------------------


async def test_states_and_their_reasons_outlive_a_kill(rigged: Rigging) -> None:
    """Invalid, cooling and cooling for a model: known again after ``kill -9``, none tried again."""
    bad = {"tok-expired": EXPIRED, "tok-capped": CAPPED, "tok-denied": DENIED}

    def script(seen: Seen) -> Play:
        return bad.get(seen.token, conversation("fine"))

    tokens = [*bad, "tok-good"]
    async with rigged(script, tokens=tokens, CHATGPT_TO_API_MAX_ATTEMPTS="9") as rig:
        assert (await rig.ask()).status == 200
        assert set(rig.backend.tokens) == set(tokens)
        before = {c["id"]: (c["state"], c["reason"], c["models"]) for c in await rig.credentials()}
        assert sorted(state for state, _, _ in before.values()) == [
            "cooling",
            "invalid",
            "ready",
            "ready",
        ]
        # States are written beside the requests; an answered admin request waits for none of them.
        async with asyncio.timeout(20):
            while await asyncio.to_thread(_states_on_disk, rig.gateway.data_dir) < 3:
                pass
        rig.gateway.kill()
        with gateway_process(
            rig.gateway.data_dir,
            API_REVERSE_PROXY=rig.backend.url(),
            ACCESS_TOKENS=",".join(tokens),
        ) as again:
            rig.gateway = again
            after = {c["id"]: (c["state"], c["reason"]) for c in await rig.credentials()}
            assert after == {id: (state, reason) for id, (state, reason, _) in before.items()}
            [model] = [c["models"][0] for c in await rig.credentials() if c["models"]]
            assert model["model"] == "gpt-3.5-turbo"
            assert model["until"] > time.time() + 300
            rig.backend.seen.clear()
            assert (await rig.ask()).status == 200
            assert rig.backend.tokens == ["tok-good"]
            reset = await rig.admin("POST", "/admin/tokens/reset")
            assert reset.status == 200
            assert await rig.states() == {"ready": 4}
            again.kill()
        with gateway_process(
            rig.gateway.data_dir,
            API_REVERSE_PROXY=rig.backend.url(),
            ACCESS_TOKENS=",".join(tokens),
        ) as third:
            rig.gateway = third
            assert await rig.states() == {"ready": 4}


def _states_on_disk(data_dir: Path) -> int:
    import sqlite3

    [database] = data_dir.glob("*.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master")]
        [table] = [name for name in tables if "state" in name and not name.startswith("sqlite")]
        [(count,)] = connection.execute(f"select count(*) from {table}")
        return int(count)


async def test_a_set_password_outlives_a_kill_until_the_variable_changes(rigged: Rigging) -> None:
    """PATCH /admin/password holds over ``kill -9``; a new ADMIN_PASSWORD takes over."""
    async with rigged([conversation("ok")]) as rig:
        changed = await rig.admin("PATCH", "/admin/password", {"password": "a new one, long"})
        assert changed.status == 200
        rig.gateway.kill()

        def status(gateway: GatewayProcess, password: str) -> int:
            return gateway.fetch("/admin/tokens", headers={"Authorization": password}).status

        folder = rig.gateway.data_dir
        with gateway_process(folder) as again:
            assert await asyncio.to_thread(status, again, "a new one, long") == 200
            assert await asyncio.to_thread(status, again, ADMIN_PASSWORD) == 401
            again.kill()
        with gateway_process(folder, ADMIN_PASSWORD="another one, long") as third:
            assert await asyncio.to_thread(status, third, "another one, long") == 200
            assert await asyncio.to_thread(status, third, "a new one, long") == 401


async def test_a_second_gateway_on_the_folder_is_refused(rigged: Rigging) -> None:
    """It says who holds the folder and ends with 4; the first one goes on; a kill frees it."""
    async with rigged([conversation("ok")]) as rig:
        folder = rig.gateway.data_dir
        second = await asyncio.to_thread(
            run_command, "serve", data_dir=folder, SERVER_PORT="0", EMBEDDED_MODEL="off"
        )
        assert second.returncode == 4
        assert str(folder) in second.stderr
        assert str(rig.gateway.process.pid) in second.stderr
        assert "Traceback" not in second.stderr
        assert (await rig.ask()).status == 200
        rig.gateway.kill()
        with gateway_process(folder, API_REVERSE_PROXY=rig.backend.url()) as third:
            assert await asyncio.to_thread(lambda: third.port)


async def test_secrets_lie_in_the_folder_sealed_and_private(rigged: Rigging) -> None:
    """No token in plain text in any file; the files are the owner's alone."""
    token = "eyJplaintexttoken.AAAAAAAAAAAA.BBBBBBBBBBBB"
    async with rigged([conversation("ok")], tokens=[]) as rig:
        puid = "user-plaintextpuid"
        await rig.admin("PATCH", "/admin/tokens", [{"token": token, "puid": puid}])
        await rig.admin("PATCH", "/admin/openai", {"official_api_key": "sk-plaintextkey"})
        rig.gateway.stop()
        for path in rig.gateway.data_dir.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                for secret in (token, puid, "sk-plaintextkey", ADMIN_PASSWORD):
                    assert secret.encode() not in content, path
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE(rig.gateway.data_dir.stat().st_mode) & 0o077 == 0


# -- stopping -------------------------------------------------------------------------------------


async def _began(rig: Rig, reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"first")


async def test_a_running_stream_ends_well_after_sigterm(rigged: Rigging) -> None:
    """The drain: the answer in the works is finished, newcomers are refused, the code is 0."""
    gate = asyncio.Event()
    play = Play(pieces=conversation_events(["first ", "second"]), gates={1: gate})
    async with rigged([play]) as rig, rig.stream() as (reader, _):
        await _began(rig, reader)
        rig.gateway.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", rig.gateway.port)) != 0

        await asyncio.to_thread(wait_until, refused)
        gate.set()
        rest = await reader.read()
        assert b"second" in rest
        assert b"data: [DONE]\n\n" in rest
        assert await asyncio.to_thread(rig.gateway.process.wait, 20) == 0


async def test_after_the_drain_time_a_stream_is_told_why_it_is_cut(rigged: Rigging) -> None:
    """An error as its last event, no ``[DONE]``; the upstream's call is ended."""
    play = Play(pieces=conversation_events(["first"])[:1], end="hang")
    async with (
        rigged([play], CHATGPT_TO_API_DRAIN="0.3") as rig,
        rig.stream() as (reader, _),
    ):
        await _began(rig, reader)
        rig.gateway.process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(reader.read(), 20)
        assert b"[DONE]" not in rest
        last = rest.rpartition(b"data: ")[2].partition(b"\n\n")[0]
        assert json.loads(last)["error"] == {
            "message": "The gateway is stopping.",
            "type": "server_error",
            "param": None,
            "code": "service_unavailable",
        }
        await rig.backend.until(lambda: rig.backend.running == 0)
        assert await asyncio.to_thread(rig.gateway.process.wait, 20) == 0


async def test_a_second_signal_cuts_at_once(rigged: Rigging) -> None:
    """Somebody who presses Ctrl-C twice does not wait out the drain."""
    play = Play(pieces=conversation_events(["first"])[:1], end="hang")
    async with (
        rigged([play], CHATGPT_TO_API_DRAIN="600") as rig,
        rig.stream() as (reader, _),
    ):
        await _began(rig, reader)
        rig.gateway.process.send_signal(signal.SIGINT)

        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", rig.gateway.port)) != 0

        await asyncio.to_thread(wait_until, refused)
        assert rig.gateway.process.poll() is None
        await asyncio.to_thread(wait_until, lambda: "another signal cuts them" in rig.gateway.text)
        rig.gateway.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(rig.gateway.process.wait, 20)
        assert "Traceback" not in rig.gateway.text


# -- starting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVER_PORT", "eighty"),
        ("SERVER_PORT", "70000"),
        ("SERVER_HOST", "http://127.0.0.1"),
        ("API_REVERSE_PROXY", "127.0.0.1:9000/conversation"),
        ("API_REVERSE_PROXY", "ftp://x/conversation"),
        ("API_RATE_LIMIT", "5 per minute"),
        ("ENABLE_HISTORY", "perhaps"),
        ("http_proxy", "gopher://proxy:1"),
        ("CHATGPT_TO_API_QUEUE_WAIT", "-1"),
        ("CHATGPT_TO_API_READ_TIMEOUT", "nan"),
        ("CHATGPT_TO_API_REQUEST_DEADLINE", "0"),
        ("EMBEDDED_MODEL", "maybe"),
        ("ACCESS_TOKENS", "good,bad token"),
        ("OPENAI_BASE_URL", "api.example.com"),
        ("CORS_ALLOWED_ORIGINS", "app.example"),
        ("CHATGPT_TO_API_CONFIG", "/nowhere/at/all.toml"),
    ],
)
def test_a_wrong_variable_is_named_and_stops_the_start(
    tmp_path: Path, name: str, value: str
) -> None:
    """Exit code 3, one line that names the variable, and nothing listens or is written."""
    variables = {"SERVER_PORT": "0", "EMBEDDED_MODEL": "off"} | {name: value}
    done = run_command("serve", data_dir=tmp_path / "data", **variables)
    assert done.returncode == 3, done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ("[limits]\nqueue_wait = 'x'", "limits.queue_wait"),
        ("[server]\nprot = 1", "server.prot"),
        ("[upstreams.up]\nbase_url = 'http://x/v1'", "upstreams.up.kind"),
        ("[upstreams.up]\nkind = 'openai'", "upstreams.up.base_url"),
        ("[upstreams.up]\nkind = 'smtp'\nbase_url = 'http://x'", "upstreams.up.kind"),
        (
            "[upstreams.up]\nkind = 'openai'\nbase_url = 'http://x/v1'\npuid = 'u'",
            "upstreams.up.puid",
        ),
        (
            "[upstreams.conversation]\nbase_url = 'http://x/c'\nrate_limits = ['5/0s']",
            "upstreams.conversation.rate_limits",
        ),
        ("[[routes]]\nmodel = 'x'\ncandidates = [{upstream = 'none'}]", "none"),
        ("[[routes]]\nmodel = 'x'\ncandidates = []", "routes[0].candidates"),
        (
            "[upstreams.up]\nkind = 'openai'\nbase_url = 'http://x/v1'\napi_keys = ['env:NO_SUCH']",
            "NO_SUCH",
        ),
        ("[server\nport = 1", "config.toml"),
    ],
)
def test_a_wrong_key_of_the_file_is_named_and_stops_the_start(
    tmp_path: Path, toml: str, key: str
) -> None:
    """Exit code 3 and the key with its tables, as it stands in the file."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.toml").write_text(toml)
    done = run_command("serve", data_dir=data, SERVER_PORT="0", EMBEDDED_MODEL="off")
    assert done.returncode == 3, done.stderr
    assert key in done.stderr
    assert "Traceback" not in done.stderr


def test_every_wrong_setting_is_told_at_once(tmp_path: Path) -> None:
    """Nobody mends a configuration one start at a time; secrets among them are not repeated."""
    done = run_command(
        "serve",
        data_dir=tmp_path / "data",
        SERVER_PORT="x",
        API_RATE_LIMIT="y",
        ACCESS_TOKENS="hush hush",
        http_proxy="gopher://me:hunter2@proxy:1",
    )
    assert done.returncode == 3
    for name in ("SERVER_PORT", "API_RATE_LIMIT", "ACCESS_TOKENS", "http_proxy"):
        assert name in done.stderr
    assert "hush" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_port_in_use_is_told_and_the_code_is_4(tmp_path: Path) -> None:
    """No trace of the program, but what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command(
            "serve", data_dir=tmp_path / "data", SERVER_PORT=str(port), EMBEDDED_MODEL="off"
        )
    assert done.returncode == 4
    assert str(port) in done.stderr
    assert "SERVER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_empty_variables_count_as_not_set(tmp_path: Path) -> None:
    """``docker-compose`` sets every variable it lists, most of them to nothing."""
    names = (
        *("API_REVERSE_PROXY", "PUID", "ACCESS_TOKENS", "ACCESS_TOKENS_FILE", "ENABLE_HISTORY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "API_RATE_LIMIT", "SERVER_HOST"),
        *("OPENAI_BASE_URL", "OPENAI_API_KEY", "API_KEYS", "OFFICIAL_API_KEY", "SECRET_KEY"),
        *("CORS_ALLOWED_ORIGINS", "ALLOW_CALLER_TOKENS", "CHATGPT_TO_API_CONFIG"),
        *("CHATGPT_TO_API_QUEUE_WAIT", "CHATGPT_TO_API_LOG_LEVEL"),
    )
    with gateway_process(tmp_path / "data", **dict.fromkeys(names, "")) as gateway:
        assert gateway.fetch("/ping").json == {"message": "pong"}
        assert "warning" not in gateway.text


def test_the_environment_wins_over_the_file_and_dotenv(tmp_path: Path) -> None:
    """TOML < ``.env`` < environment; PORT counts where SERVER_PORT is not set."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.toml").write_text(
        "[server]\nport = 1\napi_keys = ['from-toml']\nmax_body = 77\n"
    )
    (tmp_path / ".env").write_text("PORT=0\nAPI_KEYS=from-dotenv\n")
    with gateway_process(data, API_KEYS="from-env", SERVER_PORT="") as gateway:

        def status(key: str) -> int:
            return gateway.fetch("/v1/models", headers={"Authorization": f"Bearer {key}"}).status

        assert [status(k) for k in ("from-env", "from-dotenv", "from-toml")] == [200, 401, 401]
        too_large = gateway.ask("x" * 100, headers={"Authorization": "Bearer from-env"})
        assert too_large.status == 413


def test_the_start_is_told_in_at_most_a_dozen_lines(tmp_path: Path) -> None:
    """Whatever is configured and wrong: listening, upstreams, credentials, warnings, the curl."""
    data = tmp_path / "data"
    data.mkdir()
    upstreams = "\n".join(
        f"[upstreams.vendor{i}]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:9/v{i}'"
        for i in range(9)
    )
    (data / "config.toml").write_text(
        f"{upstreams}\n[upstreams.conversation]\nbase_url = 'http://127.0.0.1:9/c'\n"
    )
    (data / "proxies.txt").write_text("nonsense\n" * 30)
    (data / "access_tokens.json").write_text(json.dumps(["token-one", *[5] * 30]))
    with gateway_process(data, ADMIN_PASSWORD="", SERVER_HOST="0.0.0.0") as gateway:
        assert gateway.fetch("/ping").status == 200
        gateway.stop()
        # Behind these lines comes the log of what runs: upstreams that do not answer, say.
        printed = [line for line in gateway.text.splitlines() if " INFO " not in line]
        assert len(printed) <= 12, gateway.text
        assert "0.0.0.0" in printed[0]
        assert "admin password" in gateway.text
        assert "without client keys" in gateway.text
        assert "vendor0 (openai): no key, ready" in gateway.text
        assert any(line.strip().startswith("curl ") for line in printed)
        assert "token-one" not in gateway.text


def test_the_official_address_is_used_where_only_tokens_are_given(tmp_path: Path) -> None:
    """Seen in the configuration alone: nothing is sent there."""
    done = run_command("config", "show", data_dir=tmp_path / "data", ACCESS_TOKENS="eyJhbXXX")
    assert done.returncode == 0, done.stderr
    with gateway_process(tmp_path / "data", ACCESS_TOKENS="eyJhbXXX") as gateway:
        status = gateway.admin("GET", "/admin/status")
        [upstream] = [u for u in status.json["upstreams"] if u["upstream"] == "conversation"]
        assert upstream["total"] == 1
        assert "upstream conversation" in gateway.text


# -- speed and size -------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_start_is_quick_and_small(tmp_path: Path) -> None:
    """The first ping for little work, however busy the machine is, and RSS under 80 MB."""
    with gateway_process(
        tmp_path / "data", API_REVERSE_PROXY="http://127.0.0.1:9/c", ACCESS_TOKENS="a-token"
    ) as gateway:
        assert gateway.fetch("/ping").status == 200
        assert cpu(gateway.process.pid) < 5  # about 1
        assert rss(gateway.process.pid) < 80


def cpu(pid: int) -> float:
    """What a process has worked so far, seconds."""
    _, _, numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    user, system = numbers.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_long_streams_do_not_pile_up(rigged: Rigging) -> None:
    """200 streams of a megabyte each, twenty at a time, leave the gateway as small as before."""
    piece = "memory " * 1200
    deltas = [piece] * 120
    pieces = v1_events(deltas)
    assert sum(map(len, pieces)) > 1_000_000
    tokens = [f"token-{i}" for i in range(20)]
    async with rigged([Play(pieces=pieces)], tokens=tokens) as rig:
        pid = rig.gateway.process.pid

        async def round() -> None:
            answers = await asyncio.gather(*(rig.ask(stream=True) for _ in range(20)))
            assert all(len(a.body) > 1_000_000 for a in answers)
            assert all(a.body.endswith(b"data: [DONE]\n\n") for a in answers)

        assert text_of(events_of(await rig.ask(stream=True))) == piece * 120
        await round()
        first = rss(pid)
        for _ in range(9):
            await round()
        assert rss(pid) - first < 60


def v1_events(deltas: list[str]) -> list[bytes]:
    """A ``delta_encoding v1`` reply of these pieces."""
    message = {
        "id": "9e3b6c0d-f815-4d72-a09c-4b5e7f2d1a68",
        "author": {"role": "assistant", "name": None, "metadata": {}},
        "content": {"content_type": "text", "parts": [""]},
        "status": "in_progress",
        "end_turn": None,
        "metadata": {"model_slug": "gpt-5-2"},
        "recipient": "all",
        "channel": "final",
    }
    root = {"message": message, "conversation_id": "6c40d7a8-92e1-8320-b5f6-1d8e3c0a7b94"}
    found = [b'event: delta_encoding\ndata: "v1"\n\n']

    def delta(**data: object) -> None:
        found.append(b"event: delta\ndata: " + json.dumps(data).encode() + b"\n\n")

    delta(p="", o="add", v=root, c=0)
    for text in deltas:
        delta(p="/message/content/parts/0", o="append", v=text)
    delta(
        p="",
        o="patch",
        v=[
            {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
            {"p": "/message/end_turn", "o": "replace", "v": True},
        ],
    )
    found.append(b"data: [DONE]\n\n")
    return found


async def test_no_configured_backend_is_called_before_somebody_asks(tmp_path: Path) -> None:
    """A start costs the backend nothing: no probe, no token spent."""
    async with scripted_backend([conversation("ok")]) as backend:
        with gateway_process(
            tmp_path / "data", API_REVERSE_PROXY=backend.url(), ACCESS_TOKENS="a-token"
        ) as gateway:
            assert (await asyncio.to_thread(gateway.fetch, "/v1/models")).status == 200
            assert (await asyncio.to_thread(gateway.fetch, "/readyz")).status == 200
        assert backend.seen == []
