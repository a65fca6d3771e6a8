"""HTTP at its edges, by the installed command: what is wrong, too large, odd, or of a browser."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.gateway_process import Answer
from support.rig import Rig, rigging
from support.scripted_backend import conversation
from support.shared_rig import OpenScript, events_of, fresh, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 100_000
"""Largest request body of this gateway, bytes."""
PAGE = "https://app.example"
USER = {"role": "user", "content": "hello"}
QUESTION = json.dumps({"model": "gpt-4", "messages": [USER]})
DOOR = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    stage = OpenScript()
    stage.play(conversation("fine"))
    rig = rigging(tmp_path_factory.mktemp("edges") / "data")
    async with rig(stage, CHATGPT_TO_API_MAX_BODY=str(MOST), CORS_ALLOWED_ORIGINS=PAGE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


def check_error(answer: Answer, status: int) -> dict[str, str | None]:
    """Hold an answer against the shape of OpenAI's errors; return the error."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-request-id"]
    error: dict[str, str | None] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


async def talk(rig: Rig, data: bytes, *more: bytes) -> bytes:
    """Send raw bytes (a request asks for the connection's end) and read until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    try:
        for piece in (data, *more):
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


def request(method: str, path: str, body: str = "", *fields: str) -> bytes:
    """A request in bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *fields]
    if body:
        lines.append(f"content-length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


# -- wrong requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ("{broken", 400, None),
        ('{"model": "gpt-4", "stream": true', 400, None),
        ('{"model": "gpt-4", "stream": true}', 400, "messages"),
        ('{"model": "gpt-4", "stream": true, "messages": []}', 400, "messages"),
        ('{"model": "gpt-4", "stream": "yes", "messages": [{}]}', 400, None),
        ('{"model": 4, "stream": true, "messages": [{"role": "user"}]}', 400, None),
        (
            '{"model": "none", "stream": true, "messages": [{"role": "user", "content": "x"}]}',
            404,
            "model",
        ),
        ('{"model": "gpt-4", "messages": [{"role": "user", "content": "\xff"}]}', 400, None),
        ("[" * 10_000 + "]" * 10_000, 400, None),
    ],
)
async def test_a_wrong_request_gets_a_status_although_a_stream_was_asked_for(
    rig: Rig, body: str, status: int, param: str | None
) -> None:
    """No stream begins: the error is JSON with its status, and the backend hears nothing."""
    answer = await rig.fetch(DOOR, method="POST", body=body.encode("latin-1"))
    error = check_error(answer, status)
    if param is not None:
        assert error["param"] == param
    assert rig.backend.seen == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_at_the_door_is_a_405(rig: Rig, method: str) -> None:
    """The answer names what is taken."""
    answer = await rig.fetch(DOOR, method=method)
    error = check_error(answer, 405)
    assert "POST" in answer.headers["allow"]
    assert error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/models"), ("DELETE", "/ping"), ("PUT", "/"), ("POST", "/healthz")],
)
async def test_a_wrong_method_elsewhere_is_a_405(rig: Rig, method: str, path: str) -> None:
    """The small routes keep to the same shape."""
    answer = await rig.fetch(path, method=method)
    check_error(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing/here"),
        ("POST", "/v1/chat/completion"),
        ("POST", "/v1/nothing"),
        ("GET", "/admin/nothing"),
        ("GET", "/%2e%2e/etc/passwd"),
        ("GET", "/%E4%00%0d%0a"),
        ("GET", "/" + "x" * 5000),
    ],
)
async def test_an_unknown_path_is_a_404_in_openai_shape(rig: Rig, method: str, path: str) -> None:
    """Whatever is asked for, the answer says so, shortly."""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    raw = await talk(rig, head.encode("latin-1"))
    top, _, body = raw.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nx-request-id: " in top.lower()
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(body) < 1000


@pytest.mark.parametrize(
    ("method", "path", "right", "change", "shape"),
    [
        ("POST", "/v1/v1/messages?beta=true", "/v1/messages", "take '/v1' off", "anthropic"),
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions", "take '/v1' off", "openai"),
        ("GET", "/v1/v1/models", "/v1/models", "take '/v1' off", "openai"),
        ("GET", "/v1/api/tags", "/api/tags", "take '/v1' off", "ollama"),
        ("POST", "/api/api/chat", "/api/chat", "take '/api' off", "ollama"),
        ("POST", "/v1/v1beta/models/m:countTokens", "/v1beta/models/m:countTokens",
         "take '/v1' off", "gemini"),
        ("GET", "/v1beta/v1beta/models", "/v1beta/models", "take '/v1beta' off", "gemini"),
        ("POST", "/chat/completions", "/v1/chat/completions", "put '/v1' at the end", "openai"),
        ("POST", "/responses/", "/v1/responses", "put '/v1' at the end", "openai"),
        ("POST", "/models/m:generateContent", "/v1/models/m:generateContent",
         "put '/v1' at the end", "gemini"),
    ],
)  # fmt: skip
async def test_a_wrong_base_url_is_told_as_the_client_reads_it(
    rig: Rig, method: str, path: str, right: str, change: str, shape: str
) -> None:
    """Where the client went, where it should have gone, and what to change for that."""
    answer = await rig.fetch(path, method=method, body="{}" if method == "POST" else None)
    assert answer.status == 404, answer.text
    error = answer.json["error"]
    said = error if shape == "ollama" else error["message"]
    assert f"{path.partition('?')[0].rstrip('/')!r}, but at {right!r}: {change}" in said
    fields = {
        "openai": {"message", "type", "param", "code"},
        "anthropic": {"type", "message"},
        "gemini": {"code", "message", "status", "details"},
    }
    assert shape == "ollama" or set(error) == fields[shape]
    assert ("request-id" in answer.headers) is (shape == "anthropic")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/", 200), ("/v1/v1/nothing", 404), ("/messages/batches", 404)],
)
async def test_no_base_url_is_blamed_for_other_paths(rig: Rig, path: str, status: int) -> None:
    """What is served stays so, and what nobody can guess is just not there."""
    answer = await rig.fetch(path)
    assert answer.status == status
    assert "base URL" not in answer.text


@pytest.mark.parametrize("path", ["/api/show", "/v1/conversations", "/v1/responses/resp_1"])
async def test_a_wrong_method_names_the_path(rig: Rig, path: str) -> None:
    """A log of some program may show nothing but these words."""
    answer = await rig.fetch(path, method="PUT", body="{}")
    assert answer.status == 405
    assert f"{path} takes " in answer.text


async def test_a_model_that_is_not_there_is_a_404_that_lists_the_others(rig: Rig) -> None:
    """At the door and at ``/v1/models/{id}``."""
    error = check_error(await rig.ask(model="gtp-4"), 404)
    assert error["code"] == "model_not_found"
    assert "gpt-*" in str(error["message"])
    check_error(await rig.fetch("/v1/models/gtp-4"), 404)
    assert (await rig.fetch("/v1/models/gpt-4")).json["id"] == "gpt-4"


# -- compressed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [DOOR, "/v1/responses", "/v1/messages"])
async def test_a_compressed_question_is_answered(rig: Rig, path: str) -> None:
    """Agents compress long histories on their own; whoever keeps chats reads them too."""
    headers = {"Authorization": "Bearer me", "Content-Encoding": "gzip"}
    question = {**json.loads(QUESTION), "input": "hello", "max_tokens": 9}
    body = gzip.compress(json.dumps(question).encode())
    answer = await rig.fetch(path, method="POST", body=body, headers=headers)
    assert answer.status == 200, answer.text
    assert "fine" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        DOOR,
        "/v1/responses",
        "/v1/messages",
        "/api/chat",
        "/v1beta/models/gpt-4:generateContent",
        "/backend-api/conversation",
    ],
)
async def test_an_unknown_compression_is_named_at_every_door(rig: Rig, path: str) -> None:
    """It is not told as broken JSON, and the message says what can be sent instead."""
    headers = {"Authorization": "Bearer me", "Content-Encoding": "zstd"}
    answer = await rig.fetch(path, method="POST", body=b"\x28\xb5\x2f\xfd", headers=headers)
    assert answer.status == 415
    assert "'zstd'" in answer.text
    assert "gzip" in answer.text


# -- too much -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [DOOR, "/backend-api/conversation", "/admin/tokens", "/nothing"])
async def test_a_body_too_large_is_a_413_that_a_client_still_sending_reads(
    rig: Rig, path: str
) -> None:
    """A client that sends everything before it reads gets the answer, not a reset."""
    body = json.dumps(
        {"model": "gpt-4", "messages": [{"role": "user", "content": "x" * 5_000_000}]}
    )
    headers = {"Authorization": "Bearer TotallySecurePassword"}
    method = "PATCH" if path == "/admin/tokens" else "POST"
    answer = await rig.fetch(path, method=method, body=body, headers=headers)
    assert answer.status == 413
    assert answer.headers["x-request-id"]
    assert str(MOST) in answer.text or "large" in answer.text
    assert (await rig.ask()).status == 200


async def test_a_chunked_body_too_large_is_a_413(rig: Rig) -> None:
    """No length is announced: it is noticed while it comes."""
    piece = b"%x\r\n%b\r\n" % (50_000, b" " * 50_000)
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    raw = await talk(rig, head % DOOR.encode(), *([piece] * 40), b"0\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 413 ")
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"


async def test_a_body_of_just_the_limit_is_taken(rig: Rig) -> None:
    """The bound is a bound, not an estimate; a chunked body is as good as another."""
    fill = MOST - len(QUESTION)
    exact = QUESTION.replace("hello", "hello" + "x" * fill)
    assert len(exact) == MOST
    assert (await rig.fetch(DOOR, method="POST", body=exact)).status == 200
    raw = await talk(
        rig,
        request("POST", DOOR, "", "transfer-encoding: chunked", "connection: close"),
        *(b"%x\r\n%b\r\n" % (len(p), p) for p in (exact[:7].encode(), exact[7:].encode())),
        b"0\r\n\r\n",
    )
    assert raw.startswith(b"HTTP/1.1 200 ")


# -- every answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/ping"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/v1/models"),
        ("GET", "/v1/engines"),
        ("GET", "/favicon.ico"),
        ("GET", "/admin/tokens"),
        ("GET", "/backend-api/models"),
        ("GET", "/backend-api/nothing"),
        ("OPTIONS", DOOR),
        ("POST", "/backend-api/conversation"),
        ("POST", DOOR),
    ],
)
async def test_every_answer_has_its_own_request_id(rig: Rig, method: str, path: str) -> None:
    """Doors, small routes, admin and errors alike."""
    ids = {(await rig.fetch(path, method=method)).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2


async def test_a_stream_has_a_request_id_too(rig: Rig) -> None:
    """It stands in the head, beside the type of the stream."""
    answer = await rig.ask(stream=True)
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text_of(events_of(answer)) == "fine"


@pytest.mark.parametrize("path", ["/", "/ping", "/healthz", "/readyz", "/v1/models", "/v1/engines"])
async def test_head_is_get_without_its_body(rig: Rig, path: str) -> None:
    """Same status and length, no body, and the connection goes on."""
    got = await rig.fetch(path, headers={"Host": "localhost"})
    raw = await talk(rig, request("HEAD", path) + request("GET", "/ping", "", "connection: close"))
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % got.status)
    assert f"content-length: {len(got.body)}".encode() in head.lower()
    assert rest.startswith(b"HTTP/1.1 200 ")
    assert rest.endswith(b'{"message":"pong"}')


async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    """Two questions, a ping and an unknown path in one packet: four answers in that order."""
    raw = await talk(
        rig,
        request("POST", DOOR, QUESTION)
        + request("GET", "/ping")
        + request("POST", DOOR, QUESTION.replace("}]", '}], "stream": true'))
        + request("GET", "/nothing", "", "connection: close"),
    )
    marks = [raw.index(mark) for mark in (b'"chat.completion"', b"pong", b"[DONE]", b" 404 ")]
    assert marks == sorted(marks)
    assert raw.count(b"HTTP/1.1 ") == 4


# -- browsers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [DOOR, "/v1/models", "/backend-api/conversation"])
async def test_a_preflight_of_an_allowed_page_is_answered(rig: Rig, path: str) -> None:
    """Method and headers it asks for are granted, to that origin, without any key."""
    answer = await rig.fetch(
        path,
        method="OPTIONS",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        },
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]


async def test_an_allowed_page_may_read_answers_and_errors(rig: Rig) -> None:
    """Also of streams, and of what went wrong."""
    headers = {"Origin": PAGE}
    for answer in (
        await rig.ask(headers=headers),
        await rig.ask(headers=headers, stream=True),
        await rig.ask(headers=headers, model="gtp-4"),
        await rig.fetch("/v1/models", headers=headers),
    ):
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{PAGE}.evil.example"])
async def test_a_foreign_page_is_refused_and_reads_nothing(rig: Rig, origin: str) -> None:
    """Preflight and request: 403, no allowance, and nothing is spent."""
    preflight = await rig.fetch(
        DOOR,
        method="OPTIONS",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    check_error(preflight, 403)
    simple = await rig.ask(headers={"Origin": origin, "Content-Type": "text/plain"})
    check_error(simple, 403)
    for answer in (preflight, simple):
        assert "access-control-allow-origin" not in answer.headers
    assert rig.backend.seen == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api/nothing", "/v1beta/nothing", "/v1beta/tunedModels"])
async def test_an_unknown_path_is_told_as_the_api_it_is_below_tells_it(
    rig: Rig, method: str, path: str
) -> None:
    """Clients of Ollama and Gemini read no error of OpenAI's."""
    raw = await talk(
        rig, f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
    )
    top, _, body = raw.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 404 ")
    error = json.loads(body)["error"]
    if path.startswith("/v1beta/"):
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        error = error["message"]
    assert f"There is nothing at '{path}'" in error


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
@pytest.mark.parametrize("target", ["*", "http://"])
async def test_a_target_that_is_no_path_is_none_of_ours(rig: Rig, method: str, target: str) -> None:
    """Some monitors ask for ``OPTIONS *``, which is about a server as a whole."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status = int((await talk(rig, head.encode())).split(b" ", 2)[1])
    assert status < 500
