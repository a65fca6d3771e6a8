"""Fetching pictures for upstreams that cannot: within bounds, and not from anywhere inside."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai_chat.door import DOOR, ChatAsked
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.delivery import Delivery
from chatgpt_to_api.gateway.pictures import MAX_PICTURE, MAX_PICTURES, MAX_TOGETHER, Pictures
from chatgpt_to_api.gateway.question import Question
from chatgpt_to_api.telemetry.records import RequestRecord
from chatgpt_to_api.transport.client import HttpClient
from chatgpt_to_api.wire.addresses import is_public
from chatgpt_to_api.wire.http import RequestHead
from support.gateway_process import gateway_process
from support.recorded_exchange import RecordedExchange
from support.rig import Rig
from support.scripted_backend import Play, Seen, chat_chunks, json_play, scripted_backend

HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


def play(body: bytes, status: int = 200, **headers: str) -> Play:
    return Play(
        status=status, pieces=[body], content_type="text/plain", headers=list(headers.items())
    )


PLAYS = {
    "/png": play(PNG),
    "/page": play(b"<html>"),
    "/gone": play(b"", 404),
    "/moved": play(b"", 302, location="/png"),
    "/huge": Play(pieces=[PNG, *[b"x" * 2**20] * (MAX_PICTURE // 2**20)]),
    "/large": Play(pieces=[PNG, *[b"x" * 2**20] * (MAX_PICTURE // 2**20 - 1)]),
    "/cut": Play(pieces=[PNG], end="reset"),
}


def serve(seen: Seen) -> Play:
    return PLAYS[seen.path.partition("?")[0]]


def asking(*urls: str) -> ChatAsked:
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    return DOOR.ask(HEAD, json.dumps(body).encode())


def pictures(*, public_only: bool) -> Pictures:
    loop = asyncio.get_running_loop()
    allowed = is_public if public_only else (lambda _: True)
    return Pictures(loop, HttpClient(loop, max_idle=0, allowed=allowed))


async def inlined(*urls: str, public_only: bool = False) -> list[str]:
    deadline = asyncio.get_running_loop().time() + 20
    asked = await pictures(public_only=public_only).inlined(asking(*urls), deadline)
    sent = json.loads(asked.relayed("m", ask_usage=False))
    return [part["image_url"]["url"] for part in sent["messages"][0]["content"]]


async def refusal(*urls: str, public_only: bool = False) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        await inlined(*urls, public_only=public_only)
    assert caught.value.code == "image_not_fetched"
    return caught.value


async def test_a_picture_becomes_data_of_the_type_it_really_has() -> None:
    """Once for each URL, with nothing of the caller's sent along."""
    async with scripted_backend(serve) as server:
        url = server.url("/png")
        data = "data:image/png;base64," + base64.b64encode(PNG).decode()
        assert await inlined(url, url) == [data, data]
        [seen] = server.seen
    assert set(seen.headers) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/page", "no PNG"),
        ("/gone", "status 404"),
        ("/moved", "status 302"),
        ("/huge", f"larger than {MAX_PICTURE} bytes"),
        ("/cut", "closed"),
    ],
)
async def test_what_is_no_picture_within_bounds_is_refused(path: str, words: str) -> None:
    """Pages, redirects, what is too large, what breaks off: the field is named."""
    async with scripted_backend(serve) as server:
        error = await refusal(server.url("/png"), server.url(path))
    assert error.param == "messages[0].content[1].image_url.url"
    assert words in error.message or path == "/cut"


async def test_all_pictures_together_are_bounded() -> None:
    """Each is small enough, and they would still take all memory there is."""
    async with scripted_backend(serve) as server:
        two = [server.url("/large?1"), server.url("/large?2")]
        assert len(await inlined(*two)) == 2
        error = await refusal(*two, server.url("/large?3"))
    assert f"larger than {MAX_TOGETHER} bytes" in error.message


async def test_parts_that_ask_at_once_share_what_is_fetched() -> None:
    """A request whose choices are asked one by one fetches its pictures once."""
    async with scripted_backend(serve) as server:
        asked = asking(server.url("/png"))
        exchange, loop = RecordedExchange(b""), asyncio.get_running_loop()
        question = Question(
            exchange,
            asked,
            Caller(),
            Delivery(exchange, DOOR, asked, lambda: Stamp("id", 0)),
            RequestRecord(request_id="r", door=DOOR.dialect, model="m", client=""),
            LimitSettings(),
            loop.time(),
            loop,
        )
        fetching = pictures(public_only=False)
        await asyncio.gather(*[fetching.show(question) for _ in range(4)])
        assert len(server.seen) == 1
    assert b"data:image/png;base64," in question.asked.relayed("m", ask_usage=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1"])
async def test_an_address_inside_is_never_called(host: str) -> None:
    """However it is written, no connection is made."""
    async with scripted_backend(serve) as server:
        error = await refusal(f"http://{host}:{server.port}/png", public_only=True)
        assert not server.seen
    assert "not on the public internet" in error.message


async def test_more_pictures_than_are_fetched_are_refused_unfetched() -> None:
    """The first one too many is named."""
    urls = [f"http://127.0.0.1:9/{number}" for number in range(MAX_PICTURES + 1)]
    error = await refusal(*urls)
    assert error.param == f"messages[0].content[{MAX_PICTURES}].image_url.url"


async def test_the_gateway_fetches_only_where_it_is_told_to(tmp_path: Path) -> None:
    """Off, the URL goes on; on, a private address is a 400 and nobody is asked anything."""

    def script(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"object": "list", "data": []})
        return Play(pieces=chat_chunks(["Hi"]))

    data = tmp_path / "data"
    data.mkdir()
    async with scripted_backend(script) as backend:
        (data / "config.toml").write_text(
            f'[upstreams.plain]\nkind = "openai"\nbase_url = "{backend.url("/v1")}"\n'
            'models = ["plain"]\n'
            f'[upstreams.blind]\nkind = "openai"\nbase_url = "{backend.url("/v1")}"\n'
            'models = ["blind"]\nfetch_images = true\n'
        )
        with gateway_process(data) as gateway:
            rig = Rig(gateway, backend)
            url = backend.url("/secret.png")
            content = [{"type": "image_url", "image_url": {"url": url}}]
            messages = [{"role": "user", "content": content}]
            passed = await rig.ask(model="plain", stream=True, messages=messages)
            assert passed.status == 200
            [seen] = [seen for seen in backend.seen if seen.method == "POST"]
            assert seen.json["messages"] == messages
            backend.seen.clear()
            refused = await rig.ask(model="blind", stream=True, messages=messages)
            assert refused.status == 400
            error = refused.json["error"]
            assert error["code"] == "image_not_fetched"
            assert error["param"] == "messages[0].content[0].image_url.url"
            parts = [{"fileData": {"fileUri": url}}]
            gemini = await rig.fetch(
                "/v1beta/models/blind:generateContent",
                method="POST",
                body=json.dumps({"contents": [{"parts": parts}]}),
            )
            assert gemini.status == 400
            assert "'contents[0].parts[0].fileData.fileUri'" in gemini.json["error"]["message"]
            assert not [seen for seen in backend.seen if "models" not in seen.path]
