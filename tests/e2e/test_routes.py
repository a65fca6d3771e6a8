"""Routes from outside: who is asked, in which order, with what, and what the client is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import (
    ADMIN_PASSWORD,
    Answer,
    GatewayProcess,
    gateway_process,
    run_command,
)
from support.rig import Rig
from support.scripted_backend import (
    Play,
    Script,
    ScriptedBackend,
    Seen,
    chat_chunks,
    conversation,
    json_play,
    scripted_backend,
)
from support.shared_rig import OpenScript, events_of

UPSTREAMS = """
[upstreams.a]
kind = "openai"
base_url = "{a}"
api_keys = ["sk-key-of-upstream-a"]
models = ["only-a"]
{more}

[upstreams.b]
kind = "openai"
base_url = "{b}"
models = ["only-b"]
"""

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def says(text: str) -> Script:
    """An OpenAI-compatible server with one answer, streaming or not."""

    def script(seen: Seen) -> Play:
        if seen.method == "GET":
            return json_play({"data": []})
        if seen.json.get("stream"):
            return Play(pieces=chat_chunks([text]))
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json_play(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
        )

    return script


def fails(play: Play) -> Script:
    """A server that answers every question like this."""
    return lambda seen: json_play({"data": []}) if seen.method == "GET" else play


DOWN = fails(json_play({"error": {"message": "Hmm", "type": "server_error"}}, 500))


def limited(seconds: int) -> Script:
    """A server that wants a pause."""
    return fails(json_play({"error": {"message": "slow down"}}, 429, retry_after=str(seconds)))


class Two(Rig):
    """A gateway with a route over two upstreams, a and b; each plays what the test says."""

    def __init__(
        self, gateway: GatewayProcess, a: ScriptedBackend, b: ScriptedBackend, plays: Any
    ) -> None:
        super().__init__(gateway, a)
        self.a, self.b = a, b
        self.play_a, self.play_b = (script.play for script in plays)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies a and b were asked with."""
        return [s.json for s in (*self.a.seen, *self.b.seen) if s.method == "POST"]

    def count(self, backend: ScriptedBackend) -> int:
        return len([seen for seen in backend.seen if seen.method == "POST"])


@contextlib.asynccontextmanager
async def two(
    tmp_path: Path, routes: str, more: str = "", **environment: str
) -> AsyncIterator[Two]:
    scripts = OpenScript(), OpenScript()
    for script, name in zip(scripts, "ab", strict=True):
        script.play(says(name))
    async with scripted_backend(scripts[0]) as a, scripted_backend(scripts[1]) as b:
        config = tmp_path / "c.toml"
        config.write_text(
            UPSTREAMS.format(a=a.url("/v1"), b=b.url("/v1"), more=more)
            + routes.format(a=a.url(), b=b.url())
        )
        with gateway_process(
            tmp_path / "data", CHATGPT_TO_API_CONFIG=str(config), **environment
        ) as gateway:
            await asyncio.to_thread(lambda: gateway.port)
            yield Two(gateway, a, b, scripts)


BOTH = """
[[routes]]
model = "both"
aliases = ["other-*"]
candidates = [{{ upstream = "a", model = "model-a" }}, {{ upstream = "b" }}]
"""


@pytest.mark.parametrize("stream", [False, True])
async def test_every_answer_names_its_upstream_model_and_attempts(
    tmp_path: Path, stream: bool
) -> None:
    """The first answers; when it fails the second, with two attempts; when both do, the last."""
    async with two(tmp_path, BOTH) as rig:
        first = await rig.ask(model="both", stream=stream)
        assert (first.headers["x-upstream"], first.headers["x-upstream-model"]) == ("a", "model-a")
        assert first.headers["x-attempts"] == "1"
        assert "x-credential" not in first.headers
        rig.play_a(DOWN)
        second = await rig.ask(model="other-1", stream=stream)
        assert (second.headers["x-upstream"], second.headers["x-upstream-model"]) == (
            "b",
            "other-1",
        )
        assert second.headers["x-attempts"] == "3"  # twice a, the last attempt was kept for b
        rig.play_b(DOWN)
        neither = await rig.ask(model="both", stream=stream)
        assert neither.status == 502
        assert (neither.headers["x-upstream"], neither.headers["x-attempts"]) == ("b", "3")


async def test_an_administrator_sees_whose_credential_answered(tmp_path: Path) -> None:
    """The password in a header of its own; a wrong one is refused, and no upstream sees it."""
    async with two(tmp_path, BOTH) as rig:
        shown = await rig.ask(model="both", headers={"X-Admin-Authorization": ADMIN_PASSWORD})
        label = shown.headers["x-credential"]
        assert label.startswith("a ") and "sk-key-of-upstream-a" not in label
        wrong = await rig.ask(model="both", headers={"X-Admin-Authorization": "guess"})
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "invalid_admin_password")
        assert rig.count(rig.a) == 1
        assert ADMIN_PASSWORD not in str(rig.a.seen)


async def test_parameters_are_sent_unless_the_client_gave_them(tmp_path: Path) -> None:
    """In both lanes: the client's own dialect, and the conversation protocol's."""
    routes = """
[[routes]]
model = "cool"
candidates = [{{ upstream = "b", model = "m", parameters = {{ temperature = 0.2, seed = 7 }} }}]
"""
    async with two(tmp_path, routes) as rig:
        await rig.ask(model="cool", seed=1)
        message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["q"]}}
        asked = {"action": "next", "messages": [message], "model": "cool"}

        answer = await rig.fetch(
            "/backend-api/conversation",
            method="POST",
            body=json.dumps(asked),
            headers={"Authorization": "Bearer somebody"},
        )
        assert answer.status == 200, answer.text
        assert [(b["model"], b["temperature"], b["seed"]) for b in rig.asked] == [
            ("m", 0.2, 1),
            ("m", 0.2, 7),
        ]


async def test_a_route_has_its_own_times(tmp_path: Path) -> None:
    """A silent upstream is given up after the route's silence, and its deadline holds over all."""
    routes = """
[[routes]]
model = "hasty"
read_timeout = 0.2
candidates = [{{ upstream = "a" }}, {{ upstream = "b" }}]

[[routes]]
model = "short"
request_deadline = 0.4
candidates = [{{ upstream = "a" }}]
"""
    async with two(tmp_path, routes) as rig:
        rig.play_a(fails(Play(end="hang")))
        hasty = await rig.ask(model="hasty")
        assert (hasty.status, hasty.headers["x-upstream"]) == (200, "b")
        short = await rig.ask(model="short")
        assert short.status == 504
        assert "deadline" in short.json["error"]["message"]


async def test_a_weight_of_zero_answers_only_when_the_other_fails(tmp_path: Path) -> None:
    """The strategy reaches the engine, and fallback works under it."""
    routes = """
[[routes]]
model = "w"
strategy = "weighted"
candidates = [{{ upstream = "a", weight = 0 }}, {{ upstream = "b", weight = 2 }}]
"""
    async with two(tmp_path, routes) as rig:
        assert {(await rig.ask(model="w")).headers["x-upstream"] for _ in range(5)} == {"b"}
        rig.play_b(DOWN)
        assert (await rig.ask(model="w")).headers["x-upstream"] == "a"


async def test_the_fastest_is_learned_from_first_contents(tmp_path: Path) -> None:
    """A server that lets the first content wait loses the streams to the other."""
    routes = """
[[routes]]
model = "fast"
strategy = "lowest_latency"
candidates = [{{ upstream = "a" }}, {{ upstream = "b" }}]
"""
    async with two(tmp_path, routes) as rig:
        gate = asyncio.Event()
        rig.play_a(fails(Play(pieces=chat_chunks(["slow"]), gates={1: gate})))
        loop = asyncio.get_running_loop()
        answers = []
        for _ in range(6):
            gate.clear()
            loop.call_later(0.3, gate.set)
            answers.append(await rig.ask(model="fast", stream=True))
        # Each is tried once, for nothing is known of it; then it is always b.
        assert [answer.headers["x-upstream"] for answer in answers].count("a") == 1


async def test_the_least_busy_is_asked(tmp_path: Path) -> None:
    """While one holds a request, the next goes to the other."""
    routes = """
[[routes]]
model = "idle"
strategy = "least_busy"
candidates = [{{ upstream = "a" }}, {{ upstream = "b" }}]
"""
    async with two(tmp_path, routes) as rig:
        gates = {"a": asyncio.Event(), "b": asyncio.Event()}
        rig.play_a(fails(Play(pieces=chat_chunks(["a"]), gate=gates["a"])))
        rig.play_b(fails(Play(pieces=chat_chunks(["b"]), gate=gates["b"])))
        held = asyncio.create_task(rig.ask(model="idle", stream=True))
        await asyncio.wait(
            [
                asyncio.create_task(rig.a.until(lambda: rig.count(rig.a) == 1)),
                asyncio.create_task(rig.b.until(lambda: rig.count(rig.b) == 1)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        busy = "a" if rig.count(rig.a) else "b"
        other = "b" if busy == "a" else "a"
        gates[other].set()
        for _ in range(4):
            assert (await rig.ask(model="idle", stream=True)).headers["x-upstream"] == other
        gates[busy].set()
        assert (await held).headers["x-upstream"] == busy


OFFERED = 'endpoints = ["chat", "models", "audio"]\n'


async def speak(rig: Rig, model: str) -> Answer:
    """Ask at an endpoint that has no door of its own."""
    body = json.dumps({"model": model, "input": "Hello"})
    return await rig.fetch("/v1/audio/speech", method="POST", body=body)


def sounds(**fields: Any) -> Play:
    """What a server says at an endpoint that the gateway only passes on."""
    return Play(content_type="audio/wav", **{"pieces": [b"RI", b"FF"], **fields})


async def test_a_strategy_holds_where_requests_are_passed_on(tmp_path: Path) -> None:
    """By weight, by load, and by the first content, as in chats."""
    ways = {"by-chance": "weighted", "idle": "least_busy", "fast": "lowest_latency"}
    routes = OFFERED + "".join(
        f'''
[[routes]]
model = "{model}"
strategy = "{strategy}"
candidates = [{{{{ upstream = "a", weight = 0 }}}}, {{{{ upstream = "b" }}}}]
'''
        for model, strategy in ways.items()
    )
    async with two(tmp_path, routes, OFFERED) as rig:

        async def who(model: str) -> str:
            answer = await speak(rig, model)
            assert answer.status == 200, answer.text
            return answer.headers["x-upstream"]

        gate = asyncio.Event()
        rig.play_a(fails(sounds(gates={0: gate})))
        rig.play_b(fails(sounds()))
        assert {await who("by-chance") for _ in range(5)} == {"b"}

        loop = asyncio.get_running_loop()
        answers = []
        for _ in range(6):
            gate.clear()
            loop.call_later(0.3, gate.set)
            answers.append(await who("fast"))
        # Each is tried once, for nothing is known of it; then it is always b.
        assert answers.count("a") == 1

        gates = {"a": asyncio.Event(), "b": asyncio.Event()}
        before = {"a": rig.count(rig.a), "b": rig.count(rig.b)}
        rig.play_a(fails(sounds(gate=gates["a"])))
        rig.play_b(fails(sounds(gate=gates["b"])))
        held = asyncio.create_task(who("idle"))
        await asyncio.wait(
            [
                asyncio.create_task(rig.a.until(lambda: rig.count(rig.a) > before["a"])),
                asyncio.create_task(rig.b.until(lambda: rig.count(rig.b) > before["b"])),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        busy = "a" if rig.count(rig.a) > before["a"] else "b"
        other = "b" if busy == "a" else "a"
        gates[other].set()
        assert {await who("idle") for _ in range(4)} == {other}
        gates[busy].set()
        assert await held == busy


async def test_a_routes_times_hold_where_requests_are_passed_on(tmp_path: Path) -> None:
    """Its silence, its deadline, and how long it lets a request wait for its turn."""
    routes = (
        OFFERED
        + """
[[routes]]
model = "hasty"
read_timeout = 0.2
candidates = [{{ upstream = "a" }}, {{ upstream = "b" }}]

[[routes]]
model = "short"
request_deadline = 0.4
candidates = [{{ upstream = "a" }}]

[[routes]]
model = "impatient"
queue_wait = 0
candidates = [{{ upstream = "a" }}]
"""
    )
    async with two(tmp_path, routes, OFFERED + "max_concurrency = 1\n") as rig:
        rig.play_a(lambda _: Play(gate=asyncio.Event()))
        hasty = await rig.fetch("/v1/audio/voices?model=hasty")  # a GET may be repeated elsewhere
        assert (hasty.status, hasty.headers["x-upstream"]) == (200, "b")
        short = await speak(rig, "short")
        assert short.status == 504
        assert "deadline" in short.json["error"]["message"]

        gate = asyncio.Event()
        rig.play_a(fails(sounds(gate=gate)))
        before = rig.count(rig.a)
        held = asyncio.create_task(speak(rig, "only-a"))
        await rig.a.until(lambda: rig.count(rig.a) > before)
        refused = await speak(rig, "impatient")
        assert refused.status == 429
        gate.set()
        assert (await held).status == 200


async def test_an_image_goes_to_who_can_see_it(tmp_path: Path) -> None:
    """The first is passed over without a call; where none can, each reason is said."""
    routes = """
[upstreams.conversation]
base_url = "{a}"

[[routes]]
model = "sees"
candidates = [{{ upstream = "conversation" }}, {{ upstream = "b" }}]

[[routes]]
model = "blind"
candidates = [{{ upstream = "conversation" }}, {{ upstream = "a" }}]
"""
    more = 'capabilities = ["tools"]\ncontext_length = 2048'
    async with two(tmp_path, routes, more, ACCESS_TOKENS="tok-a") as rig:
        content = [{"type": "text", "text": "what is this?"}, IMAGE]
        seen = await rig.ask(model="sees", messages=[{"role": "user", "content": content}])
        assert (seen.headers["x-upstream"], seen.headers["x-attempts"]) == ("b", "1")
        blind = await rig.ask(model="blind", messages=[{"role": "user", "content": content}])
        assert blind.status == 400
        error = blind.json["error"]
        assert error["param"] == "messages[0].content[1]"
        assert "upstream conversation: cannot see images" in error["message"]
        assert "upstream a: cannot see images" in error["message"]
        assert rig.count(rig.a) == 0
        long = await rig.ask("word " * 9000, model="only-a")
        assert (long.status, long.json["error"]["code"]) == (400, "context_length_exceeded")
        assert "context of 2048 tokens, about 9000 asked" in long.json["error"]["message"]


async def test_what_a_codec_cannot_ask_goes_to_the_next_candidate(tmp_path: Path) -> None:
    """A spoken answer: the conversation protocol has none, and says so; the vendor is asked."""
    routes = """
[upstreams.conversation]
base_url = "{a}"

[[routes]]
model = "speaks"
candidates = [{{ upstream = "conversation" }}, {{ upstream = "b" }}]
"""
    async with two(tmp_path, routes, ACCESS_TOKENS="tok-a") as rig:
        answer = await rig.ask(model="speaks", modalities=["text", "audio"])
        assert (answer.status, answer.headers["x-upstream"]) == (200, "b")
        alone = await rig.ask(model="gpt-4", modalities=["text", "audio"])
        assert (alone.status, alone.json["error"]["param"]) == (400, "modalities")


async def test_a_cooling_candidate_is_passed_over_and_not_waited_for(tmp_path: Path) -> None:
    """The first rests for 20 s; the second answers at once, also before anybody is called."""
    async with two(tmp_path, BOTH) as rig:
        rig.play_a(limited(20))
        for attempts in ("2", "1"):
            answer = await rig.ask(model="both")
            assert (answer.headers["x-upstream"], answer.headers["x-attempts"]) == ("b", attempts)
        assert rig.count(rig.a) == 1


async def test_retry_after_is_that_of_the_soonest_candidate(tmp_path: Path) -> None:
    """Both rest: the client hears when the first of them is back, and about both."""
    async with two(tmp_path, BOTH, CHATGPT_TO_API_QUEUE_WAIT="0") as rig:
        rig.play_a(limited(300))
        rig.play_b(limited(60))
        await rig.ask(model="both")
        answer = await rig.ask(model="both")
        assert answer.status == 429
        assert 50 <= int(answer.headers["retry-after"]) <= 60
        assert "'a'" in answer.json["error"]["message"]
        assert answer.headers["x-attempts"] == "0"
        assert "x-upstream" not in answer.headers


async def test_the_soonest_is_waited_for_when_all_rest(tmp_path: Path) -> None:
    """Nobody can answer now, but one can within the queue's time: no error at all."""
    async with two(tmp_path, BOTH) as rig:
        rig.play_a(limited(300))
        first = [limited(1)]
        rig.play_b(
            lambda seen: first.pop()(seen) if first and seen.method == "POST" else says("b")(seen)
        )
        answer = await rig.ask(model="both")
        assert (answer.status, answer.headers["x-upstream"]) == (200, "b")
        assert answer.headers["x-attempts"] == "3"


async def test_a_404_is_an_answer_also_on_a_route(tmp_path: Path) -> None:
    """The table of faults: never retried, and nobody else is asked."""
    async with two(tmp_path, BOTH) as rig:
        rig.play_a(fails(json_play({"error": {"message": "no such model"}}, 404)))
        answer = await rig.ask(model="both")
        assert answer.status == 404
        assert (answer.headers["x-upstream"], rig.count(rig.b)) == ("a", 0)


async def test_an_open_circuit_sends_everybody_to_the_next(tmp_path: Path) -> None:
    """After five faults in a row the first is not even called."""
    async with two(tmp_path, BOTH) as rig:
        rig.play_a(DOWN)
        for _ in range(5):
            assert (await rig.ask(model="both")).headers["x-upstream"] == "b"
        assert rig.count(rig.a) == 5
        answer = await rig.ask(model="both")
        assert (answer.headers["x-upstream"], answer.headers["x-attempts"]) == ("b", "1")


async def test_a_cut_stream_is_not_begun_again_elsewhere(tmp_path: Path) -> None:
    """After the first content nothing switches: an error event, and nobody else is asked."""
    async with two(tmp_path, BOTH) as rig:
        rig.play_a(fails(Play(pieces=chat_chunks(["half"])[:2], end="close")))
        answer = await rig.ask(model="both", stream=True)
        assert "error" in events_of(answer)[-1]
        assert answer.headers["x-upstream"] == "a"
        assert rig.count(rig.b) == 0


async def test_a_route_of_a_route_falls_back_to_its_candidates(tmp_path: Path) -> None:
    """The name asked for there is the one the route gives."""
    routes = """
[[routes]]
model = "plan-b"
candidates = [{{ upstream = "b" }}]

[[routes]]
model = "plan-a"
candidates = [{{ upstream = "a" }}, {{ route = "plan-b" }}]
"""
    async with two(tmp_path, routes) as rig:
        rig.play_a(DOWN)
        answer = await rig.ask(model="plan-a")
        assert (answer.headers["x-upstream"], answer.headers["x-upstream-model"]) == ("b", "plan-b")


async def test_explain_shows_the_path_and_the_state_of_each_candidate(tmp_path: Path) -> None:
    """By the admin API and by the command: the rule, the order, who rests and who lacks what."""
    more = 'capabilities = ["tools"]'
    async with two(tmp_path, BOTH, more) as rig:
        found = (await rig.admin("GET", "/admin/explain?model=other-x")).json
        assert found["rule"] == "[[routes]] both, other-*"
        assert (found["strategy"], found["max_attempts"], found["queue_wait"]) == (
            "priority",
            3,
            30,
        )
        steps = [(s["upstream"], s["model"], s["verdict"]) for s in found["steps"]]
        assert steps == [("a", "model-a", "asked"), ("b", "other-x", "asked")]
        blind = (await rig.admin("GET", "/admin/explain?model=both&needs=images")).json["steps"]
        assert [(s["upstream"], s["verdict"]) for s in blind] == [
            ("b", "asked"),
            ("a", "passed over"),
        ]
        assert blind[1]["why"] == "cannot see images"
        rig.play_a(limited(120))
        await rig.ask(model="both")
        first = (await rig.admin("GET", "/admin/explain?model=both")).json["steps"][0]
        assert (first["upstream"], first["verdict"]) == ("a", "rests")
        odd = await rig.admin("GET", "/admin/explain?model=both&needs=wings")
        assert (odd.status, odd.json["error"]["param"]) == (400, "needs")
        assert (await rig.admin("GET", "/admin/explain")).status == 400
        assert (await rig.admin("GET", "/admin/explain?model=nobody")).status == 404
        assert (await rig.fetch("/admin/explain?model=both")).status == 401
        config = str(tmp_path / "c.toml")
        folder = rig.gateway.data_dir
        told = await asyncio.to_thread(
            _explained, folder, config, "both", "--image", "--tokens=9", "--json"
        )
        document = json.loads(told)
        assert document["gateway"] and document["steps"][1]["why"] == "cannot see images"
        told = await asyncio.to_thread(_explained, folder, config, "both")
        assert "rests" in told and "sk-key-of-upstream-a" not in told


def _explained(folder: Path, config: str, *arguments: str) -> str:
    done = run_command("explain", *arguments, data_dir=folder, CHATGPT_TO_API_CONFIG=config)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_explain_without_a_gateway_reads_the_configuration(tmp_path: Path) -> None:
    """The rule and the order are known; the state is not, and it says so."""
    config = tmp_path / "c.toml"
    nowhere = "http://127.0.0.1:9/v1"
    config.write_text(UPSTREAMS.format(a=nowhere, b=nowhere, more="") + BOTH.format())
    folder = tmp_path / "data"
    folder.mkdir()
    told = _explained(folder, str(config), "both")
    assert "[[routes]] both, other-*" in told
    assert "no gateway runs" in told
    unknown = run_command("explain", "nobody", data_dir=folder, CHATGPT_TO_API_CONFIG=str(config))
    assert unknown.returncode != 0
    assert "No upstream serves" in unknown.stderr


async def test_a_heap_of_dead_tokens_does_not_fail_a_request(tmp_path: Path) -> None:
    """Seven refused tokens before a good one: the request still gets its answer."""

    def script(seen: Seen) -> Play:
        if seen.token == "good":
            return conversation("fine")
        return json_play({"detail": {"message": "expired", "code": "token_expired"}}, 401)

    async with scripted_backend(script) as backend:
        tokens = [f"dead-{n}" for n in range(7)]
        with gateway_process(
            tmp_path / "data",
            API_REVERSE_PROXY=backend.url(),
            ACCESS_TOKENS=",".join([*tokens, "good"]),
        ) as gateway:
            answer = await asyncio.to_thread(gateway.ask)
            assert answer.status == 200
            assert answer.headers["x-attempts"] == "8"


async def test_a_sealed_thought_is_not_sent_to_another_upstream(tmp_path: Path) -> None:
    """Trap 42: what a sealed goes back to a; c, asked when a fails, gets the turn without it."""
    routes = """
[upstreams.c]
kind = "openai"
base_url = "{b}/v1"
emulate = ["stop"]

[[routes]]
model = "both"
candidates = [{{ upstream = "a" }}, {{ upstream = "c" }}]
"""
    details = [{"type": "reasoning.encrypted", "data": "c2VhbGVk"}]
    message = {"role": "assistant", "content": "yo", "reasoning_details": details}

    def thinks(seen: Seen) -> Play:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        fields = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
        return json_play({**fields, "choices": [choice]})

    # What has to be emulated goes through the canonical model, where seals are known.
    async with two(tmp_path, routes, more='emulate = ["stop"]') as rig:
        rig.play_a(thinks)
        told = (await rig.ask(model="both", stop=["#"])).json["choices"][0]["message"]
        assert told["reasoning_details"] == details
        turns = [{"role": "user", "content": "hi"}, told, {"role": "user", "content": "and?"}]
        await rig.ask(model="both", stop=["#"], messages=turns)
        assert rig.asked[-1]["messages"][1]["reasoning_details"] == details
        rig.play_a(DOWN)
        await rig.ask(model="both", stop=["#"], messages=turns)
        assert rig.count(rig.b) == 1
        assert rig.b.seen[-1].json["messages"] == [
            turns[0],
            {"role": "assistant", "content": "yo"},
            turns[2],
        ]
