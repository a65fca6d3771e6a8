"""An OpenAI-compatible upstream that misbehaves, behind the relay lane."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.gateway_process import gateway_process
from support.rig import Rig
from support.scripted_backend import Play, Seen, chat_chunks, json_play, scripted_backend
from support.shared_rig import OpenScript, events_of, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "vendor": {"kept": True},
}
MODELS = json_play({"object": "list", "data": [{"id": "m1"}, {"id": "m2"}]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        return MODELS if seen.method == "GET" else script(seen)

    data = tmp_path_factory.mktemp("openai") / "data"
    async with scripted_backend(serve) as backend:
        with gateway_process(
            data,
            OPENAI_BASE_URL=backend.url("/v1"),
            OPENAI_API_KEY="sk-key-one,sk-key-two",
            CHATGPT_TO_API_HOLD="0.05",
            CHATGPT_TO_API_KEEP_ALIVE="0.1",
        ) as gateway:
            await backend.until(backend.listed)
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    reset = await shared.admin("POST", "/admin/tokens/reset?upstream=openai")
    assert reset.status == 200, reset.text
    shared.backend.seen.clear()
    return shared


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_stream_in_odd_pieces_arrives_byte_for_byte(
    rig: Rig, script: OpenScript, size: int
) -> None:
    """However the upstream cuts its bytes; comments of a pause may stand between events."""
    whole = b"".join(chat_chunks(["häl", "lo 👋", " data: [DONE]"], model="m1", x={"deep": [1]}))
    script.play(Play(pieces=[whole[i : i + size] for i in range(0, len(whole), size)]))
    answer = await rig.ask(model="m1", stream=True)
    kept = [e for e in answer.body.split(b"\n\n") if not e.startswith(b":")]
    assert b"\n\n".join(kept) == whole


async def test_a_whole_reply_is_untouched_although_a_conversation_field_is_unknown(
    rig: Rig, script: OpenScript
) -> None:
    """Not streamed: status, fields and values as the upstream said them."""
    script.play(json_play(WHOLE))
    answer = await rig.ask(model="m1", unknown={"a": 1})
    assert answer.json == WHOLE
    assert rig.backend.seen[-1].json["unknown"] == {"a": 1}


@pytest.mark.parametrize("end", ["close", "reset", "whole"])
async def test_a_stream_that_just_ends_is_an_error_event(
    rig: Rig, script: OpenScript, end: str
) -> None:
    """After content nothing is repeated: what was said, an error, and no ``[DONE]``."""
    script.play(Play(pieces=chat_chunks(["half"])[:2], end=end))  # type: ignore[arg-type]
    answer = await rig.ask(model="m1", stream=True)
    *chunks, failed = events_of(answer)
    assert text_of(chunks) == "half"
    assert failed["error"]["code"] == "upstream_truncated"
    assert "[DONE]" not in answer.text
    assert len(rig.backend.seen) == 1


async def test_a_whole_reply_that_is_cut_is_a_502(rig: Rig, script: OpenScript) -> None:
    """Half a JSON document is never an answer."""
    script.play(
        Play(pieces=[json.dumps(WHOLE).encode()[:50]], content_type="application/json", end="close")
    )
    answer = await rig.ask(model="m1")
    assert answer.status == 502
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "bad",
    [
        json_play({"error": {"message": "overloaded", "type": "server_error"}}, 500),
        Play(pieces=[b'data: {"error": {"message": "overloaded"}}\n\n']),
        Play(pieces=[b": thinking\n\n"], end="close"),
        Play(end="reset"),
    ],
    ids=["500", "error-in-200", "comment-then-cut", "reset"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_failure_before_content_is_tried_again(
    rig: Rig, script: OpenScript, bad: Play, stream: bool
) -> None:
    """Nothing has reached the client: the second call answers, and nothing shows of the first."""
    script.play([bad, Play(pieces=chat_chunks(["fine"])) if stream else json_play(WHOLE)])
    answer = await rig.ask(model="m1", stream=stream)
    assert answer.status == 200, answer.text
    assert "overloaded" not in answer.text
    assert ("fine" if stream else "hi") in answer.text
    assert len(rig.backend.seen) == 2


async def test_a_page_in_place_of_the_api_is_no_answer(rig: Rig, script: OpenScript) -> None:
    """HTML with status 200: a challenge or log-in page; it is named and not passed on."""
    script.play(Play(pieces=[b"<html>hello</html>"], content_type="text/html"))
    for stream, words in ((False, "web page"), (True, "challenge page")):
        answer = await rig.ask(model="m1", stream=stream)
        assert answer.status == 503
        assert words in answer.json["error"]["message"]
        assert "<html>" not in answer.text
    assert len(rig.backend.seen) == 1


@pytest.mark.parametrize("body", [{"detail": "Not Found"}, {}], ids=["FastAPI", "nothing"])
async def test_a_wrong_base_url_is_told_with_what_it_has_to_be(
    rig: Rig, script: OpenScript, body: dict[str, str]
) -> None:
    """Which upstream, what it said, how its URL has to be, and what examines it."""
    script.play(json_play(body, 404))
    answer = await rig.ask(model="m1")
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_wrong_path")
    message = answer.json["error"]["message"]
    for said in ("'openai'", "status 404", "the URL before /chat/completions", "doctor"):
        assert said in message


async def test_a_refused_key_gives_way_to_the_next(rig: Rig, script: OpenScript) -> None:
    """401: invalid until replaced, its reason kept; the other key answers this and what follows."""
    refusal = json_play({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401)
    script.play(lambda seen: refusal if seen.token == "sk-key-one" else json_play(WHOLE))
    for _ in range(3):
        assert (await rig.ask(model="m1")).status == 200
    assert rig.backend.tokens.count("sk-key-one") <= 1
    assert rig.backend.tokens.count("sk-key-two") == 3
    listed = await rig.admin("GET", "/admin/tokens?upstream=openai")
    assert sorted(c["state"] for c in listed.json["tokens"])[-1] == "ready"
    assert "sk-key" not in listed.text


async def test_the_upstreams_refusal_of_a_request_is_passed_on(
    rig: Rig, script: OpenScript
) -> None:
    """A 400 keeps its words, its param and its code, and is not tried again."""
    said = {"message": "top_k is not known", "type": "invalid_request_error", "param": "top_k"}
    script.play(json_play({"error": {**said, "code": "unknown_parameter"}}, 400))
    for stream in (False, True):
        answer = await rig.ask(model="m1", stream=stream, top_k=1)
        assert answer.status == 400
        error = answer.json["error"]
        assert "top_k is not known" in error["message"]
        assert error["param"] == "top_k"
        assert error["code"] == "unknown_parameter"
    assert len(rig.backend.seen) == 2


def asking(*, stream: bool) -> bytes:
    body = json.dumps(
        {"model": "m1", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


HANGING = {
    "before the head": Play(gate=asyncio.Event()),
    "before the content": Play(pieces=[b": thinking\n\n"], end="hang"),
    "amid the answer": Play(pieces=chat_chunks(["some", "more"], model="m1")[:2], end="hang"),
    "amid a whole answer": Play(pieces=[b'{"id": "x", "cho'], end="hang"),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("phase", HANGING)
async def test_who_leaves_a_kept_connection_leaves_nothing_behind(
    rig: Rig, script: OpenScript, phase: str, stream: bool
) -> None:
    """A connection's later requests are run without a task of their own; they end as well."""
    port = await asyncio.to_thread(lambda: rig.gateway.port)
    for _ in range(5):
        script.play(json_play(WHOLE))
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        for reader, writer in opened:
            for _ in range(2):
                writer.write(asking(stream=stream))
                await reader.readuntil(b"[DONE]\n\n\r\n0\r\n\r\n" if stream else b'"kept": true}}')
        script.play(HANGING[phase])
        for _, writer in opened:
            writer.write(asking(stream=stream))
        await rig.backend.until(lambda: rig.backend.running == 10)
        for _, writer in opened:
            writer.close()
        await rig.backend.until(lambda: rig.backend.running == 0)
    shown = await rig.admin("GET", "/admin/tokens?upstream=openai")
    assert [credential["in_flight"] for credential in shown.json["tokens"]] == [0, 0]
    script.play(json_play(WHOLE))
    assert (await rig.ask(model="m1")).json == WHOLE


async def test_the_upstreams_models_are_listed(rig: Rig) -> None:
    """``/v1/models`` shows what the upstream serves."""
    ids = {card["id"] for card in (await rig.fetch("/v1/models")).json["data"]}
    assert {"m1", "m2"} <= ids
