"""Every other endpoint, with real sockets: sizes, memory, hang-ups, credentials, the SDK."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from support.gateway_process import GatewayProcess, gateway_process
from support.proxies import HttpProxy
from support.rig import Rig
from support.scripted_backend import Play, ScriptedBackend, Seen, json_play
from support.shared_rig import OpenScript
from support.upload_server import PIECE, UploadServer, upload_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
[upstreams.plain]
kind = "openai"
base_url = "{plain}"

[upstreams.rich]
kind = "openai"
base_url = "{rich}"
api_keys = ["sk-rich-000000000000000001", "sk-rich-000000000000000002"]
endpoints = ["chat", "models", "embeddings", "audio", "images", "files", "batches", "big"]

[upstreams.big]
kind = "openai"
base_url = "{big}"
endpoints = ["uploads"]

[upstreams.listed]
kind = "openai"
base_url = "{listed}"
models = ["m*"]

[[routes]]
model = "my-voice"
candidates = [{{ upstream = "rich", model = "tts-9" }}]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def big() -> AsyncIterator[UploadServer]:
    async with upload_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript, big: UploadServer
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        models = {"data": [{"id": "m1", "context_length": 8192}, {"id": 7}, {"id": "m2"}]}
        return json_play(models) if seen.path.endswith("/models") else script(seen)

    data = tmp_path_factory.mktemp("passthrough") / "data"
    data.mkdir()
    async with ScriptedBackend(serve) as backend:
        config = CONFIG.format(
            plain="http://127.0.0.1:9/v1",
            rich=backend.url("/v1"),
            listed=backend.url("/listed/v1"),
            big=f"http://127.0.0.1:{big.port}/api/v1",
        )
        (data / "config.toml").write_text(config)
        with gateway_process(data, CHATGPT_TO_API_MAX_BODY="1000000") as gateway:
            await backend.until(lambda: backend.listed(2))
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    reset = await shared.admin("POST", "/admin/tokens/reset?upstream=rich")
    assert reset.status == 200, reset.text
    shared.backend.seen.clear()
    return shared


def sdk(rig: Rig) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=rig.gateway.url("/v1"), api_key="mine", max_retries=0)


def memory(gateway: GatewayProcess) -> int:
    """The most memory the process has ever held, bytes."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def post(
    rig: Rig, path: str, framing: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n"
    writer.write(f"{head}{framing}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upload_of_200_mb_is_never_held(
    rig: Rig, big: UploadServer, chunked: bool
) -> None:
    """It arrives byte for byte, beyond the limit for bodies that are held, in flat memory."""
    before = memory(rig.gateway)
    count = 200_000_000 // len(PIECE) if not chunked else 500
    size = count * len(PIECE)
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    reader, writer = await post(rig, "/v1/uploads/u/parts?part=1", framing)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(PIECE)
        writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    writer.close()
    seen = big.seen[-1]
    assert (seen.line, seen.size) == ("POST /api/v1/uploads/u/parts?part=1 HTTP/1.1", size)
    assert seen.digest == digest.hexdigest()
    assert memory(rig.gateway) - before < 12_000_000


async def test_a_download_of_200_mb_waits_for_its_reader(rig: Rig, big: UploadServer) -> None:
    """What the client does not take is not taken from the upstream either."""
    before = memory(rig.gateway)
    big.download = 3000 * len(PIECE)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    writer.write(b"GET /v1/uploads/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"content-type: application/octet-stream\r\n" in head
    assert f"content-length: {big.download}\r\n".encode() in head
    await asyncio.sleep(0.3)  # a relay that does not wait would now hold all of it
    left = big.download
    while left:
        left -= len(await reader.read(1 << 20))
    writer.close()
    assert memory(rig.gateway) - before < 12_000_000


async def test_a_client_that_hangs_up_ends_the_upload(rig: Rig, big: UploadServer) -> None:
    """At once, at the upstream too; half a body does not look whole."""
    big.hung_up.clear()
    big.arrived.clear()
    _, writer = await post(rig, "/v1/uploads/u/parts", "content-length: 100000000")
    writer.write(PIECE * 4)
    await writer.drain()
    await asyncio.wait_for(big.arrived.wait(), 10)
    writer.close()
    await asyncio.wait_for(big.hung_up.wait(), 10)
    assert not big.seen[-1].whole


async def test_the_sdk_transcribes_speaks_draws_and_keeps_files(
    rig: Rig, script: OpenScript, tmp_path: Path
) -> None:
    """Multipart untouched, binary replies as they are, errors as the SDK's own types."""

    def play(seen: Seen) -> Play:
        match seen.path:
            case "/v1/audio/transcriptions":
                return json_play({"text": "hello"})
            case "/v1/audio/speech":
                return Play(pieces=[b"ID3", b"\x00\xff"], content_type="audio/mpeg")
            case "/v1/images/generations":
                return json_play({"created": 1, "data": [{"b64_json": "eA=="}]})
            case "/v1/files":
                return json_play(
                    {
                        "id": "file-1",
                        "object": "file",
                        "bytes": 3,
                        "created_at": 1,
                        "filename": "a.jsonl",
                        "purpose": "batch",
                        "status": "processed",
                    }
                )
            case "/v1/files/file-1" if seen.method == "DELETE":
                return json_play({"id": "file-1", "object": "file", "deleted": True})
        body = {
            "error": {
                "message": "No such File object: x",
                "type": "invalid_request_error",
                "param": "id",
                "code": None,
            }
        }
        return json_play(body, 404, openai_version="2020-10-01")

    script.play(play)
    sound = bytes(range(256)) * 1000
    async with sdk(rig) as client:
        said = await client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", sound), language="en"
        )
        assert said.text == "hello"
        spoken = await client.audio.speech.create(model="my-voice", voice="alloy", input="hi")
        assert spoken.content == b"ID3\x00\xff"
        drawn = await client.images.generate(model="dall-e-3", prompt="a cat")
        assert drawn.data is not None and drawn.data[0].b64_json == "eA=="
        made = await client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError, match="No such File object") as missing:
            await client.files.retrieve("x")
        assert missing.value.param == "id"
        assert missing.value.response.headers["openai-version"] == "2020-10-01"
    seen = rig.backend.seen
    assert sound in seen[0].body and b'name="model"\r\n\r\nwhisper-1\r\n' in seen[0].body
    assert seen[1].json == {"model": "tts-9", "voice": "alloy", "input": "hi"}
    assert not any("mine" in str(request.headers) for request in seen)
    assert {request.token for request in seen} <= {
        "sk-rich-000000000000000001",
        "sk-rich-000000000000000002",
    }
    files = [request.token for request in seen if request.path.startswith("/v1/files")]
    assert len(files) == 3 and len(set(files)) == 1, "one account keeps a caller's files"


async def test_a_refused_key_is_replaced_by_the_next(rig: Rig, script: OpenScript) -> None:
    """Nothing was done, so a small request goes out again; the caller sees no word of a key."""
    refusal = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
    script.play([json_play(refusal, 401), json_play({"text": "hello"})])
    answer = await rig.fetch("/v1/audio/translations", method="POST", body='{"model": "w"}')
    assert (answer.status, answer.json) == (200, {"text": "hello"})
    assert len({request.token for request in rig.backend.seen}) == 2


async def test_a_relayed_reply_tells_who_answered(rig: Rig, script: OpenScript) -> None:
    """As a chat does: the upstream, and at which attempt."""
    script.play([json_play({"error": "busy"}, 429), json_play({"ok": True})])
    answer = await rig.fetch("/v1/batches/b-1")
    assert answer.json == {"ok": True}
    assert answer.headers["x-upstream"] == "rich"
    assert answer.headers["x-attempts"] == "2"


@pytest.mark.parametrize(("method", "calls"), [("POST", 1), ("GET", 3)])
async def test_only_what_is_safe_is_repeated_after_a_failure(
    rig: Rig, script: OpenScript, method: str, calls: int
) -> None:
    """A batch that may have been made is not made again."""
    script.play(json_play({"error": {"message": "oops"}}, 500))
    body = "{}" if method == "POST" else None
    answer = await rig.fetch("/v1/batches", method=method, body=body)
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_error")
    assert len([seen for seen in rig.backend.seen if seen.path == "/v1/batches"]) == calls


@pytest.mark.parametrize("size", [10, 200_000])
async def test_an_error_that_breaks_off_repeats_nothing(
    rig: Rig, script: OpenScript, size: int
) -> None:
    """Its status was there: the batch may have been made, and a streamed body is half gone."""
    script.play(Play(status=500, pieces=[b'{"error": '], end="close"))
    answer = await rig.fetch("/v1/batches", method="POST", body='"' + "x" * size + '"')
    assert answer.status == 502
    assert len([seen for seen in rig.backend.seen if seen.path == "/v1/batches"]) == 1


async def test_a_reply_that_breaks_off_is_cut(rig: Rig, script: OpenScript) -> None:
    """It must not look whole."""
    script.play(Play(pieces=[b"half"], content_type="audio/mpeg", end="close"))
    async with sdk(rig) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.audio.speech.create(model="x", voice="alloy", input="hi")


async def test_an_error_never_repeats_our_key(rig: Rig, script: OpenScript) -> None:
    """Though it is passed on as it is otherwise."""

    def echo(seen: Seen) -> Play:
        return json_play({"error": {"message": f"bad header Bearer {seen.token}"}}, 400)

    script.play(echo)
    answer = await rig.fetch("/v1/images/edits", method="POST", body="{}")
    assert answer.status == 400
    assert answer.json["error"]["message"] == "bad header Bearer …"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/moderations", 404, "endpoint_not_served"),
        ("/v1/chat/completions/abc", 404, "endpoint_not_served"),
        ("/v1/audio/%2e%2e/%2e%2e/admin", 404, "not_found"),
    ],
)
async def test_what_nobody_offers_is_a_404_that_says_so(
    rig: Rig, path: str, status: int, code: str
) -> None:
    """Before anything is sent anywhere."""
    answer = await rig.fetch(path, method="POST", body="{}")
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert rig.backend.seen == []


async def test_a_path_that_is_spelt_wrong_is_not_taken_for_an_endpoint(rig: Rig) -> None:
    """Adding "chat" to the endpoints would change nothing."""
    answer = await rig.fetch("/v1/chat/completion", method="POST", body="{}")
    assert (answer.status, answer.json["error"]["code"]) == (404, "endpoint_not_served")
    assert "below /v1/chat/: is it spelt right?" in answer.json["error"]["message"]


async def test_a_websocket_is_refused_at_once(rig: Rig) -> None:
    """With a 400 that says so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    writer.write(
        b"GET /v1/realtime?model=x HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n"
        b"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\n"
    )
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert b'"code":"websocket_unsupported"' in await reader.readuntil(b"}}")
    writer.close()


async def test_a_form_cannot_be_given_another_model(rig: Rig, script: OpenScript) -> None:
    """Multipart is untouched, so a route that renames cannot take it."""
    async with sdk(rig) as client:
        with pytest.raises(openai.BadRequestError, match="another name at its upstream"):
            await client.audio.transcriptions.create(model="my-voice", file=("a.wav", b"x"))
    assert rig.backend.seen == []


async def test_broken_json_cannot_be_given_another_model(rig: Rig) -> None:
    """The caller is told where it breaks, and nobody is asked."""
    deep = '{"model": "my-voice", "x": ' + "[" * 30_000
    for body in ('{"model": "my-voice", oops', '{"model": "my-voice"} {}', deep):
        answer = await rig.fetch("/v1/audio/speech", method="POST", body=body)
        code = "nested_too_deeply" if body is deep else "invalid_json"
        assert (answer.status, answer.json["error"]["code"]) == (400, code), body[:40]
    assert not [seen for seen in rig.backend.seen if seen.method == "POST"]


async def test_embeddings_go_to_the_upstream_that_has_them(rig: Rig, script: OpenScript) -> None:
    """Past the first one, which has none; base64 is the SDK's default, and stays."""
    vector = "AACAPwAAAEA="  # 1.0, 2.0
    reply = {
        "object": "list",
        "model": "e",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
    }
    script.play(json_play(reply))
    async with sdk(rig) as client:
        made = await client.embeddings.create(model="e", input=["a"], dimensions=2)
    assert made.data[0].embedding == [1.0, 2.0]
    asked = rig.backend.seen[0].json
    assert (asked["encoding_format"], asked["dimensions"]) == ("base64", 2)


async def test_the_model_list_has_context_lengths(rig: Rig) -> None:
    """Where the upstream says them; an odd entry hides no other."""
    cards: dict[str, Any] = {}
    async with asyncio.timeout(20):
        while "m1" not in cards:  # the lists are fetched after the start
            listed = await rig.fetch("/v1/models")
            cards = {card["id"]: card for card in listed.json["data"]}
    assert cards["m1"]["context_length"] == 8192
    assert "context_length" not in cards["m2"]
    assert (await rig.fetch("/v1/models/m1")).json == cards["m1"]


@pytest.mark.parametrize("place", ["query", "form", "json"])
async def test_a_models_name_that_is_too_long_is_refused(rig: Rig, place: str) -> None:
    """Not cut to a name that may be somebody's."""
    name = "m" * 257
    path, kind, body = "/v1/audio/x", "application/json", "{}"
    match place:
        case "query":
            path += f"?model={name}"
        case "form":
            kind = "multipart/form-data; boundary=b"
            head = 'content-disposition: form-data; name="model"'
            body = f"--b\r\n{head}\r\n\r\n{name}\r\n--b--\r\n"
        case _:
            body = f'{{"model": "{name}"}}'
    headers = {"content-type": kind}
    answer = await rig.fetch(path, method="POST", body=body, headers=headers)
    assert (answer.status, answer.json["error"]["param"]) == (400, "model"), answer.text
    assert "256 characters" in answer.json["error"]["message"]
    assert rig.backend.seen == []


async def test_a_proxy_that_wants_credentials_during_an_upload_is_left_alone(
    tmp_path: Path,
) -> None:
    """It is told as the proxy's failure, and the next upload goes out through another one."""
    data = tmp_path / "data"
    data.mkdir()
    with_password = HttpProxy(credentials="user:password")
    async with with_password, HttpProxy() as good, ScriptedBackend([json_play({"id": "f"})]) as far:
        proxies = (f"http://127.0.0.1:{proxy.port}\n" for proxy in (with_password, good))
        (data / "proxies.txt").write_text("".join(proxies))
        (data / "config.toml").write_text(
            f'[upstreams.far]\nkind = "openai"\nbase_url = "http://far.invalid:{far.port}/v1"\n'
            'api_keys = ["sk-far-0000000000000001"]\nendpoints = ["files"]\n'
        )
        with gateway_process(data) as gateway:
            rig = Rig(gateway, far)
            body = "x" * 200_000
            answers = [
                await rig.fetch("/v1/files", method="POST", body=body, timeout=60) for _ in range(2)
            ]
    assert [answer.status for answer in answers] == [502, 200], answers[0].text
    assert answers[0].json["error"]["code"] == "proxy_failed"
    assert len(with_password.asked) == 1
    assert [len(seen.body) for seen in far.seen] == [200_000]


async def test_what_only_the_embedded_model_could_serve_says_how(tmp_path: Path) -> None:
    """Nobody has embeddings while it is off; files it would not have either."""
    with gateway_process(tmp_path / "data", OPENAI_BASE_URL="http://127.0.0.1:9/v1") as gateway:
        told = {}
        for endpoint in ("embeddings", "files"):
            body = '{"model": "m", "input": "hi"}'
            answer = await asyncio.to_thread(
                gateway.fetch, f"/v1/{endpoint}", method="POST", body=body
            )
            assert answer.json["error"]["code"] == "endpoint_not_served"
            told[endpoint] = answer.json["error"]["message"]
    assert "EMBEDDED_MODEL=on" in told["embeddings"]
    assert "EMBEDDED_MODEL" not in told["files"]
