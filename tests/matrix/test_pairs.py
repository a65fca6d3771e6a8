"""Any door over any upstream: each pair, in each situation, has the outcome that is stated here."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import ModuleType

import pytest
import pytest_asyncio

from support.gateway_process import Answer, GatewayProcess, gateway_process
from support.pages import REPOSITORY
from support.scripted_backend import Play, ScriptedBackend, Seen, json_play, scripted_backend
from support.shared_rig import OpenScript
from support.speakers.anthropic import ANTHROPIC
from support.speakers.chat import CHAT
from support.speakers.gemini import GEMINI
from support.speakers.ollama import OLLAMA
from support.speakers.responses import RESPONSES
from support.speakers.scene import BUSY, PNG, TOOL, Call, Said, Scene, Speaker, Turn
from support.speakers.web import WEB


def _beside_the_pages(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"docs/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pair_rows = _beside_the_pages("pair_rows")

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOORS: tuple[Speaker, ...] = (CHAT, RESPONSES, ANTHROPIC, GEMINI, OLLAMA, WEB)
UPSTREAMS = DOORS

PARIS, OSLO = Call("call_1", "Paris"), Call("call_2", "Oslo")
HELLO = Turn("user", "Hello?")
ANSWER = Said("Hello there.")
ASKS = Turn("user", "How is the weather?")

GOOD = (
    Scene("text", (HELLO,), ANSWER),
    Scene(
        "system in the middle",
        (
            Turn("system", "Be brief."),
            HELLO,
            Turn("assistant", "Hello."),
            Turn("system", "Speak French."),
            Turn("user", "And now?"),
        ),
        ANSWER,
    ),
    Scene("image", (Turn("user", "What is this?", image=True),), Said("A pixel.")),
    Scene("one tool call", (ASKS,), Said(calls=(PARIS,), finish="calls"), tools=True),
    Scene("parallel tool calls", (ASKS,), Said(calls=(PARIS, OSLO), finish="calls"), tools=True),
    Scene(
        "tool results",
        (
            ASKS,
            Turn("assistant", calls=(PARIS, OSLO)),
            Turn("results", results=((PARIS, "It rains."), (OSLO, "It snows."))),
        ),
        Said("Rain and snow."),
        tools=True,
    ),
    Scene("reasoning", (HELLO,), Said("Hello there.", reasoning="They greet me.")),
    Scene("JSON schema", (ASKS,), Said('{"city": "Paris"}'), schema=True),
    Scene("length stop", (HELLO,), Said("Hello th", finish="length"), max_tokens=1000),
    Scene("refusal", (HELLO,), Said("I will not.", finish="refusal")),
)
BROKEN = (
    Scene("error before the content", (HELLO,), ANSWER, ending="error first"),
    Scene("error after the content", (HELLO,), ANSWER, ending="error after", stream=True),
    Scene("cut off", (HELLO,), ANSWER, ending="cut", stream=True),
    Scene("client gone", (HELLO,), ANSWER, ending="hang", stream=True),
)
SCENES = (
    *GOOD,
    *(replace(scene, stream=True) for scene in GOOD),
    *BROKEN,
    replace(BROKEN[0], stream=True),
)


def outcome(door: Speaker, upstream: Speaker, scene: Scene) -> str:
    """What the documents say becomes of a scene between these two."""
    return pair_rows.outcome(door.name, upstream.name, scene.name, streamed=scene.stream)


async def test_the_documents_speak_of_what_is_played() -> None:
    """Each dialect and each situation of their tables is here, and nothing else."""
    assert [speaker.name for speaker in DOORS] == list(pair_rows.DIALECTS)
    assert list(dict.fromkeys(scene.name for scene in SCENES)) == list(pair_rows.SITUATIONS)


class Pairs:
    """A gateway before one server of each dialect."""

    def __init__(
        self, gateway: GatewayProcess, backends: dict[str, tuple[ScriptedBackend, OpenScript]]
    ) -> None:
        self.gateway = gateway
        self.backends = backends

    def backend(self, upstream: Speaker, scene: Scene) -> ScriptedBackend:
        """The server of a dialect, which now plays a scene."""
        backend, script = self.backends[upstream.name]

        def play(seen: Seen) -> object:
            if seen.method == "GET":
                return json_play({}, 404)
            return upstream.play(scene, seen)

        script.play(play)  # type: ignore[arg-type]
        backend.seen.clear()
        return backend

    def asked(self, upstream: Speaker) -> list[Seen]:
        """What the server of a dialect was asked, but for its list of models."""
        return [seen for seen in self.backends[upstream.name][0].seen if seen.method == "POST"]

    async def forget(self, upstream: Speaker) -> None:
        """Have the gateway forget faults of other scenes."""
        path = f"/admin/tokens/reset?upstream={upstream.name}"
        reset = await asyncio.to_thread(self.gateway.admin, "POST", path)
        assert reset.status == 200, reset.text

    async def ask(self, door: Speaker, upstream: Speaker, scene: Scene) -> tuple[Answer, bool]:
        """Ask at a door; the answer, and whether it came whole."""
        return await asyncio.to_thread(self._ask, door, upstream, scene)

    def _ask(self, door: Speaker, upstream: Speaker, scene: Scene) -> tuple[Answer, bool]:
        asking = door.asking(scene, f"to-{upstream.name}")
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        with contextlib.closing(connection):
            headers = {"content-type": "application/json", **asking.headers}
            connection.request("POST", asking.path, json.dumps(asking.body), headers)
            reply = connection.getresponse()
            try:
                body, whole = reply.read(), True
            except http.client.IncompleteRead as cut:
                body, whole = cut.partial, False
            return Answer(reply.status, dict(reply.getheaders()), body), whole


def configuration(backends: dict[str, tuple[ScriptedBackend, OpenScript]]) -> str:
    """A server for each kind of upstream."""
    tables = []
    for speaker in UPSTREAMS:
        path = {"conversation": "/backend-api/conversation", "ollama": "", "gemini": "/v1beta"}.get(
            speaker.kind, "/v1"
        )
        key = "" if speaker is WEB else 'api_keys = ["sk-0123456789abcdef"]'
        tables.append(
            f"[upstreams.{speaker.name}]\n"
            f'kind = "{speaker.kind}"\n'
            f'base_url = "{backends[speaker.name][0].url(path)}"\n'
            f'models = ["to-{speaker.name}"]\n{key}\n'
        )
    return "\n".join(tables)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pairs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pairs]:
    """One gateway for all pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    async with contextlib.AsyncExitStack() as stack:
        backends = {}
        for speaker in UPSTREAMS:
            script = OpenScript()
            backend = await stack.enter_async_context(scripted_backend(script))
            script.play(json_play({}, 404))
            backends[speaker.name] = backend, script
        config = folder / "config.toml"
        config.write_text(configuration(backends))
        gateway = stack.enter_context(
            gateway_process(
                folder / "data",
                CHATGPT_TO_API_CONFIG=str(config),
                ACCESS_TOKENS="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln",
                CHATGPT_TO_API_MAX_ATTEMPTS="1",
                CHATGPT_TO_API_MAX_CONTINUATIONS="0",
            )
        )
        await asyncio.to_thread(lambda: gateway.port)
        yield Pairs(gateway, backends)


def cells(*scenes: Scene) -> pytest.MarkDecorator:
    """Every pair in every one of these scenes."""
    return pytest.mark.parametrize(
        ("door", "upstream", "scene"),
        [
            pytest.param(door, upstream, scene, id=name(door, upstream, scene))
            for door in DOORS
            for upstream in UPSTREAMS
            for scene in scenes
            if outcome(door, upstream, scene) not in ("not asked", "not said")
        ],
    )


def name(door: Speaker, upstream: Speaker, scene: Scene) -> str:
    return f"{door.name}-{upstream.name}-{scene.name}{', streamed' if scene.stream else ''}"


@cells(*(scene for scene in SCENES if scene.ending == "good"))
async def test_what_is_said_arrives(
    pairs: Pairs, door: Speaker, upstream: Speaker, scene: Scene
) -> None:
    """The request means the same to the upstream, and the answer the same to the client."""
    pairs.backend(upstream, scene)
    answer, whole = await pairs.ask(door, upstream, scene)
    assert whole
    if outcome(door, upstream, scene) == "refused":
        assert (answer.status, pairs.asked(upstream)) == (400, [])
        assert "image" in door.error(answer.body)
        return
    assert answer.status == 200, answer.text
    emulated = outcome(door, upstream, scene) == "emulated" and door is not WEB
    counted = door is ANTHROPIC and upstream is WEB  # its clients always give a length
    assert ("x-emulated" in answer.headers) == (emulated or counted)
    heard = door.hear(answer.body, stream=scene.stream)
    assert heard.whole
    assert not heard.error
    says = scene.says
    if scene.name == "refusal":
        # Responses servers refuse in words of a kind that only some dialects have, and end well;
        # Gemini's end badly, without a word of the model's.
        in_words = upstream is RESPONSES and door in (OLLAMA, WEB)
        assert heard.finish == ("stop" if in_words else "refusal")
        if upstream is GEMINI:
            assert "SAFETY" in heard.text or not heard.text
        else:
            assert heard.text == says.text
    elif scene.schema:
        assert json.loads(heard.text) == json.loads(says.text)
    else:
        assert heard.text == says.text
        assert heard.finish == says.finish
    assert heard.reasoning == ("" if door is WEB else says.reasoning)
    assert heard.calls == [(TOOL, call.arguments) for call in says.calls]
    [seen] = pairs.asked(upstream)
    check_what_was_asked(door, upstream, scene, seen, in_words=scene.schema and emulated)


def check_what_was_asked(
    door: Speaker, upstream: Speaker, scene: Scene, seen: Seen, *, in_words: bool
) -> None:
    told = upstream.told(seen)
    texts = [turn.text for turn in scene.turns if turn.text]
    if upstream is WEB:
        whole = "\n".join(text for _, text in told.texts)
        places = [whole.find(text) for text in texts]
        assert -1 not in places
        assert places == sorted(places)
        for text in ("It rains.", "It snows."):
            assert (text in whole) == (scene.name == "tool results")
        assert (TOOL in whole) == scene.tools
        return
    said = [text for _, text in told.texts]
    assert said[in_words:] == texts
    assert not in_words or "JSON Schema" in said[0]
    if scene.turns[0].role == "system":
        roles = [role for role, _ in told.texts]
        assert roles[0] in ("system", "developer")
        assert roles[3] not in ("assistant", "model")
    assert told.images == ([PNG] if scene.name == "image" else [])
    assert told.tools == ([TOOL] if scene.tools else [])
    assert told.results == [text for turn in scene.turns for _, text in turn.results]
    assert told.calls == [call.arguments for turn in scene.turns for call in turn.calls]
    assert told.schema == (scene.schema and not in_words)
    if scene.max_tokens is not None and door is not WEB:
        assert told.max_tokens == scene.max_tokens


@cells(*(scene for scene in SCENES if scene.ending == "error first"))
async def test_an_error_before_the_content_is_an_error_of_the_door(
    pairs: Pairs, door: Speaker, upstream: Speaker, scene: Scene
) -> None:
    """In the shape of the client's dialect, with the upstream's own words."""
    await pairs.forget(upstream)
    pairs.backend(upstream, scene)
    answer, whole = await pairs.ask(door, upstream, scene)
    assert whole
    assert answer.status >= 500
    assert BUSY in door.error(answer.body)


class Listener:
    """A client that reads a streamed reply as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._read = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def asking(
        cls, pairs: Pairs, door: Speaker, upstream: Speaker, scene: Scene
    ) -> AsyncIterator[Listener]:
        """Ask, and hang up at the end of the block."""
        asking = door.asking(scene, f"to-{upstream.name}")
        body = json.dumps(asking.body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", pairs.gateway.port)
        lines = [f"POST {asking.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in asking.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def until(self, text: bytes) -> None:
        """Read until a text has come."""
        async with asyncio.timeout(30):
            while text not in self._read:
                data = await self._reader.read(65536)
                assert data, f"it ended: {self._read!r}"
                self._read += data

    async def rest(self) -> tuple[bytes, bool]:
        """Read to the end; the whole body, and whether HTTP calls it whole."""
        async with asyncio.timeout(30):
            try:
                while data := await self._reader.read(65536):
                    self._read += data
            except ConnectionError:
                return self._body(), False
        return self._body(), self._read.endswith(b"0\r\n\r\n")

    def _body(self) -> bytes:
        body, rest = b"", self._read.partition(b"\r\n\r\n")[2]
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body


@cells(*(scene for scene in SCENES if scene.ending in ("error after", "cut")))
async def test_a_reply_that_breaks_is_not_a_good_one(
    pairs: Pairs, door: Speaker, upstream: Speaker, scene: Scene
) -> None:
    """What came stays; then there is the dialect's own error, and never its good end."""
    await pairs.forget(upstream)
    scene = replace(scene, heard=asyncio.Event())
    assert scene.heard is not None
    pairs.backend(upstream, scene)
    async with Listener.asking(pairs, door, upstream, scene) as client:
        await client.until(b"Hello")
        scene.heard.set()
        body, whole = await client.rest()
    heard = door.hear(body, stream=True)
    assert heard.text.startswith("Hello")
    assert not heard.whole
    assert heard.error or not whole
    if scene.ending == "error after" and heard.error:
        assert BUSY in heard.error


@cells(*(scene for scene in SCENES if scene.ending == "hang"))
async def test_a_client_that_goes_away_gives_its_lease_back(
    pairs: Pairs, door: Speaker, upstream: Speaker, scene: Scene
) -> None:
    """The upstream call ends at once, and the same credential answers the next one."""
    await pairs.forget(upstream)
    backend = pairs.backend(upstream, scene)
    gone = backend.hung_up
    async with Listener.asking(pairs, door, upstream, scene) as client:
        await client.until(b"Hello")
    await backend.until(lambda: backend.hung_up > gone)
    then = replace(scene, ending="good")
    pairs.backend(upstream, then)
    answer, whole = await pairs.ask(door, upstream, then)
    assert (answer.status, whole) == (200, True)


@pytest.mark.parametrize("speaker", [s for s in DOORS if s is not WEB], ids=lambda s: s.name)
@pytest.mark.parametrize("stream", [False, True])
async def test_its_own_dialect_goes_through_byte_for_byte(
    pairs: Pairs, speaker: Speaker, stream: bool
) -> None:
    """Fields that nobody here knows, order and spelling of the JSON, and the reply as it came."""
    scene = replace(GOOD[0], stream=stream)
    played: list[bytes] = []
    backend, script = pairs.backends[speaker.name]

    def play(seen: Seen) -> Play:
        made = speaker.play(scene, seen)
        pieces = [piece.replace(b"there", b"th\\u0065re") for piece in made.pieces]
        played[:] = pieces
        return replace(made, pieces=pieces)

    script.play(play)
    backend.seen.clear()
    asking = speaker.asking(scene, f"to-{speaker.name}")
    if speaker is CHAT and stream:  # else the gateway asks for it
        asking.body["stream_options"] = {"include_usage": True}
    odd = b'{"of_tomorrow" : {"a": [1.50, "\\u00e9"]}, '
    body = odd + json.dumps(asking.body).encode()[1:]
    headers = {"content-type": "application/json", **asking.headers}
    answer = await asyncio.to_thread(
        pairs.gateway.fetch, asking.path, method="POST", body=body, headers=headers
    )
    assert answer.status == 200, answer.text
    [seen] = backend.seen
    assert seen.body == body
    assert answer.body == b"".join(played)
